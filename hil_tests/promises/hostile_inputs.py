"""Hostile files and passes, made from nothing and from real ones: checksums are right wherever that gets them further."""

from __future__ import annotations

import contextlib
import functools
import json
import random
import struct
import zlib
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.lone import lone_head
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.plain import error_bytes
from swathpack.edge.codec.protocol import TileKey, TilePixels
from swathpack.edge.packets.pieces import MAX_SEGMENT_BYTES, Piece, pack_pieces
from swathpack.edge.packets.space_packet import Apid, SpacePacket
from swathpack.edge.radiometry import PLAIN
from swathpack.edge.sources.acquisition import samples_of
from swathpack.edge.stream import (
    ContextRef,
    Extension,
    FrameRecord,
    Header,
    Segment,
    StreamError,
    StreamWriter,
    lone_binding,
    pack_segment,
    read_stream,
)
from swathpack.edge.stream.masks import deflate, pack_mask
from swathpack.edge.stream.quality import PREDICTIVE, TRANSFORM
from swathpack.edge.stream.records import FRAME_SYNC, wrap_record
from swathpack.edge.stream.short import tile_grid
from swathpack.edge.stream.wire import varint
from swathpack.hil_tests.promises.fuzz import mutate
from swathpack.hil_tests.promises.fuzz_makers import make_packets
from swathpack.hil_tests.simulation.made_frames import series, values
from swathpack.tools.errors import UserError
from swathpack.tools.files.carried import FACTS_TAG, METADATA_TAG
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.rasters.packing import pack

SIDES = (1, 63, 64, 65, 255, 256, 1000, 2048, 4096, 16_384, 32_768)
COUNTS = (1, 1, 2, 3, 7, 255, 4096, 65_535, 65_536)


@dataclass
class Real:
    """What hostile inputs are made from: streams, and segments that fly alone."""

    model: EdgeModel
    streams: list[bytes]
    segments: list[bytes]

    @classmethod
    def of(cls, model: EdgeModel) -> Real:
        """Small ones of the shipped model."""
        streams = [
            SeriesEncoder(model, series(48, 80, dates, seed=seed)).at_quality(q)
            for dates, seed, q in ((1, 1, 20), (2, 2, 40), (3, 3, 50))
        ]
        codecs, segments = (FlightCodec(model, 40), FlightCodec(model, 30, mode="transform")), []
        for seed in range(3):
            pixels = values(64, 64, 1, seed)[0].astype(np.uint16)
            tile = TilePixels(TileKey(seed, 1000), pixels, BANDS, np.ones((64, 64), bool))
            segments += [c.encode(tile, ()).segment(0, 16) for c in codecs]
        return cls(model, streams, segments)


def header(real: Real, rng: random.Random, small: bool = False) -> Header:
    """Claims of any size; small: that a command may go on with."""
    height, width = (rng.choice(SIDES[:6] if small else SIDES) for _ in range(2))
    if height * width > 1 << 28:
        width = 64
    bands = tuple(rng.sample((*BANDS, "B10", "green"), rng.randrange(1, 13)))
    return Header(
        real.model.digest,
        real.model.tables_digest,
        rng.choice(COUNTS[:5] if small else COUNTS),
        height,
        width,
        bands if rng.random() < 0.2 else tuple(sorted(bands, key=(*BANDS, "B10", "green").index)),
        tile_size=rng.choice((64, 128, 256)),
        boa_offset=rng.random() < 0.3,
    )


def forged_file(real: Real, rng: random.Random) -> bytes:
    """A header and records of every kind, all with right checksums."""
    writer = StreamWriter(header(real, rng, small=rng.random() < 0.5))
    for _ in range(rng.randrange(12)):
        writer.add_packed(rng.choice(_RECORDS)(real, rng, writer))
    return writer.to_bytes()


def damaged_file(real: Real, rng: random.Random) -> bytes:
    """A real stream that was cut, mutated, or lost or doubled a piece of its middle."""
    data = bytearray(rng.choice(real.streams))
    at, size = rng.randrange(len(data)), rng.randrange(1, 200)
    kind = rng.randrange(4)
    if kind == 0:
        del data[at:]
    elif kind == 1:
        del data[at : at + size]
    elif kind == 2:
        data[at:at] = data[max(at - size, 0) : at]
    else:
        return mutate(bytes(data), rng.choice(real.streams), rng)
    return bytes(data)


def borrowed_file(real: Real, rng: random.Random) -> bytes:
    """Real segments under a header that claims something else, at other places and of other layers."""
    writer = StreamWriter(header(real, rng, small=rng.random() < 0.7))
    for segment in read_stream(rng.choice(real.streams)).segments:
        if rng.random() < 0.8:
            frame, tile = rng.randrange(writer.header.frames), rng.randrange(writer.header.n_tiles)
            writer.add(replace(segment, frame=frame, tile=tile if rng.random() < 0.5 else 0, contexts=()))
    return writer.to_bytes()


