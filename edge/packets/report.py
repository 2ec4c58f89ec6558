"""Reception reports: what the ground holds, packed for a narrow uplink.

Report (big-endian), the payload of one command packet:

    mark     2   "SR"
    version  1   2
    flags    1   bit 0: `full`, the ground lists everything it holds in the range, not only this pass's news
    slot     1   of the key that signs (`swathpack.edge.packets.link_keys`), 255: nobody signs
    store    2   life of the board's queue that the segment numbers belong to
    epoch    4   life of the ground's store; a higher one than before: the ground starts anew
    number   4   of this report, rising
    pass     4   through this pass
    first    4   the report speaks of segments first <= number < last ...
    last     4   ... and of those sent in this pass and not listed, nothing has arrived
    time     8   signed; times of entries are differences to the one before, the first to this
    count    2   entries
    entries      segment numbers ascending:
                   varint   number minus the one before (the first: minus `first`)
                   1 byte   bits 0-4 layers that the ground has decoded (31: the segment's head is missing,
                   tile
                            and time are not known), 5 waits for context, 6 must be intra, 7 gaps follow
                   varint   tile, zigzag difference to the one before
                   varint   time, zigzag difference
                   varint   bytes held from the segment's start on, without a gap
                   varint n, then n times (varint missing, varint held): what alternates behind them
                   8 bytes  digest of the decoded latent (`held_digest`), only when layers > 0
    tag      16  HMAC-SHA-256 over all before, cut (RFC 2104); the keys are shared by board and ground

Losing, repeating, delaying or reordering reports is harmless: entries are facts. Forging one needs a key, and even
then it counts only as far as bytes were sent, and nothing becomes context unless the digest of the board's own latent
agrees (`swathpack.edge.downlink.confirm`).
"""

from __future__ import annotations

import hashlib
import hmac
import struct
from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.base_layer import known_groups, known_part
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.link_keys import OPEN_SLOT, LinkKey
from swathpack.edge.packets.varint import read_varint, unzigzag, write_varint, zigzag

_HEAD = struct.Struct(">2sBBBHIIIIIqH")
_MARK, _VERSION = b"SR", 2
_SLOT_AT = 4
TAG_BYTES = 16
DIGEST_BYTES = 8
MAX_ENTRIES = 8192
MAX_GAPS = 256  # of one segment: a tile without loss of its counts is a thousand packets long
MAX_BYTES = 1 << 24
_FULL = 1
_WAITING, _INTRA, _GAPS = 0x20, 0x40, 0x80
_HEADLESS = 31
_TIME_LIMIT = 1 << 62


@dataclass(frozen=True)
class ReportEntry:
    """What the ground holds of one segment.

    layers: decoded whole layers, 0..16. held: bytes from the start without a gap. gaps: (missing, held) byte
    counts behind them. waiting: its context is not there. intra: the ground asks for the tile without
    context.
    """

    number: int
    key: TileKey
    layers: int
    held: int
    digest: bytes = b""
    gaps: tuple[tuple[int, int], ...] = ()
    waiting: bool = False
    intra: bool = False
    headless: bool = False

    def missing(self) -> list[tuple[int, int]]:
        """Byte ranges (start, stop) known to be missing between ranges that are there."""
        ranges, at = [], self.held
        for gap, held in self.gaps:
            ranges.append((at, at + gap))
            at += gap + held
        return ranges

    def reach(self) -> int:
        """End of the last byte range that the ground holds."""
        return self.held + sum(gap + held for gap, held in self.gaps)


@dataclass(frozen=True)
class Report:
    """One reception report (fields: module docstring). slot: of the key that signed it."""

    store: int
    epoch: int
    number: int
    pass_number: int
    first: int
    last: int
    time: int
    entries: tuple[ReportEntry, ...]
    full: bool = False
    slot: int = field(default=OPEN_SLOT, compare=False)

    def pack(self, key: LinkKey) -> bytes:
        """Payload bytes with their tag. Raises PacketError when an entry is out of the declared range."""
        if len(self.entries) > MAX_ENTRIES:
            raise PacketError(f"expected at most {MAX_ENTRIES} entries, found {len(self.entries)}")
        out = bytearray(
            _HEAD.pack(
                _MARK,
                _VERSION,
                _FULL if self.full else 0,
                key.slot,
                self.store & 0xFFFF,
                self.epoch,
                self.number,
                self.pass_number & 0xFFFFFFFF,
                self.first,
                self.last,
                self.time,
                len(self.entries),
            )
        )
        before = ReportEntry(self.first, TileKey(0, self.time), 0, 0)
        for entry in self.entries:
            out += _pack_entry(entry, before, self.last)
            before = entry
        return bytes(out) + tag_of(key.secret, bytes(out))

    @classmethod
    def unpack(cls, data: bytes, keys: Mapping[int, bytes]) -> Report:
        """The report. keys: secrets by slot. Raises PacketError when the tag is wrong or any field out of bounds."""
        if len(data) < _HEAD.size + TAG_BYTES or data[:3] != _MARK + bytes([_VERSION]):
            raise PacketError(f"expected a report, found {len(data)} bytes starting {data[:3].hex()}")
        body = data[:-TAG_BYTES]
        _check_tag(body, data[-TAG_BYTES:], keys)
        _, _, flags, slot, store, epoch, number, passed, first, last, time, count = _HEAD.unpack_from(body)
        if count > MAX_ENTRIES or abs(time) > _TIME_LIMIT:
            raise PacketError(f"expected at most {MAX_ENTRIES} entries near now, found {count} at {time}")
        entries, at = [], _HEAD.size
        before = ReportEntry(first, TileKey(0, time), 0, 0)
        for i in range(count):
            before, at = _unpack_entry(body, at, before, first=i == 0)
            if before.number >= last:
                raise PacketError(f"expected segments below {last}, found {before.number}")
            entries.append(before)
        if at != len(body):
            raise PacketError(f"expected {at} bytes of report, found {len(body)}")
        return cls(store, epoch, number, passed, first, last, time, tuple(entries), bool(flags & _FULL), slot)


