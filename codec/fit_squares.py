"""Least squares over training crops: what `swathpack.codec.squares` adds to the pixels beside an edge of two blocks.

    python -m swathpack.codec.fit_squares ../shared/data --out codec/squares.npz

Codes and draws first dates of training cubes at seven steps, a tile each, fits error and steps (`swathpack.codec.evened`) over the
columns and then the rows of what the columns leave, and prints the change of the squared error on the crops it was fitted to.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.atomic import replaced
from swathpack.codec.data import load_cubes
from swathpack.codec.evened import asked
from swathpack.codec.squares import (
    CLASSES,
    GROUPS,
    REACH,
    SHAPE,
    TAPS,
    Pixels,
    classes_of,
    corrections,
    levelled,
    smoothed,
    windows_of,
)
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.tile_coder import RDO_SLOPE, analyse_tile, encode_tile
from swathpack.edge.stream.quality import quality_of, usual_shift

STEPS = (26, 32, 38, 44, 50, 56, 62)
SIDE, LEAST_SIDE = 160, 96
DAMPING = 3e-3  # of a class's mean energy
EVEN, LEAST = 1.0, 0.5  # how much steps over edges count, see `swathpack.codec.evened.asked`
LEAST_SEEN = 300  # windows of a class; below that nothing is added


@dataclass(frozen=True, eq=False)
class Drawn:
    """A crop (12, H, W) DN as it was and as it is drawn at step q; sides are whole blocks."""

    original: Pixels
    pixels: Pixels
    q: int

    def turned(self) -> Drawn:
        """Rows for columns."""
        first, second = (np.ascontiguousarray(a.transpose(0, 2, 1)) for a in (self.original, self.pixels))
        return Drawn(first, second, self.q)


def fit_squares(drawn: Sequence[Drawn]) -> NDArray[np.float16]:
    """The kernels, `SHAPE`."""
    across = _fitted(drawn)
    left = [replace(d, pixels=d.pixels + corrections(d.pixels, d.q, across)).turned() for d in drawn]
    return np.stack([across, _fitted(left)]).astype(np.float16)


def _fitted(drawn: Sequence[Drawn]) -> Pixels:
    """Of one direction: every crop and band counts by the inverse of its error."""
    energy = np.zeros((len(GROUPS), CLASSES, TAPS, TAPS))
    wanted, seen = np.zeros((len(GROUPS), CLASSES, TAPS, 2 * REACH)), np.zeros((len(GROUPS), CLASSES), np.int64)
    for one in drawn:
        error = one.original - one.pixels
        for g, band in ((g, band) for g, group in enumerate(GROUPS) for band in group):
            rows = np.ascontiguousarray(windows_of(one.pixels[band : band + 1])).reshape(-1, TAPS)
            target = windows_of(error[band : band + 1]).reshape(-1, TAPS)[:, REACH : TAPS - REACH]
            classes, level = classes_of(rows, one.q), levelled(rows)
            weight = 1 / max(float(np.square(error[band]).mean()), 1.0)
            weights, added = asked(rows, target, weight, EVEN, LEAST)
            for c in np.unique(classes):
                here = classes == c
                energy[g, c] += (level[here] * weights[here, None]).T @ level[here]
                wanted[g, c] += level[here].T @ added[here]
                seen[g, c] += int(here.sum())
    return _solved(energy + energy[:, :, ::-1, ::-1], wanted + wanted[:, :, ::-1, ::-1], seen)


def _solved(energy: NDArray[np.float64], wanted: NDArray[np.float64], seen: NDArray[np.int64]) -> Pixels:
    found = np.zeros(SHAPE[1:], np.float32)
    for g, c in zip(*np.nonzero(seen >= LEAST_SEEN)):
        damped = energy[g, c] + DAMPING * np.trace(energy[g, c]) / TAPS * np.eye(TAPS)
        found[g, c] = np.linalg.solve(damped, wanted[g, c])[:, :REACH]
    return found


def drawn_crops(root: Path, model: EdgeModel, at_most: int) -> Iterator[Drawn]:
    """First dates of training cubes that have all bands and their full detail, `at_most` of a kind of name, at every step."""
    kinds: dict[str, int] = {}
    for cube in load_cubes(root, "train"):
        kind = cube.name.split("__")[0]
        frame = np.asarray(cube.data[0, :, :SIDE, :SIDE], np.float32)
        height, width = (side // 16 * 16 for side in frame.shape[1:])
        frame = np.ascontiguousarray(frame[:, :height, :width])
        whole = min(height, width) >= LEAST_SIDE and bool(frame.any(axis=0).all())
        if cube.weight < 1 or not whole or kinds.get(kind, 0) >= at_most:
            continue
        kinds[kind] = kinds.get(kind, 0) + 1
        coefficients = analyse_tile(model, frame, np.ones((height, width), np.bool_))
        for q in STEPS:
            coded = encode_tile(model, coefficients, quality_of(q, usual_shift(q)), [], slope=RDO_SLOPE)
            yield Drawn(frame, model.synthesise(coded.reconstruction()), q)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with catalog.json")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    parser.add_argument("--at-most", type=int, default=3, help="cubes of a kind of name (default %(default)s)")
    args = parser.parse_args()
    drawn = list(drawn_crops(args.data, EdgeModel(), args.at_most))
    found = fit_squares(drawn)
    with replaced(args.out) as part:
        np.savez_compressed(part, kernels=found)
    for q in STEPS:
        own = [d for d in drawn if d.q == q]
        before, after = (
            np.array([np.square(d.original - made).mean() for d, made in zip(own, images)])
            for images in ([d.pixels for d in own], [smoothed(d.pixels, q, found.astype(np.float32)) for d in own])
        )
        print(f"q {q}: {len(own)} crops, {10 * np.log10(before / after).mean():+.3f} dB")


if __name__ == "__main__":
    main()
