"""What invalid pixels cost: bytes a valid sample of cut-out scenes over those of the whole ones, at equal RMSE.

    python -m swathpack.tools.bench.invalid_pixels ../shared/data                          # four bands, blobs of 50 pixels
    python -m swathpack.tools.bench.invalid_pixels ../shared/data --sets B08,4,12 --blobs 20,50,100,edge --shares 0.1,0.4,0.7
    python -m swathpack.tools.bench.invalid_pixels ../shared/data --refined                # what files keep

First dates of val scenes that are all valid, their first 256 x 256 pixels, by the transform coder alone. Blobs are where noise,
blurred so that a blob is about as wide as said, is below its quantile; `edge` is all left of a slanted line; of every scene several
cuts. A rate is that of the whole scene; cut ones are coded for as many bytes a valid sample, and their curve of real decoded prefixes
is read where it has the whole one's RMSE. `filled`: as in flight, `left out`: as in files (docs/transform_coder.md), `with mask`: the same
and the bytes of the mask as a file has it. Refined: what is left out, and the whole scenes beside it, are coded once more for their length
(with a trellis), which stays where it has less error. Prints a line a set, size, share and rate: geometric means, and the worst.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import TILE
from swathpack.edge.codec.transform_coder import decode_tile, encode_tile, refine_payload
from swathpack.edge.stream import pack_mask
from swathpack.edge.stream.contours import pack_contours
from swathpack.edge.stream.edges import pack_edges
from swathpack.tools.bench.range_peers import Scene
from swathpack.tools.bench.transform_coder import SETS, val_scenes
from swathpack.tools.errors import UserError

LEAST_SIDE = 200
SEED = 4
AROUND = (0.7, 0.85, 1.0, 1.2, 1.45, 1.75, 2.1)  # lengths, over the one aimed at
AROUND_REFINED = (0.85, 1.0, 1.2, 1.5)
EDGE, SLANT = "edge", 0.3
Mask = NDArray[np.bool_]


def blobs(shape: Sequence[int], size: float, share: float, seed: int) -> Mask:
    """(H, W) bool, valid but for `share` of the pixels in blobs about `size` wide."""
    height, width = shape
    noise = np.random.default_rng(seed).normal(size=(2 * height, 2 * width))  # so that edges do not meet
    across, along = np.fft.fftfreq(2 * height)[:, None], np.fft.rfftfreq(2 * width)
    blur = np.exp(-2 * (np.pi * size / 4) ** 2 * (across**2 + along**2))
    field = np.fft.irfft2(np.fft.rfft2(noise) * blur, s=noise.shape)[:height, :width]
    return np.asarray(field > np.quantile(field, share), np.bool_)


def edge(shape: Sequence[int], share: float, seed: int) -> Mask:
    """(H, W) bool, valid but for `share` of the pixels to one side of a slanted line."""
    y, x = np.mgrid[: shape[0], : shape[1]]
    along = (x, y, -x, -y)[seed % 4] + SLANT * (y, x, y, x)[seed % 4]
    return np.asarray(along > np.quantile(along, share), np.bool_)


def mask_bytes(valid: Mask) -> int:
    """Of the shortest of the forms that files have; none where all is valid."""
    if valid.all():
        return 0
    forms = pack_mask(valid), pack_edges(valid), pack_contours(valid)
    return min(len(packed) for packed in forms if packed is not None)


def curve(
    scene: Scene, valid: Mask, aim: int, shaped: bool, refined: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bytes and mean squared errors over valid pixels of prefixes around `aim` bytes, rising and falling."""
    data = np.where(valid, scene.data, 0).astype(np.uint16)
    around = AROUND_REFINED if refined else AROUND
    coded = encode_tile(data, valid, scene.names, max_bytes=int(around[-1] * aim) + 200, aim_bytes=aim, shaped=shaped)
    least, most = coded.head + 8, len(coded.payload)
    sizes = np.unique(np.clip((aim * np.array(around)).astype(int), least, most))
    errors = []
    for size in sizes:
        payloads = [
            coded.payload[:size],
            refine_payload(coded.payload[:size], data, valid, scene.names) if refined else None,
        ]
        errors.append(min(_error(scene, valid, payload) for payload in payloads if payload is not None))
    return sizes.astype(np.float64), np.minimum.accumulate(np.array(errors))


def _error(scene: Scene, valid: Mask, payload: bytes) -> float:
    """Mean squared error over valid pixels."""
    shape = scene.data.shape[0], scene.data.shape[1], scene.data.shape[2]
    drawn = np.clip(np.rint(decode_tile(payload, shape, scene.names, valid=valid).samples), 0, 65535)
    return float(((drawn - scene.data)[:, valid] ** 2).mean(dtype=np.float64))