def garbage_file(real: Real, rng: random.Random) -> bytes:
    """Bytes, sometimes behind a magic."""
    return rng.choice((b"", b"SWP\x02", b"SWP\x01", b"SWTC\x01")) + rng.randbytes(rng.randrange(300))


def _segment(real: Real, rng: random.Random, writer: StreamWriter) -> bytes:
    header = writer.header
    start = rng.choice((0, 0, 0, rng.randrange(16)))
    contexts = tuple(
        ContextRef(rng.randrange(1 << 20), rng.randrange(1, 17), rng.randbytes(4)) for _ in range(rng.randrange(3))
    )
    quality, flags = rng.choice(((63, 3), (62, 3), (rng.randrange(40), rng.randrange(3)), (rng.randrange(40), 2)))
    segment = Segment(
        rng.choice((0, rng.randrange(header.frames))),
        rng.choice((0, rng.randrange(header.n_tiles))),
        quality,
        start,
        rng.randrange(1, 17 - start),
        rng.choice((4, 16, rng.randrange(1, 17))),
        rng.choice((4, 16, rng.randrange(1, 17))),
        contexts if rng.random() < 0.2 else (),
        flags=flags,
        payload=rng.randbytes(rng.choice((0, 3, 40, 700, 2500))),
    )
    return pack_segment(segment, header.binding)


def _short(real: Real, rng: random.Random, writer: StreamWriter) -> bytes:
    """A short record with right checks, by chance against what is there."""
    h, frame = writer.header, rng.choice((0, 1, rng.randrange(writer.header.frames))) % writer.header.frames
    tile, quality = (
        rng.choice((0, rng.randrange(h.n_tiles))),
        rng.choice((TRANSFORM, PREDICTIVE, 50 + rng.randrange(14))),
    )
    true = rng.choice(read_stream(rng.choice(real.streams)).segments).payload
    payload = rng.choice((rng.randbytes(rng.choice((0, 3, 40, 700, 2500))), true))
    segment = Segment(frame, tile, quality & 63, 0, 16, *tile_grid(h, tile), flags=quality >> 6, payload=payload)
    refs = tuple(ContextRef(frame - n, 16) for n in rng.sample((1, 2, 3), rng.randrange(3)) if n <= frame)
    with contextlib.suppress(StreamError):
        return writer.pack(replace(segment, contexts=refs))
    return writer.pack(segment)


def _mask(real: Real, rng: random.Random, writer: StreamWriter) -> bytes:
    """A frame record with a mask of the claimed size, or of any other, of few bytes; or with another record's, or edges."""
    h = writer.header
    if rng.random() < 0.4:
        many = bytes(rng.choice((1, h.height, 1 << 16, 1 << 18))), bytes([9, 1, 1, 1, 1, 1, 1, 1, 1]) * (1 << 14)
        body = rng.choice((bytes([2, 0x80, rng.randrange(4)]), *(bytes([1, 0x90]) + deflate(edges) for edges in many)))
        return wrap_record(FRAME_SYNC, body, h.binding)
    size = (h.height * h.width + 7) // 8 if rng.random() < 0.5 else rng.choice((0, 100, 1 << 20))
    body = bytes([rng.randrange(4), 0x10]) + _blown_up(rng.choice((b"\0", b"\xaa", b"\xff")), min(size, 1 << 22))
    return wrap_record(FRAME_SYNC, body, h.binding)


@functools.lru_cache(maxsize=256)
def _blown_up(byte: bytes, size: int) -> bytes:
    return deflate(byte * size)


_compressed = functools.lru_cache(maxsize=64)(zlib.compress)


def _extension(real: Real, rng: random.Random, writer: StreamWriter) -> bytes:
    tag = rng.choice((1, 5, METADATA_TAG, FACTS_TAG, FACTS_TAG, 84, rng.randrange(256)))
    data = rng.choice((bytes(1 << 20), rng.randbytes(50), _compressed(_metadata(rng)), _packed(rng)))
    return writer.pack(Extension(tag, data))


def _packed(rng: random.Random) -> bytes:
    """Packed metadata, maybe with a byte changed."""
    found = bytearray(_as_packed(_metadata(rng)))
    if found and rng.random() < 0.5:
        found[rng.randrange(len(found))] ^= 1 << rng.randrange(8)
    return bytes(found)


@functools.lru_cache(maxsize=256)
def _as_packed(metadata: bytes) -> bytes:
    try:
        return pack(json.loads(metadata))
    except (ValueError, RecursionError, TypeError, AttributeError, UserError):
        return b""


def _metadata(rng: random.Random) -> bytes:
    native = rng.choice((None, 5, {"10m": ["B02"]}))
    tags = [[rng.randrange(70000), 2, 9, "x"]]
    things: tuple[bytes | dict[str, object], ...] = (
        b"[" * rng.choice((10, 100_000)),
        b'{"a":[' + b"[]," * rng.choice((3, 1 << 20)) + b"0]}",
        {"format": "npz", "rank": 3, "extra": {"x": _array(rng)}, "native": native},
        {"files": [[{"name": "../x.tif", "bands": ["B02"], "tags": tags}]]},
    )
    thing = rng.choice(things)
    return thing if isinstance(thing, bytes) else json.dumps(thing).encode()


