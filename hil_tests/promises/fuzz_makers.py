"""Whole, valid or nearly valid messages for the fuzzer, and the checksums of mutants made right again."""

import binascii
import contextlib
import random
import struct
import zlib
from collections.abc import Callable

import numpy as np

from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.packets.erasure import CODES, CauchyCode, parity_payloads
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.link_keys import LinkKey
from swathpack.edge.packets.report import TAG_BYTES, Report, ReportEntry, tag_of
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.edge.packets.varint import write_varint
from swathpack.edge.stream import ContextRef, Header, Segment, StreamWriter, pack_holes, pack_mask
from swathpack.edge.stream.edges import pack_edges
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.edge.stream.records import (
    EXTENSION_SYNC,
    FRAME_SYNC,
    Extension,
    FrameRecord,
    wrap_record,
)

KEY, BINDING = LinkKey(0, b"key"), 12345
HEADER = Header(b"modelmod", b"tabl", 4, 64, 64, ("B02",))
EDGES = (0, 1, 2, 0x7F, 0x80, 0xFF, 0x100, 0x7FFF, 0x8000, 0xFFFF, (1 << 24) - 1, 1 << 24, (1 << 31) - 1, (1 << 32) - 1)
Make = Callable[[random.Random], bytes]


def _edge(rng: random.Random, below: int = 1 << 33) -> int:
    """A value near the end of some field's range, or any small one."""
    value = rng.choice(EDGES) if rng.random() < 0.3 else rng.randrange(200)
    return value % below


def make_pieces(rng: random.Random) -> bytes:
    """Piece heads written field by field, so that they may claim anything."""
    out = struct.pack(">I", _edge(rng) & 0xFFFFFFFF)
    for _ in range(rng.randrange(1, 6)):
        data = rng.randbytes(rng.randrange(40))
        claimed = len(data) if rng.random() < 0.9 else _edge(rng)
        out += write_varint(_edge(rng)) + write_varint(_edge(rng)) + write_varint(claimed) + data
    return out


def make_packets(rng: random.Random) -> bytes:
    """Several packets with right checksums: any class, repeats, gaps, wrong order, garbage between, a cut end."""
    packed = []
    for _ in range(rng.randrange(1, 5)):
        apid = rng.choice([*Apid, Apid.IMAGE, Apid.IMAGE])
        payload = make_pieces(rng) if apid == Apid.IMAGE else rng.randbytes(rng.randrange(1, 60))
        one = SpacePacket(apid, _edge(rng, 16384), _edge(rng, 4), _edge(rng, 4), payload).pack()
        packed += [one] * rng.choice((1, 1, 1, 2))
        if rng.random() < 0.3:
            packed.append(rng.randbytes(rng.randrange(1, 20)))
    rng.shuffle(packed)
    data = b"".join(packed)
    return data if rng.random() < 0.7 else data[: rng.randrange(len(data) + 1)]


def make_report(rng: random.Random) -> bytes:
    """A signed report of entries at the ends of their ranges."""
    entries, number = [], _edge(rng, 1 << 31)
    for _ in range(rng.randrange(6)):
        layers, headless = rng.randrange(17), rng.random() < 0.1
        layers = 0 if headless else layers
        gaps = tuple((_edge(rng, 1 << 16), _edge(rng, 1 << 16)) for _ in range(rng.randrange(4)))
        key = TileKey(_edge(rng), _edge(rng) - 500)
        entries.append(
            ReportEntry(
                number,
                key,
                layers,
                _edge(rng, 1 << 20),
                rng.randbytes(8) if layers else b"",
                gaps,
                rng.random() < 0.2,
                rng.random() < 0.2,
                headless,
            )
        )
        number += 1 + _edge(rng, 1 << 16)
    first = entries[0].number if entries else 0
    report = Report(
        _edge(rng, 1 << 16),
        _edge(rng, 4),
        _edge(rng, 1 << 32),
        _edge(rng, 1 << 32),
        first,
        number + 1,
        _edge(rng),
        tuple(entries),
        rng.random() < 0.3,
    )
    return report.pack(KEY)


def make_segment(rng: random.Random, binding: int) -> bytes:
    """A segment record written field by field with right checksums."""
    front = b"\xe1" + write_varint(_edge(rng, 6)) + write_varint(_edge(rng, 3)) + rng.randbytes(1)
    front += bytes([rng.randrange(256), rng.choice((0x33, rng.randrange(256)))])
    front += rng.randbytes(rng.choice((0, 5, 10, rng.randrange(12))))
    payload = rng.randbytes(rng.randrange(40))
    front += write_varint(len(payload) if rng.random() < 0.9 else _edge(rng))
    front += binascii.crc_hqx(front, binding & 0xFFFF).to_bytes(2, "little")
    return front + payload + zlib.crc32(front + payload, binding).to_bytes(4, "little")


