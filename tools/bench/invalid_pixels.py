"""What invalid pixels cost: bytes a valid sample of cut-out scenes over those of the whole ones, at equal RMSE.

    python -m swathpack.tools.bench.invalid_pixels ../shared/data                          # four bands, blobs of 50 pixels
    python -m swathpack.tools.bench.invalid_pixels ../shared/data --sets B08,4,12 --blobs 20,50,100 --shares 0.1,0.4,0.7

First dates of val scenes that are all valid, their first 256 x 256 pixels, by the transform coder alone. Blobs are where noise,
blurred so that a blob is about as wide as said, is below its quantile; of every scene several cuts. A rate is that of the whole
scene; cut ones are coded for as many bytes a valid sample, and their curve of real decoded prefixes is read where it has the whole
one's RMSE. `filled`: as in flight, `left out`: as in files (docs/codec.md). Masks are not counted: both ways need the same.
Prints a line a set, size, share and rate: geometric means, and the worst.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from itertools import product
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import TILE
from swathpack.edge.codec.transform_coder import decode_tile, encode_tile
from swathpack.tools.bench.range_peers import Scene
from swathpack.tools.bench.transform_coder import SETS, val_scenes
from swathpack.tools.errors import UserError

LEAST_SIDE = 200
SEEDS = (4, 5, 6, 7)
AROUND = (0.7, 0.85, 1.0, 1.2, 1.45, 1.75)  # lengths, over the one aimed at
Mask = NDArray[np.bool_]


def blobs(shape: Sequence[int], size: float, share: float, seed: int) -> Mask:
    """(H, W) bool, valid but for `share` of the pixels in blobs about `size` wide."""
    height, width = shape
    noise = np.random.default_rng(seed).normal(size=(2 * height, 2 * width))  # so that edges do not meet
    across, along = np.fft.fftfreq(2 * height)[:, None], np.fft.rfftfreq(2 * width)
    blur = np.exp(-2 * (np.pi * size / 4) ** 2 * (across**2 + along**2))
    field = np.fft.irfft2(np.fft.rfft2(noise) * blur, s=noise.shape)[:height, :width]
    return np.asarray(field > np.quantile(field, share), np.bool_)


def curve(scene: Scene, valid: Mask, aim: int, shaped: bool) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Bytes and mean squared errors over valid pixels of prefixes around `aim` bytes, rising and falling."""
    data = np.where(valid, scene.data, 0).astype(np.uint16)
    coded = encode_tile(data, valid, scene.names, max_bytes=int(AROUND[-1] * aim) + 200, aim_bytes=aim, shaped=shaped)
    least, most = coded.head + 8, len(coded.payload)
    sizes = np.unique(np.clip((aim * np.array(AROUND)).astype(int), least, most))
    errors = []
    for size in sizes:
        drawn = np.clip(
            np.rint(decode_tile(coded.payload[:size], data.shape, scene.names, valid=valid).samples), 0, 65535
        )
        errors.append(float(((drawn - scene.data)[:, valid] ** 2).mean(dtype=np.float64)))
    return sizes.astype(np.float64), np.minimum.accumulate(np.array(errors))


def costs(scene: Scene, valid: Mask, rate: float) -> tuple[float, float]:
    """Bytes a valid sample over those of the whole scene, filled and left out."""
    aim = int(rate * scene.data.size / 8)
    sizes, errors = curve(scene, np.ones_like(valid), aim, False)
    target, share = np.interp(np.log(aim), np.log(sizes), np.log(errors)), float(valid.mean())
    found = []
    for shaped in (False, True):
        sizes, errors = curve(scene, valid, int(aim * share), shaped)
        length = np.exp(np.interp(target, np.log(errors[::-1]), np.log(sizes[::-1])))
        found.append(float(length / (aim * share)))
    return found[0], found[1]


def whole_scenes(folder: Path, bands: tuple[str, ...], split: str, most: int) -> Iterator[Scene]:
    """Scenes whose first tile is large enough and all valid."""
    count = 0
    for scene in val_scenes(folder, bands, split):
        data, valid = scene.data[:, :TILE, :TILE], scene.valid[:TILE, :TILE]
        if min(valid.shape) >= LEAST_SIDE and valid.all() and count < most:
            count += 1
            yield Scene(scene.name, data, valid, scene.names)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("--sets", default="4", help=f"of {', '.join(SETS)} (default: %(default)s)")
    parser.add_argument("--blobs", default="50", help="pixels (default: %(default)s)")
    parser.add_argument("--shares", default="0.4", help="of the pixels that are cut out (default: %(default)s)")
    parser.add_argument("--bppb", default="0.05,0.2,1", help="rates of the whole scenes (default: %(default)s)")
    parser.add_argument("--split", default="val", help="split of the catalogue (default %(default)s)")
    parser.add_argument("--scenes", type=int, default=100, help="scenes at most (default: %(default)s)")
    args = parser.parse_args()
    try:
        sizes, shares, rates = ([float(v) for v in text.split(",")] for text in (args.blobs, args.shares, args.bppb))
        if unknown := [n for n in args.sets.split(",") if n not in SETS]:
            raise UserError(f"unknown {unknown[0]!r}: sets are {', '.join(SETS)}")
        if not all(0 < share < 1 for share in shares) or not all(v > 0 for v in (*sizes, *rates)):
            raise UserError("expected shares between 0 and 1, and sizes and rates above 0")
        for name in args.sets.split(","):
            scenes = list(whole_scenes(args.folder, SETS[name], args.split, args.scenes))
            if not scenes:
                raise UserError(f"no scene of {args.folder} has the bands of set {name} and {LEAST_SIDE} valid pixels")
            for size, share, rate in product(sizes, shares, rates):
                table = [
                    costs(scene, blobs(scene.valid.shape, size, share, seed), rate)
                    for scene in scenes
                    for seed in SEEDS
                ]
                filled, left = np.exp(np.log(table).mean(axis=0))
                worst = np.max(table, axis=0)
                print(
                    f"set {name}, {share:.0%} in blobs of {size:g}, {rate:g} bppb, {len(scenes)} scenes: "
                    f"filled {filled:.3f} ({worst[0]:.3f}), left out {left:.3f} ({worst[1]:.3f})",
                    flush=True,
                )
    except (ValueError, OSError, UserError) as error:
        raise SystemExit(f"error: {error}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
