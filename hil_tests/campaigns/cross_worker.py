"""One machine's half of the cross-coding check: code tiles to segments, or segments to latents.

    python -m swathpack.hil_tests.campaigns.cross_worker encode --tiles tiles.npz --out coded.npz [--engine onnxruntime]
    python -m swathpack.hil_tests.campaigns.cross_worker decode --coded coded.npz --out decoded.npz [--engine float32]

Imports nothing beyond edge/ and numpy, so that it also runs on a board. `tiles.npz` holds `tiles` (N, T, 12, S, S)
uint16 DN. `coded.npz` holds `segments` (uint8, all records one after the other), `lengths` (N, T), `digests` (N, T, 32) of
the latents, `q`, `size`. Every date is coded against up to two earlier ones of its tile, with all their layers.
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

from swathpack.edge.codec.latents import LAYERS, Latent
from swathpack.edge.codec.layers import tile_decoder
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.prediction import CodingContext
from swathpack.edge.codec.rangecoder import backend
from swathpack.edge.codec.tile_coder import analyse_tile, encode_tile
from swathpack.edge.stream import ContextRef, lone_binding, pack_segment
from swathpack.edge.stream.quality import quality_of, usual_shift
from swathpack.edge.stream.segment import payload_of, unpack_front

QUALITY = 12  # fine enough that most layers carry symbols
MAX_CONTEXTS = 2


def latent_digest(latent: Latent) -> bytes:
    """SHA-256 of a latent's shape and values, in one byte order."""
    values = np.ascontiguousarray(latent, "<i2")
    return hashlib.sha256(repr(values.shape).encode() + values.tobytes()).digest()


def _contexts(earlier: list[Latent]) -> list[CodingContext]:
    return [CodingContext(latent, QUALITY, LAYERS) for latent in earlier[: -MAX_CONTEXTS - 1 : -1]]


def encode(model: EdgeModel, tiles: NDArray[np.uint16]) -> dict[str, NDArray[Any]]:
    """Segments and latent digests of all tiles (N, T, 12, S, S)."""
    binding = lone_binding(model.digest, model.tables_digest)
    records, digests = [], []
    for place, series in enumerate(tiles):
        earlier: list[Latent] = []
        for date, pixels in enumerate(series):
            coefficients = analyse_tile(model, pixels, np.ones(pixels.shape[1:], np.bool_))
            coded = encode_tile(model, coefficients, quality_of(QUALITY, usual_shift(QUALITY)), _contexts(earlier))
            refs = tuple(ContextRef(date - 1 - n, LAYERS, bytes(4)) for n in range(min(date, MAX_CONTEXTS)))
            records.append(pack_segment(coded.segment(date, place, LAYERS, refs), binding))
            digests.append(latent_digest(coded.latent))
            earlier.append(coded.latent)
        _tell(place, len(tiles))
    shape = tiles.shape[:2]
    return {
        "segments": np.frombuffer(b"".join(records), np.uint8),
        "q": np.array(QUALITY),
        "size": np.array(tiles.shape[-1]),
        "lengths": np.array([len(r) for r in records]).reshape(shape),
        "digests": np.frombuffer(b"".join(digests), np.uint8).reshape(*shape, 32),
    }


def decode(model: EdgeModel, coded: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Digests (N, T, 32) of the latents that the segments decode to."""
    binding = lone_binding(model.digest, model.tables_digest)
    data, at, digests = coded["segments"].tobytes(), 0, []
    for place, lengths in enumerate(coded["lengths"]):
        earlier: list[Latent] = []
        for length in lengths:
            segment, start = unpack_front(data, at, binding)
            size = (segment.grid_h, segment.grid_w)
            decoder = tile_decoder(model.engine, model.tables, _contexts(earlier), segment.quality_byte, size)
            if decoder.decode(payload_of(segment, data, start).payload, LAYERS) != LAYERS:
                raise SystemExit(f"tile {place}: the payload ends early")
            digests.append(latent_digest(decoder.latent))
            earlier.append(decoder.latent)
            at += int(length)
        _tell(place, len(coded["lengths"]))
    return {"digests": np.frombuffer(b"".join(digests), np.uint8).reshape(*coded["lengths"].shape, 32)}


def _tell(place: int, count: int) -> None:
    print(
        f"{platform.machine()}: tile {place + 1} of {count}, {time.process_time():.0f} s CPU",
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
