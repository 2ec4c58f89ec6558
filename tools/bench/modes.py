"""How many bits the learned codec needs beside the transform coder at equal error, and how often `auto` takes it.

    python -m swathpack.tools.bench.modes ../shared/data [--every 3] [--bppb 0.0163 0.0414 0.087] [--weights auto]

The first date of val cubes of twelve bands (at most 256 x 256), real files, decoded again; at equal weights of the bands, or at those that
--weights names. Prints for each the bits of the learned codec over the transform coder's at equal PSNR of all bands and of the visible ones
(BD-rate over the rates), the dB at equal bytes, and the share of tiles that `auto` gives to the learned codec at each rate; then means, and
what the learned codec would have to save before it were level on half of these files.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import swathpack
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder.weights import CHOICES
from swathpack.tools.bench import cubes, metrics
from swathpack.tools.bench.metrics import Curve, bd_rate
from swathpack.tools.bench.pictures import LARGEST, RATES
from swathpack.tools.errors import UserError

VISIBLE = slice(1, 4)  # B02, B03, B04
MODES = ("transform", "learned", "auto")
Image = NDArray[np.uint16]


@dataclass(frozen=True)
class Beside:
    """bits: of the learned codec over the transform coder's at equal error of all bands, %; visible: at equal error of blue, green and
    red; decibels: learned less transform, all bands, at every rate that both reach; learned: share of tiles that `auto` gives to
    it, by rate.
    """

    bits: float
    visible: float
    decibels: tuple[float, ...]
    learned: tuple[float, ...]


def coded(image: Image, mode: str, rate: float, weights: str) -> tuple[float, ...]:
    """Bits a pixel and band, dB of all bands and of the visible ones, and the share of tiles of the learned codec, of a file
    (12, H, W); nan where the bytes are too few.
    """
    budget = int(rate * image.size / 8)
    try:
        data = bytes(swathpack.compress(image[None], bands=BANDS, bytes=budget, mode=mode, weights=weights))
    except UserError:
        return (float("nan"),) * 4
    decoded = np.asarray(swathpack.open(data).read_all())[0]
    tiles = [tile for frame in swathpack.inspect(data)["frames"] for tile in frame["tiles"]]
    quality = metrics.psnr(image, decoded), metrics.psnr(image[VISIBLE], decoded[VISIBLE])
    return 8 * len(data) / image.size, *quality, np.mean([t["mode"] == "learned" for t in tiles])


def beside(image: Image, rates: Sequence[float], weights: str) -> Beside:
    """Both modes, and what `auto` takes, at each rate."""
    found = {mode: np.array([coded(image, mode, rate, weights) for rate in rates]).T for mode in MODES}
    bits, visible = (bd_rate(*[Curve.of(found[mode][0], found[mode][n]) for mode in MODES[:2]]) for n in (1, 2))
    decibels = found["learned"][1] - found["transform"][1]
    return Beside(bits, visible, tuple(decibels.tolist()), tuple(found["auto"][3].tolist()))


def summary(rows: Sequence[Beside], rates: Sequence[float]) -> str:
    """Means over the cubes, and what is to be saved."""
    lines = [f"{len(rows)} files: bits of the learned codec over the transform coder's at equal error of"]
    for name, of in (("bits", "all bands"), ("visible", "blue, green and red")):
        bits = np.array([getattr(row, name) for row in rows])
        need = max(0.0, 100 * (1 - 1 / (1 + np.nanmedian(bits) / 100)))
        lines.append(
            f"  {of}: mean {np.nanmean(bits):+.1f} %, median {np.nanmedian(bits):+.1f} %; "
            f"to be level on half of them it would have to save {need:.0f} % of its bits"
        )
    decibels, learned = (np.nanmean([getattr(row, name) for row in rows], axis=0) for name in ("decibels", "learned"))
    for rate, gap, share in zip(rates, decibels, learned):
        lines.append(f"{rate:g} bppb: {gap:+.2f} dB over all bands, auto gives it {100 * share:.0f} % of the tiles")
    return "\n".join(lines)


def main(argv: Sequence[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of cubes")
    parser.add_argument("--bppb", type=float, nargs="+", default=list(RATES), help="bits a pixel and band")
    parser.add_argument("--every", type=int, default=1, help="only every so manieth cube")
    parser.add_argument("--weights", choices=CHOICES, default="equal", help="of the bands")
    args = parser.parse_args(argv)
    if args.every < 1 or min(args.bppb) <= 0:
        parser.error("--every and --bppb: expected numbers above 0")
    rows = []
    try:
        for cube in cubes.load(args.data)[:: args.every]:
            row = beside(np.ascontiguousarray(cube.data[0, :, :LARGEST, :LARGEST]), args.bppb, args.weights)
            rows.append(row)
            parts = " ".join(f"{d:+.2f} dB ({n:.0f})" for d, n in zip(row.decibels, row.learned))
            print(f"{cube.name[:45]:45s} {row.bits:+7.1f} % {row.visible:+7.1f} %  {parts}", flush=True)
    except UserError as error:
        print(f"modes: {error}", file=sys.stderr)
        return error.exit_code
    print(summary(rows, args.bppb))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
