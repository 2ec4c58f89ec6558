"""One machine's half of the cross-coding check: code tiles to segments, or segments to latents and counts.

    python -m swathpack.hil_tests.campaigns.cross_worker encode --tiles tiles.npz --out coded.npz [--engine onnxruntime]
    python -m swathpack.hil_tests.campaigns.cross_worker decode --coded coded.npz --out decoded.npz [--engine float32]

Imports nothing beyond edge/ and numpy, so that it also runs on a board. `tiles.npz` holds `tiles` (N, T, 12, S, S)
uint16 DN. `coded.npz` holds, of each codec that this machine has, `CODEC.segments` (uint8, all records one after
the other), `CODEC.lengths` (N, T) and `CODEC.digests` (N, T, 32) of what it codes.

learned    twelve bands, every date against up to two earlier ones with all their layers; digests of latents
transform  twelve, four bands and one in turn, against the first layers of the date before where that saves bytes; of counts as drawn
exact      the same bands; of the counts that were given

The last two need the C code, for its twin takes hours.
"""

from __future__ import annotations

import argparse
import hashlib
import platform
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.carrier import carry
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.latents import LAYERS, Latent
from swathpack.edge.codec.layers import tile_decoder
from swathpack.edge.codec.lone import date_in, decode_lone, lone_ends
from swathpack.edge.codec.lone_exact import decode_exact
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.prediction import CodingContext
from swathpack.edge.codec.protocol import ContextLatent, TileKey, TilePixels
from swathpack.edge.codec.rangecoder import backend
from swathpack.edge.codec.tile_coder import analyse_tile, encode_tile
from swathpack.edge.stream import ContextRef, Segment, lone_binding, pack_segment
from swathpack.edge.stream.quality import quality_of, usual_shift
from swathpack.edge.stream.segment import payload_of, unpack_front

QUALITY = 12  # fine enough that most layers carry symbols
MAX_CONTEXTS = 2
CODECS = ("learned", "transform", "exact")
SETS = (BANDS, ("B02", "B03", "B04", "B08"), ("B08",))
CONFIRMED = 11  # layers of the date before, of a transform tile

Halves = tuple[list[bytes], list[bytes]]  # records and digests, tile by tile and date by date


def digest_of(values: NDArray[Any]) -> bytes:
    """SHA-256 of a latent's or of counts' shape and values, in one byte order."""
    plain = np.ascontiguousarray(values, values.dtype.newbyteorder("<"))
    return hashlib.sha256(repr(plain.shape).encode() + plain.tobytes()).digest()


def _contexts(earlier: list[Latent]) -> list[CodingContext]:
    return [CodingContext(latent, QUALITY, LAYERS) for latent in earlier[: -MAX_CONTEXTS - 1 : -1]]


def codecs_here() -> tuple[str, ...]:
    """Those that this machine can take part with."""
    return CODECS if backend() == "native" else CODECS[:1]


def encode(model: EdgeModel, tiles: NDArray[np.uint16]) -> dict[str, NDArray[Any]]:
    """Segments and digests of all tiles (N, T, 12, S, S)."""
    out = dict[str, NDArray[Any]]()
    for codec in codecs_here():
        records, digests = _learned(model, tiles) if codec == "learned" else _plain(model, tiles, codec == "exact")
        out[f"{codec}.segments"] = np.frombuffer(b"".join(records), np.uint8)
        out[f"{codec}.lengths"] = np.array([len(r) for r in records]).reshape(tiles.shape[:2])
        out[f"{codec}.digests"] = np.frombuffer(b"".join(digests), np.uint8).reshape(*tiles.shape[:2], 32)
    return out


def _learned(model: EdgeModel, tiles: NDArray[np.uint16]) -> Halves:
    binding = lone_binding(model.digest, model.tables_digest)
    records, digests = list[bytes](), list[bytes]()
    for place, series in enumerate(tiles):
        earlier: list[Latent] = []
        for date, pixels in enumerate(series):
            coefficients = analyse_tile(model, pixels, np.ones(pixels.shape[1:], np.bool_))
            coded = encode_tile(model, coefficients, quality_of(QUALITY, usual_shift(QUALITY)), _contexts(earlier))
            refs = tuple(ContextRef(date - 1 - n, LAYERS, bytes(4)) for n in range(min(date, MAX_CONTEXTS)))
            records.append(pack_segment(coded.segment(date, place, LAYERS, refs), binding))
            digests.append(digest_of(coded.latent))
            earlier.append(coded.latent)
        _tell("learned", place, len(tiles))
    return records, digests