def _array(rng: random.Random) -> dict[str, object]:
    return {
        "dtype": rng.choice(("<u2", "<U1000000", "|O", "<M8[s]", "nonsense", "(,)f4", ",", "f4,(")),
        "shape": rng.choice(([2], [1 << 40], [-1], [0], [1 << 20, 1 << 20])),
        rng.choice(("values", "packed")): rng.choice(([1, 2], "eJwDAAAAAAE=", 5)),
    }


def _time(real: Real, rng: random.Random, writer: StreamWriter) -> bytes:
    time = rng.choice((None, "noon", 1 << 39, -5, float("nan"), "2026-01-01"))
    return writer.pack(FrameRecord(rng.choice((0, 3, 70_000)), time))


_RECORDS: tuple[Callable[[Real, random.Random, StreamWriter], bytes], ...] = (
    _segment,
    _short,
    _short,
    _segment,
    _mask,
    _extension,
    _time,
)
FILES: tuple[Callable[[Real, random.Random], bytes], ...] = (
    forged_file, forged_file, borrowed_file, damaged_file, damaged_file, garbage_file,
)  # fmt: skip


def hostile_pass(real: Real, rng: random.Random, packets: int, number: int) -> bytes:
    """Packets of a pass, every one with right checksums but for what is thrown in between."""
    out = bytearray()
    for sequence in range(packets):
        kind = rng.randrange(12)
        if kind == 0:
            out += make_packets(rng)
            continue
        apid, payload = Apid.IMAGE, b""
        if kind == 1:
            apid, payload = Apid.PARITY, _parity(rng)
        elif kind == 2:
            apid, payload = rng.choice((Apid.EVENT, Apid.TELEMETRY, Apid.REPORT)), rng.randbytes(rng.randrange(1, 400))
        elif kind < 6:
            payload = pack_pieces([_forged(real, rng)])
        elif kind < 9:
            payload = pack_pieces([Piece(rng.randrange(1 << 20), rng.choice((0, 100, MAX_SEGMENT_BYTES - 1)), b"x")
                                   for _ in range(rng.randrange(1, 150))])  # fmt: skip
        else:
            data = rng.choice(real.segments)
            at = rng.randrange(len(data))
            payload = pack_pieces([Piece(rng.randrange(300), at if rng.random() < 0.5 else 0, data[at : at + 400])])
        out += SpacePacket(apid, sequence, rng.choice((7, 7, 7, rng.randrange(3))), number, payload).pack()
    return bytes(out)


def _parity(rng: random.Random) -> bytes:
    head = struct.pack(
        ">HBBBB", rng.randrange(200), rng.randrange(1, 129), rng.randrange(1, 128), rng.randrange(127), 0
    )
    return head + rng.randbytes(rng.choice((10, 200, 1000)))


def _forged(real: Real, rng: random.Random) -> Piece:
    """A whole segment of our model at any tile and time: its head is right, its payload is noise or real."""
    model = real.model
    most = 33 if rng.random() < 0.1 else 17  # large tiles are rare, for they take long
    side = (4, 4) if rng.random() < 0.3 else (rng.randrange(1, most), rng.randrange(1, most))
    quality, flags, head = rng.randrange(40), rng.randrange(3), b""
    if rng.random() < 0.2:  # of the transform coder, whose payload says what it is
        quality, flags = 63, 3
        names = rng.choice((BANDS, ("B02", "B03"), ("B02", "green"), tuple(f"x{i}" for i in range(16))))
        height, width = (16 * n - rng.choice((0, 0, 9)) for n in side)
        head = lone_head(names, height, width, rng.choice((PLAIN, PLAIN, samples_of("int16", -9999))))
        if rng.random() < 0.4:  # or of the predictive one, which says more
            quality, mask = 62, pack_mask(np.arange(height * width).reshape(height, width) % 7 > 0) or b""
            mask = rng.choice((b"", mask, mask[: rng.randrange(len(mask) + 1)]))
            head += error_bytes(rng.choice((0, 3, 700))) + varint(
                rng.choice((len(mask), len(mask), rng.randrange(99999)))
            )
            head += mask
    segment = Segment(
        rng.choice((1000, rng.randrange(1 << 38))),
        rng.choice((0, 255 << 8 | 255, rng.randrange(1 << 34))),
        quality,
        0,
        16,
        *side,
        (ContextRef(rng.randrange(2000), 16, rng.randbytes(4)),) if rng.random() < 0.2 and flags < 3 else (),
        flags=flags,
        payload=head + rng.randbytes(rng.choice((0, 20, 300, 1500))),
    )
    return Piece(rng.randrange(1 << 20), 0, pack_segment(segment, lone_binding(model.digest, model.tables_digest)))