def costs(scene: Scene, valid: Mask, rate: float, refined: bool = False) -> tuple[float, float, float]:
    """Bytes a valid sample over those of the whole scene: filled, left out, left out with the mask."""
    aim, share, found, targets = int(rate * scene.data.size / 8), float(valid.mean()), [], {}
    for again in {False, refined}:  # of the whole scene, as the cut one beside it is coded
        sizes, errors = curve(scene, np.ones_like(valid), aim, False, again)
        targets[again] = np.interp(np.log(aim), np.log(sizes), np.log(errors))
    for shaped in (False, True):
        again = refined and shaped
        sizes, errors = curve(scene, valid, int(aim * share), shaped, again)
        length = np.exp(np.interp(targets[again], np.log(errors[::-1]), np.log(sizes[::-1])))
        found.append(float(length / (aim * share)))
    return found[0], found[1], found[1] + mask_bytes(valid) / (aim * share)


def whole_scenes(folder: Path, bands: tuple[str, ...], split: str, most: int) -> Iterator[Scene]:
    """Scenes whose first tile is large enough and all valid."""
    count = 0
    for scene in val_scenes(folder, bands, split):
        data, valid = scene.data[:, :TILE, :TILE], scene.valid[:TILE, :TILE]
        if min(valid.shape) >= LEAST_SIDE and valid.all() and count < most:
            count += 1
            yield Scene(scene.name, data, valid, scene.names)


def cut(shape: Sequence[int], size: str, share: float, seed: int) -> Mask:
    """(H, W) bool of blobs of a size, or beside an edge."""
    return edge(shape, share, seed) if size == EDGE else blobs(shape, float(size), share, seed)


def main() -> int:
    args = _parser().parse_args()
    try:
        sizes = args.blobs.split(",")
        shares, rates = ([float(v) for v in text.split(",")] for text in (args.shares, args.bppb))
        if unknown := [n for n in args.sets.split(",") if n not in SETS]:
            raise UserError(f"unknown {unknown[0]!r}: sets are {', '.join(SETS)}")
        wide = [float(v) for v in sizes if v != EDGE]
        if not all(0 < share < 1 for share in shares) or not all(v > 0 for v in (*wide, *rates, args.cuts)):
            raise UserError("expected shares between 0 and 1, and sizes, rates and cuts above 0")
        for name in args.sets.split(","):
            scenes = list(whole_scenes(args.folder, SETS[name], args.split, args.scenes))
            if not scenes:
                raise UserError(f"no scene of {args.folder} has the bands of set {name} and {LEAST_SIDE} valid pixels")
            for size, share, rate in product(sizes, shares, rates):
                cuts = product(scenes, range(SEED, SEED + args.cuts))
                table = [costs(s, cut(s.valid.shape, size, share, seed), rate, args.refined) for s, seed in cuts]
                print(_line(name, size, share, rate, table), flush=True)
    except (ValueError, OSError, UserError) as error:
        raise SystemExit(f"error: {error}") from error
    return 0


def _line(name: str, size: str, share: float, rate: float, table: list[tuple[float, float, float]]) -> str:
    means, worst = np.exp(np.log(table).mean(axis=0)), np.max(table, axis=0)
    said = zip(("filled", "left out", "with mask"), means, worst)
    where = "beside an edge" if size == EDGE else f"in blobs of {float(size):g}"
    return f"set {name}, {share:.0%} {where}, {rate:g} bppb, {len(table)} cuts: " + ", ".join(
        f"{what} {mean:.3f} ({most:.3f})" for what, mean, most in said
    )


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("--sets", default="4", help=f"of {', '.join(SETS)} (default: %(default)s)")
    parser.add_argument("--blobs", default="50", help="pixels, or edge (default: %(default)s)")
    parser.add_argument("--shares", default="0.4", help="of the pixels that are cut out (default: %(default)s)")
    parser.add_argument("--bppb", default="0.05,0.2,1", help="rates of the whole scenes (default: %(default)s)")
    parser.add_argument("--split", default="val", help="split of the catalogue (default %(default)s)")
    parser.add_argument("--scenes", type=int, default=100, help="scenes at most (default: %(default)s)")
    parser.add_argument("--cuts", type=int, default=4, help="of every scene (default: %(default)s)")
    parser.add_argument("--refined", action="store_true", help="payloads coded once more for their length, as in files")
    return parser


if __name__ == "__main__":
    raise SystemExit(main())