def _plain(model: EdgeModel, tiles: NDArray[np.uint16], exact: bool) -> Halves:
    """As a board codes tiles without the network."""
    codec = FlightCodec(model, QUALITY, mode="transform", max_error=0 if exact else None)
    records, digests = list[bytes](), list[bytes]()
    for place, series in enumerate(tiles):
        names, contexts = SETS[place % len(SETS)], list[ContextLatent]()
        for date, pixels in enumerate(series):
            counts = pixels[[BANDS.index(name) for name in names]]
            given = TilePixels(TileKey(place, date), counts, names, np.ones(counts.shape[1:], np.bool_))
            coded = codec.encode(given, contexts)
            records.append(coded.segment(0, LAYERS))
            digests.append(
                digest_of(counts) if exact else digest_of(_drawn(*_opened(codec.binding, records[-1]), contexts))
            )
            contexts = [] if exact else [ContextLatent.known(coded.key, coded.q, CONFIRMED, coded.latent)]
        _tell("exact" if exact else "transform", place, len(tiles))
    return records, digests


def _opened(binding: int, record: bytes) -> tuple[Segment, bytes]:
    """A record's segment and its payload."""
    segment, start = unpack_front(record, 0, binding)
    return segment, payload_of(segment, record, start).payload


def _drawn(segment: Segment, payload: bytes, contexts: list[ContextLatent]) -> NDArray[Any]:
    """The counts, (C, H, W) before rounding, of a transform tile's whole segment."""
    date, known = None, {(c.key.time, c.layers, c.digest): c for c in contexts}
    for ref in segment.contexts:
        if (ref.frame, ref.layers, ref.digest) not in known:
            raise SystemExit(f"tile {segment.tile}: the date that it was coded against is another one here")
        found = date_in(known[ref.frame, ref.layers, ref.digest].latent)
        date = None if found is None else found[1]
    return decode_lone(payload, date)[1].counts


def decode(model: EdgeModel, coded: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Digests (N, T, 32), by codec, of what the segments decode to."""
    out = {}
    for codec in codecs_here():
        if f"{codec}.lengths" not in coded:
            continue
        lengths, data, at = coded[f"{codec}.lengths"], coded[f"{codec}.segments"].tobytes(), 0
        digests = list[bytes]()
        for place, sizes in enumerate(lengths):
            ends = at + np.cumsum(sizes)
            series = [data[end - size : end] for end, size in zip(ends.tolist(), sizes.tolist())]
            digests += _DECODERS[codec](model, series)
            at = int(ends[-1])
            _tell(codec, place, len(lengths))
        out[f"{codec}.digests"] = np.frombuffer(b"".join(digests), np.uint8).reshape(*lengths.shape, 32)
    return out


def _learned_digests(model: EdgeModel, series: list[bytes]) -> list[bytes]:
    binding, earlier = lone_binding(model.digest, model.tables_digest), list[Latent]()
    for record in series:
        segment, payload = _opened(binding, record)
        size = (segment.grid_h, segment.grid_w)
        decoder = tile_decoder(model.engine, model.tables, _contexts(earlier), segment.quality_byte, size)
        if decoder.decode(payload, LAYERS) != LAYERS:
            raise SystemExit(f"tile {segment.tile}: the payload ends early")
        earlier.append(decoder.latent)
    return [digest_of(latent) for latent in earlier]


def _transform_digests(model: EdgeModel, series: list[bytes]) -> list[bytes]:
    binding, contexts, digests = lone_binding(model.digest, model.tables_digest), list[ContextLatent](), list[bytes]()
    for date, record in enumerate(series):
        segment, payload = _opened(binding, record)
        digests.append(digest_of(_drawn(segment, payload, contexts)))
        ends = lone_ends(payload, len(payload))
        assert ends is not None
        latent = carry(payload, ends, (segment.grid_h, segment.grid_w))
        key = TileKey(segment.tile, date)
        contexts = [ContextLatent.known(key, segment.quality_byte, CONFIRMED, latent)]
    return digests


def _exact_digests(model: EdgeModel, series: list[bytes]) -> list[bytes]:
    binding, digests = lone_binding(model.digest, model.tables_digest), list[bytes]()
    for record in series:
        found = decode_exact(_opened(binding, record)[1])
        digests.append(bytes(32) if found is None else digest_of(found.counts))
    return digests


_DECODERS = {"learned": _learned_digests, "transform": _transform_digests, "exact": _exact_digests}


def _tell(codec: str, place: int, count: int) -> None:
    print(
        f"{platform.machine()}: {codec}, tile {place + 1} of {count}, {time.process_time():.0f} s CPU",
        file=sys.stderr,
        flush=True,
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("half", choices=("encode", "decode"))
    parser.add_argument("--tiles", type=Path)
    parser.add_argument("--coded", type=Path)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--engine", default="")
    args = parser.parse_args()
    model = EdgeModel(engine=args.engine or ("onnxruntime" if args.half == "encode" else "float32"))
    source = args.tiles if args.half == "encode" else args.coded
    with np.load(source) as archive:
        given = {name: archive[name] for name in archive.files}
    result: dict[str, Any] = encode(model, given["tiles"]) if args.half == "encode" else decode(model, given)
    np.savez(args.out, **result)
    print(f"{args.half}: {platform.machine()}, range coder {backend()}, {time.process_time():.0f} s CPU")
    return 0


if __name__ == "__main__":
    sys.exit(main())