def held_digest(key: TileKey, q: int, layers: int, latent: NDArray[np.int16]) -> bytes:
    """8 bytes naming what both sides must agree on before a latent may become context.

    latent: (M, h, w) int16, of which the first `layers` of 16 layers count. q: quality byte.
    """
    part = known_part(latent, layers, q)[: known_groups(layers, q) * latent.shape[0] // LAYERS]
    known = np.ascontiguousarray(part, "<i2")
    head = struct.pack(">4sqqBB3I", b"held", key.tile, key.time, q & 0xFF, layers, *latent.shape)
    return hashlib.sha256(head + known.tobytes()).digest()[:DIGEST_BYTES]


def held_digests(key: TileKey, q: int, latent: NDArray[np.int16]) -> bytes:
    """The digests for 0 to 16 layers, one after another: what the board keeps to check reports against."""
    return b"".join(held_digest(key, q, layers, latent) for layers in range(LAYERS + 1))


def tag_of(secret: bytes, body: bytes) -> bytes:
    """The report's proof: HMAC-SHA-256 of its body with the link key's secret, cut to TAG_BYTES."""
    return hmac.digest(secret, body, "sha256")[:TAG_BYTES]


def _check_tag(body: bytes, tag: bytes, keys: Mapping[int, bytes]) -> None:
    secret = keys.get(body[_SLOT_AT])
    if secret is None:
        expected = " or ".join(map(_signer, sorted(keys)))
        raise PacketError(f"expected a report signed by {expected}, found one by {_signer(body[_SLOT_AT])}")
    if not hmac.compare_digest(tag_of(secret, body), tag):
        raise PacketError(f"the tag is not the one of key {body[_SLOT_AT]}")


def _signer(slot: int) -> str:
    return "nobody" if slot == OPEN_SLOT else f"key {slot}"


def _pack_entry(entry: ReportEntry, before: ReportEntry, last: int) -> bytes:
    good = entry.number < last and 0 <= entry.layers <= LAYERS and len(entry.gaps) <= MAX_GAPS
    if not good or len(entry.digest) != (DIGEST_BYTES if entry.layers else 0):
        raise PacketError(f"expected an entry below segment {last} with its digest, found {entry}")
    flags = _HEADLESS if entry.headless else entry.layers
    flags |= _WAITING * entry.waiting | _INTRA * entry.intra | _GAPS * bool(entry.gaps)
    out = write_varint(entry.number - before.number) + bytes([flags])
    out += write_varint(zigzag(entry.key.tile - before.key.tile))
    out += write_varint(zigzag(entry.key.time - before.key.time))
    out += write_varint(entry.held)
    if entry.gaps:
        out += write_varint(len(entry.gaps))
        out += b"".join(write_varint(gap) + write_varint(held) for gap, held in entry.gaps)
    return out + entry.digest


def _unpack_entry(data: bytes, at: int, before: ReportEntry, first: bool) -> tuple[ReportEntry, int]:
    step, at = read_varint(data, at)
    if at >= len(data):
        raise PacketError("expected an entry, found the end")
    flags, at = data[at], at + 1
    tile, at = read_varint(data, at)
    time, at = read_varint(data, at)
    held, at = read_varint(data, at)
    gaps, at = _unpack_gaps(data, at) if flags & _GAPS else ((), at)
    headless = flags & 0x1F == _HEADLESS
    layers = 0 if headless else flags & 0x1F
    digest = data[at : at + (DIGEST_BYTES if layers else 0)]
    key = TileKey(before.key.tile + unzigzag(tile), before.key.time + unzigzag(time))
    number = before.number + step
    waiting, intra = bool(flags & _WAITING), bool(flags & _INTRA)
    entry = ReportEntry(number, key, layers, held, digest, gaps, waiting, intra, headless)
    rising = (step > 0 or first) and number < 1 << 32
    whole = len(digest) == (DIGEST_BYTES if layers else 0) and layers <= LAYERS
    known = abs(key.tile) < 1 << 63 and abs(key.time) <= _TIME_LIMIT
    if not (rising and whole and known and entry.reach() <= MAX_BYTES):
        raise PacketError(f"expected a sound entry after segment {before.number}, found {entry}")
    return entry, at + len(digest)


def _unpack_gaps(data: bytes, at: int) -> tuple[tuple[tuple[int, int], ...], int]:
    count, at = read_varint(data, at)
    if not 1 <= count <= MAX_GAPS:
        raise PacketError(f"expected 1 to {MAX_GAPS} gaps, found {count}")
    gaps = []
    for _ in range(count):
        missing, at = read_varint(data, at)
        held, at = read_varint(data, at)
        gaps.append((missing, held))
    return tuple(gaps), at