def make_short(rng: random.Random, binding: int) -> bytes:
    """A short record of a file of few places, written field by field with right checks."""
    body = bytes([0x18 | rng.randrange(8), rng.randrange(256)])
    body += rng.randbytes(2) if body[1] == 209 else b""
    payload = rng.randbytes(rng.choice((rng.randrange(40), 1020, 1100)))
    body += write_varint(len(payload) if rng.random() < 0.9 else _edge(rng))
    head = binascii.crc_hqx(body, binding & 0xFFFF).to_bytes(2, "little")
    if len(payload) >= 1024:
        body += head + payload
        return body + zlib.crc32(body, binding).to_bytes(4, "little")
    body += payload
    return body + binascii.crc_hqx(body, binding & 0xFFFF).to_bytes(2, "little")


def make_stream(rng: random.Random) -> bytes:
    """A header and records with right checksums, whatever their bodies say."""
    out = HEADER.pack()
    for _ in range(rng.randrange(1, 5)):
        kind = rng.randrange(3)
        if kind == 0:
            out += rng.choice((make_segment, make_short))(rng, HEADER.binding)
            continue
        body = bytes([rng.randrange(8), rng.randrange(256)]) + rng.randbytes(rng.randrange(30))
        if kind == 2:
            body = (
                bytes([rng.randrange(8), rng.randrange(3)])
                + write_varint(_edge(rng))
                + rng.randbytes(rng.randrange(30))
            )
        out += wrap_record((FRAME_SYNC, EXTENSION_SYNC)[kind - 1], body, HEADER.binding)
    return out


def small_stream(header: Header = HEADER) -> bytes:
    """A valid stream with every kind of record."""
    writer = StreamWriter(header)
    mask = np.ones((64, 64), bool)
    mask[:9] = False
    holes = pack_holes(~mask[None])
    writer.add(FrameRecord(0, 1_700_000_000, pack_mask(mask), holes=holes, other_offset=True))
    writer.add(Extension(5, b"some text " * 20))
    writer.add(FrameRecord(1, mask=pack_edges(mask), edges=True))
    writer.add(FrameRecord(3, like=2))
    for frame in range(3):
        writer.add(Segment(frame, 0, 20, 0, 16, 4, 4, payload=bytes(range(20))))
    for frame in range(4):
        refs = (ContextRef(frame - 1, 16),) if frame else ()
        writer.add(Segment(frame, 0, TRANSFORM & 63, 0, 16, 4, 4, refs, flags=TRANSFORM >> 6, payload=bytes(range(20))))
    return writer.to_bytes()


def parity_seeds(packet: SpacePacket) -> list[bytes]:
    """Payloads of parity packets of each erasure code that is here."""
    seeds = parity_payloads([packet.pack()] * 4, 3, 2, CauchyCode())
    with contextlib.suppress(PacketError):  # the package is optional
        seeds += parity_payloads([packet.pack()] * 4, 3, 2, CODES["raptorq"]())
    return seeds


def fix_packet(data: bytes) -> bytes:
    """The last packet's length and checksums made right."""
    if len(data) < 20:
        return data
    body = data[:4] + struct.pack(">H", (len(data) - 7) & 0xFFFF) + data[6:-6]
    body += struct.pack(">I", zlib.crc32(body))
    return body + struct.pack(">H", binascii.crc_hqx(body, 0xFFFF))


def fix_report(data: bytes) -> bytes:
    """Signed again, by the key that is known."""
    body = data[:4] + bytes([KEY.slot]) + data[5:-TAG_BYTES]
    return body + tag_of(KEY.secret, body)


def fix_segment(data: bytes) -> bytes:
    """The checksum of the whole record; that of the header is right in made records only."""
    return data[:-4] + zlib.crc32(data[:-4], BINDING).to_bytes(4, "little")


def fix_stream(data: bytes) -> bytes:
    """The checksum of the file header, and what follows it under the old one."""
    size = len(HEADER.pack())
    return data[: size - 4] + zlib.crc32(data[: size - 4]).to_bytes(4, "little") + data[size:]


def fix_message(data: bytes) -> bytes:
    """The checksum of a frame message made right."""
    return data[:-4] + struct.pack(">I", zlib.crc32(data[:-4]))
