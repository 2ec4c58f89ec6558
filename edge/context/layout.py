"""Bytes of the context file: two superblocks, a directory of entries, and the slots.

    offset 0        superblock A, 4096 bytes
    offset 4096     superblock B; the valid one with the higher generation counts, the other is written next
    offset 8192     directory: one entry of 64 bytes per slot
    then            slots of `slot_bytes`

Superblock (little-endian, rest zero): magic "SWPC", version u16, ways u16, slots u32, slot_bytes u32,
generation u64, valid_from u64, ground_epoch u32, model digest 8 bytes, CRC-32 of all before.

Entry: see `ENTRY`; the CRC-32 covers the 60 bytes before it. An entry lies within one 512-byte sector, so it
is either the old or the new one after a loss of power; should a medium tear it all the same, the CRC makes it
free.
"""

from __future__ import annotations

import struct
import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

MAGIC = b"SWPC"
VERSION = 1
SUPERBLOCK_BYTES = 4096
DIRECTORY_OFFSET = 2 * SUPERBLOCK_BYTES
_SUPER = struct.Struct("<4sHHIIQQI8s")
_ENTRY_MARK = 0x43574553  # "SEWC"

ENTRY = np.dtype(
    [
        ("mark", "<u4"),
        ("layers", "u1"),
        ("q", "u1"),
        ("height", "u1"),
        ("width", "u1"),
        ("tile", "<i8"),
        ("time", "<i8"),
        ("generation", "<u8"),
        ("channels", "<u4"),
        ("length", "<u4"),
        ("data_crc", "<u4"),
        ("digest", "V4"),
        ("need", "<u4"),
        ("spare", "<u4"),
        ("crc", "<u4"),
    ]
)
ENTRY_BYTES = ENTRY.itemsize
# Bookkeeping in memory per slot: tile, time, generation (8 each), need (4), layers (1).
INDEX_BYTES = 29


@dataclass(frozen=True)
class Geometry:
    """Size of a context file: `slots` of `slot_bytes` in sets of `ways`; a tile's latents stay in its set."""

    slots: int
    slot_bytes: int = 32768
    ways: int = 64

    def __post_init__(self) -> None:
        if not (4 <= self.ways <= 4096 and self.ways <= self.slots < 1 << 31 and self.slots % self.ways == 0):
            raise ValueError(f"expected slots in whole sets, found {self.slots} slots in sets of {self.ways}")
        if not 1024 <= self.slot_bytes <= 1 << 24:
            raise ValueError(f"expected slots of 1 kB to 16 MB, found {self.slot_bytes}")

    @property
    def sets(self) -> int:
        """How many sets of `ways` slots there are."""
        return self.slots // self.ways

    @property
    def file_bytes(self) -> int:
        """Bytes of the whole file."""
        return self.slot_offset(self.slots)

    @property
    def memory_bytes(self) -> int:
        """Bytes of the index in memory."""
        return self.slots * INDEX_BYTES

    def entry_offset(self, slot: int) -> int:
        """Byte of the file where a slot's directory entry starts."""
        return DIRECTORY_OFFSET + slot * ENTRY_BYTES

    def slot_offset(self, slot: int) -> int:
        """Byte of the file where a slot starts, behind the directory's whole pages of 4096."""
        directory = -(-self.slots * ENTRY_BYTES // 4096) * 4096
        return DIRECTORY_OFFSET + directory + slot * self.slot_bytes


@dataclass(frozen=True)
class Superblock:
    """File-wide state. Entries of a generation below `valid_from` do not count: one write drops everything."""

    geometry: Geometry
    generation: int
    valid_from: int
    ground_epoch: int
    model: bytes

    def pack(self) -> bytes:
        """4096 bytes."""
        g = self.geometry
        body = _SUPER.pack(
            MAGIC,
            VERSION,
            g.ways,
            g.slots,
            g.slot_bytes,
            self.generation,
            self.valid_from,
            self.ground_epoch,
            self.model,
        )
        return (body + struct.pack("<I", zlib.crc32(body))).ljust(SUPERBLOCK_BYTES, b"\0")

    @classmethod
    def unpack(cls, data: bytes) -> Superblock | None:
        """The superblock, or None when these bytes are not a whole one of this version."""
        body, crc = data[: _SUPER.size], data[_SUPER.size : _SUPER.size + 4]
        if len(crc) < 4 or struct.unpack("<I", crc)[0] != zlib.crc32(body):
            return None
        magic, version, ways, slots, slot_bytes, generation, valid_from, epoch, model = _SUPER.unpack(body)
        if magic != MAGIC or version != VERSION:
            return None
        return cls(Geometry(slots, slot_bytes, ways), generation, valid_from, epoch, model)


def pack_entry(**fields: object) -> bytes:
    """One directory entry with its mark and CRC."""
    entry = np.zeros((), ENTRY)
    for name, value in fields.items():
        entry[name] = value
    entry["mark"] = _ENTRY_MARK
    entry["crc"] = zlib.crc32(entry.tobytes()[:-4])
    return entry.tobytes()


def valid_entries(entries: NDArray[np.void]) -> NDArray[np.bool_]:
    """Which of the entries (n,) are in use and whole. The CRC runs over all of them at once, byte by byte."""
    marked = entries["mark"] == _ENTRY_MARK
    rows = np.nonzero(marked)[0]
    octets = np.ascontiguousarray(entries[rows]).view(np.uint8).reshape(len(rows), ENTRY_BYTES)
    crc = np.full(len(rows), 0xFFFFFFFF, np.uint32)
    for column in range(ENTRY_BYTES - 4):
        crc = _CRC_TABLE[(crc ^ octets[:, column]) & 0xFF] ^ (crc >> np.uint32(8))
    whole = np.zeros(len(entries), bool)
    whole[rows] = (crc ^ np.uint32(0xFFFFFFFF)) == entries["crc"][rows]
    return whole


def _crc_table() -> NDArray[np.uint32]:
    """The byte table of CRC-32 (IEEE 802.3, reflected), the one zlib uses."""
    table = np.arange(256, dtype=np.uint32)
    for _ in range(8):
        table = np.where(table & 1, np.uint32(0xEDB88320) ^ (table >> np.uint32(1)), table >> np.uint32(1))
    return table


_CRC_TABLE = _crc_table()


def pack_latent(latent: NDArray[np.int16], layers: int, channels: int) -> bytes:
    """The known layers compressed: low bytes, then high bytes (nearly all alike), deflated."""
    known = np.ascontiguousarray(latent[: layers * channels], "<i2")
    planes = known.view(np.uint8).reshape(-1, 2).T
    return zlib.compress(np.ascontiguousarray(planes).tobytes(), 1)


def unpack_latent(data: bytes, shape: tuple[int, int, int], known_channels: int) -> NDArray[np.int16]:
    """The inverse of `pack_latent`, zero beyond the known channels. Raises ValueError."""
    count = known_channels * shape[1] * shape[2]
    engine = zlib.decompressobj()
    try:
        octets = engine.decompress(data, 2 * count + 1)
    except zlib.error as error:
        raise ValueError(f"expected a deflated latent: {error}") from error
    if len(octets) != 2 * count:
        raise ValueError(f"expected {2 * count} bytes of latent, found {len(octets)}")
    latent = np.zeros(shape, np.int16)
    planes = np.frombuffer(octets, np.uint8).reshape(2, count)
    latent[:known_channels] = np.ascontiguousarray(planes.T).view("<i2").reshape(known_channels, *shape[1:])
    return latent
