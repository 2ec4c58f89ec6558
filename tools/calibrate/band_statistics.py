"""Mean and covariance of the twelve bands, and how well missing bands are filled from them.

    python -m swathpack.tools.calibrate.band_statistics --data ../shared/data -o models/edge/band_statistics.npz

Reads the training cubes that hold all twelve bands, writes mean and covariance (pooled; and robust ones per
product level for the regression), and prints the error of `swathpack.edge.bands.completion_matrix` on the validation
cubes for typical sets of given bands, per band in DN.
"""

from __future__ import annotations

import argparse
import json
import sys
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.data import Cube, load_cubes
from swathpack.edge.bands import BANDS, BandStatistics, completion_matrix
from swathpack.edge.frame import normalise_level
from swathpack.export.digests import renew
from swathpack.tools.files.outputs import Output, add_force
from swathpack.tools.guard import guarded

TYPICAL_SETS: dict[str, tuple[str, ...]] = {
    "10 bands (no B01, B09)": tuple(b for b in BANDS if b not in ("B01", "B09")),
    "nrt, 6 bands": ("B02", "B03", "B04", "B08", "B8A", "B11"),
    "fordead, 6 bands": ("B02", "B03", "B04", "B8A", "B11", "B12"),
    "RGB+NIR": ("B02", "B03", "B04", "B08"),
    "RGB": ("B02", "B03", "B04"),
}


DEGREES = 8.0  # of freedom of the Student-t that stands for the spread of pixels: bright cloud weighs little
ROUNDS = 8
NOISE_DN = 10.0


def _pixels(cube: Cube) -> NDArray[np.float64]:
    """(n, 12) valid pixels."""
    pixels: NDArray[np.float64] = cube.data.transpose(0, 2, 3, 1)[cube.valid].astype(np.float64)
    return pixels


def moments(pixels: NDArray[np.float64], weight: NDArray[np.float64]) -> BandStatistics:
    """Weighted mean and covariance of pixels (n, 12) with weight (n,)."""
    mean = weight @ pixels / weight.sum()
    centred = pixels - mean
    return BandStatistics(mean, (centred * weight[:, None]).T @ centred / weight.sum())


def robust_moments(pixels: NDArray[np.float64], weight: NDArray[np.float64]) -> BandStatistics:
    """Moments with outliers weighed down: M-estimate of a Student-t (Kent, Tyler, Vardi 1994)."""
    result = moments(pixels, weight)
    for _ in range(ROUNDS):
        centred = pixels - result.mean
        precision = np.linalg.inv(result.covariance + NOISE_DN**2 * np.eye(len(BANDS)))
        distance = np.einsum("ni,ni->n", centred @ precision, centred)
        result = moments(pixels, weight * (len(BANDS) + DEGREES) / (DEGREES + distance))
    return result


def statistics(cubes: list[Cube], robust: bool = False) -> BandStatistics:
    """Moments over all valid pixels of the cubes, each pixel with `Cube.weight`."""
    pixels = np.concatenate([_pixels(c) for c in cubes])
    weight = np.concatenate([np.full(int(c.valid.sum()), c.weight) for c in cubes])
    return (robust_moments if robust else moments)(pixels, weight)


def levels(root: Path) -> dict[str, str]:
    """Cube name -> L1C, L2A or unknown, from the catalogue."""
    catalogue = json.loads((root / "catalog.json").read_text())
    return {Path(e["file"]).stem: normalise_level(e["level"]) for e in catalogue}


def completion_errors(
    cubes: list[Cube], level_of: dict[str, str], present: tuple[str, ...], path: Path
) -> NDArray[np.float64]:
    """(cubes, 12) root-mean-square error in DN of the filled bands."""
    index = [BANDS.index(b) for b in present]
    errors = np.empty((len(cubes), len(BANDS)))
    for row, cube in enumerate(cubes):
        gain, offset = completion_matrix(present, level_of[cube.name], path)
        pixels = _pixels(cube)
        filled = np.maximum(np.rint(pixels[:, index] @ gain.T.astype(np.float64) + offset), 1)
        errors[row] = np.sqrt(((filled - pixels) ** 2).mean(axis=0))
    return errors


def _report(root: Path, path: Path) -> None:
    cubes, level_of = load_cubes(root, "val"), levels(root)
    print(f"error of filled bands on {len(cubes)} validation cubes, DN rms: median (mean) over cubes")
    for name, present in TYPICAL_SETS.items():
        errors = completion_errors(cubes, level_of, present, path)
        middle, mean = np.median(errors, axis=0), errors.mean(axis=0)
        filled = [f"{b} {middle[i]:.0f} ({mean[i]:.0f})" for i, b in enumerate(BANDS) if b not in present]
        print(f"  {name:24s}" + "  ".join(filled))


def main() -> None:
    raw = argparse.RawDescriptionHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=raw)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("-o", "--out", type=Path, default=Path("models/edge/band_statistics.npz"))
    add_force(parser)
    args = parser.parse_args()
    sys.exit(guarded("band_statistics", lambda: run(args)))


def run(args: argparse.Namespace) -> int:
    """Computes, saves and reports."""
    output = Output(args.out, [args.data], args.force)
    train, level_of = load_cubes(args.data, "train"), levels(args.data)
    kinds = {"pooled": statistics(train), "unknown": statistics(train, robust=True)}
    for level in ("L1C", "L2A"):
        kinds[level] = statistics([c for c in train if level_of[c.name] == level], robust=True)
    arrays: dict[str, Any] = {f"{k}_mean": v.mean for k, v in kinds.items()}
    arrays |= {f"{k}_covariance": v.covariance for k, v in kinds.items()}
    with output as place:
        np.savez(place, bands=np.array(BANDS), **arrays)
    renew(args.out)
    print(f"{len(train)} cubes -> {args.out}")
    for kind, value in kinds.items():
        print(f"  {kind:8s} mean " + " ".join(f"{m:5.0f}" for m in value.mean))
    _report(args.data, args.out)
    return 0


if __name__ == "__main__":
    main()
