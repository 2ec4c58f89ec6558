"""Least squares over training crops: what `swathpack.codec.seams` adds to the pixels beside a seam of two tiles.

    python -m swathpack.tools.bench.drawn ../shared/data --out runs/drawn
    python -m swathpack.codec.fit_seams runs/drawn --out codec/seams.npz

Fits error and steps (`swathpack.codec.evened`) over the seams between columns of tiles, and then those between rows in what these
leave; prints the change of the squared error beside seams, and of the steps over them, on the crops it was fitted to, or on every
fourth place where --held-out leaves these out.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.atomic import replaced
from swathpack.codec.evened import asked
from swathpack.codec.seams import (
    REACH,
    SHAPE,
    SIDES,
    TAPS,
    Counts,
    Pixels,
    classes_of,
    groups_of,
    levelled,
    meet,
    mirrored,
    smoothed,
    windows_of,
)
from swathpack.codec.squares import GROUPS
from swathpack.edge.bands import BANDS
from swathpack.edge.stream.quality import TRANSFORM

DAMPING = 3e-3  # of a class's mean energy
SHARED = 1000  # windows
EVEN, LEAST = 3.0, 0.1  # how much steps over seams count, see `swathpack.codec.evened.asked`
LEAST_SEEN = 400  # windows of a class; below that nothing is added
RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.3, 1.01)  # bits a sample: what is told of the fit is told by these
GROUP_OF = groups_of(BANDS)


@dataclass(frozen=True, eq=False)
class Drawn:
    """An example of `swathpack.tools.bench.drawn`. steps (rows, columns of tiles, bands), learned (rows, columns):
    whether by the learned codec.
    """

    original: Counts
    drawn: Counts
    steps: NDArray[np.int64]
    tile: int
    bppb: float
    place: str
    learned: NDArray[np.bool_]
    names: tuple[str, ...] = BANDS

    @classmethod
    def read(cls, path: Path) -> Drawn:
        """From its file."""
        with np.load(path) as found:
            tile, (bands, height, width) = int(found["tile"]), found["drawn"].shape
            steps = found["steps"].astype(np.int64).reshape(-(-height // tile), -(-width // tile), bands)
            learned = (found["modes"] != TRANSFORM).reshape(steps.shape[:2])
            names = tuple(map(str, found["bands"])) if "bands" in found else BANDS
            rate, place = float(found["bppb"]), str(found["place"])
            return cls(found["original"], found["drawn"], steps, tile, rate, place, learned, names)

    def turned(self) -> Drawn:
        """Rows for columns."""
        first, second = (np.ascontiguousarray(a.transpose(0, 2, 1)) for a in (self.original, self.drawn))
        steps, learned = self.steps.transpose(1, 0, 2), self.learned.T
        return replace(self, original=first, drawn=second, steps=steps, learned=learned)

    def seams(self) -> Iterator[tuple[slice, int, tuple[NDArray[np.int64], NDArray[np.int64]]]]:
        """Of every seam between columns: rows, the column behind it, the steps of both tiles."""
        for y, line in enumerate(self.steps):
            rows = slice(y * self.tile, (y + 1) * self.tile)
            for x, both in enumerate(zip(line, line[1:]), 1):
                if meet(self.tile, min(self.tile, self.drawn.shape[2] - x * self.tile)):
                    yield rows, x * self.tile, both

    def smoothed(self, table: Pixels) -> Drawn:
        """With the seams between columns smoothed, in whole counts."""
        out, groups = self.drawn.copy(), groups_of(self.names)
        for rows, x, steps in self.seams():
            left, right = self.drawn[:, rows, :x], self.drawn[:, rows, x:]
            found = smoothed(left, right, (steps[0].tolist(), steps[1].tolist()), groups, table)
            out[:, rows, x - REACH : x + REACH] = np.clip(np.rint(np.concatenate(found, axis=2)), 1, 65535)
        return replace(self, drawn=out)


def fit_seams(drawn: Sequence[Drawn]) -> NDArray[np.float16]:
    """The kernels, `SHAPE`."""
    across = _fitted(drawn)
    along = _fitted([d.smoothed(across).turned() for d in drawn])
    return np.stack([across, along]).astype(np.float16)


def _fitted(drawn: Sequence[Drawn]) -> Pixels:
    """Of one direction: every crop and band counts by the inverse of its error."""
    energy, wanted = np.zeros((*SHAPE[1:3], TAPS, TAPS)), np.zeros((*SHAPE[1:3], TAPS, REACH))
    seen = np.zeros(SHAPE[1:3], np.int64)
    for one in drawn:
        error = one.original.astype(np.int32) - one.drawn
        weights = 1 / np.maximum(np.square(error, dtype=np.float64).mean(axis=(1, 2)), 1.0)
        for rows, x, steps in one.seams():
            windows = windows_of(one.drawn[:, rows, :x], one.drawn[:, rows, x:])
            missed = error[:, rows, x - REACH : x + REACH]
            for band, group in enumerate(GROUP_OF):
                classes = classes_of(windows[band], int(steps[0][band] + steps[1][band]))
                counted, added = asked(windows[band], missed[band], weights[band], EVEN, LEAST)
                _add(energy[group], wanted[group], seen[group], windows[band], counted, added, classes)
                back = windows[band][:, ::-1], counted, added[:, ::-1], mirrored(classes)
                _add(energy[group], wanted[group], seen[group], *back)
    return _solved(energy, wanted, seen)


def _add(
    energy: NDArray[np.float64],
    wanted: NDArray[np.float64],
    seen: NDArray[np.int64],
    rows: NDArray[np.int32],
    weights: NDArray[np.float64],
    added: NDArray[np.float64],
    classes: NDArray[np.intp],
) -> None:
    level = levelled(rows)
    for c in np.unique(classes):
        here = classes == c
        energy[c] += (level[here] * weights[here, None]).T @ level[here]
        wanted[c] += level[here].T @ added[here, :REACH]
        seen[c] += int(here.sum())


def _solved(energy: NDArray[np.float64], wanted: NDArray[np.float64], seen: NDArray[np.int64]) -> Pixels:
    """Of all groups of bands and sides of a place together, and then of each, as if SHARED of its windows said that."""
    parts = (len(GROUPS), -1, SIDES)
    energies, aims = energy.reshape(*parts, TAPS, TAPS), wanted.reshape(*parts, TAPS, REACH)
    counts = seen.reshape(parts)
    found = np.zeros(aims.shape, np.float32)
    for c in np.flatnonzero(counts.sum(axis=(0, 2)) >= LEAST_SEEN):
        common = _least(energies[:, c].sum(axis=(0, 1)), aims[:, c].sum(axis=(0, 1)), DAMPING, np.zeros((TAPS, REACH)))
        found[:, c] = common
        for g, side in zip(*np.nonzero(counts[:, c])):
            share = SHARED / counts[g, c, side]
            found[g, c, side] = _least(energies[g, c, side], aims[g, c, side], share, common)
    return found.reshape(SHAPE[1:])


def _least(
    energy: NDArray[np.float64], wanted: NDArray[np.float64], share: float, near: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least squares, drawn towards `near` by a share of the mean energy."""
    pull = share * np.trace(energy) / TAPS
    if not pull:
        return near
    return np.asarray(np.linalg.solve(energy + pull * np.eye(TAPS), wanted + pull * near))


@dataclass(frozen=True)
class Change:
    """Of one crop: RMSE over the original within REACH of seams, after over before; steps over seams, over those elsewhere, over
    the original's, before and after.
    """

    error: float
    before: float
    after: float

    @classmethod
    def of(cls, one: Drawn, kernels: Pixels) -> Change:
        """What these kernels do."""
        found = one.smoothed(kernels[0]).turned().smoothed(kernels[1]).turned()
        near = _near(one)
        error = [
            np.square(one.original[:, near] - d.drawn[:, near].astype(np.float64)).mean(axis=1) for d in (one, found)
        ]
        steps = [_seam_steps(a, one.tile) for a in (one.original, one.drawn, found.drawn)]
        return cls(float(np.sqrt(error[1] / error[0]).mean()), steps[1] / steps[0], steps[2] / steps[0])


def _near(one: Drawn) -> NDArray[np.bool_]:
    """(H, W) whether a seam is within REACH."""
    flags = []
    for side in one.drawn.shape[1:]:
        seams = np.arange(one.tile, side, one.tile)
        away = np.abs(np.arange(side)[:, None] + 0.5 - seams[None])
        flags.append((away < REACH).any(axis=1))
    return np.asarray(flags[0][:, None] | flags[1][None])


def _seam_steps(image: Counts, tile: int) -> float:
    """Mean step over the seams over the mean step elsewhere, mean of the bands and both directions that have any."""
    ratios = []
    for axis in (1, 2):
        steps = np.abs(np.diff(image.astype(np.int32), axis=axis)).mean(axis=3 - axis)
        seams = np.arange(1, steps.shape[1] + 1) % tile == 0
        if seams.any():
            ratios.append(steps[:, seams].mean(axis=1) / np.maximum(steps[:, ~seams].mean(axis=1), 1e-6))
    return float(np.mean(ratios))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("drawn", type=Path, help="folder of examples")
    parser.add_argument("--out", type=Path, help="the file to write")
    parser.add_argument("--held-out", action="store_true", help="leave every fourth place out, and tell of these")
    args = parser.parse_args()
    every = [Drawn.read(path) for path in sorted(args.drawn.glob("[0-9]*[0-9].npz"))]
    every = [d for d in every if min(d.steps.shape[:2]) > 1]
    shown = [d for d in every if crc32(d.place.encode()) % 4 == 0] if args.held_out else every
    found = fit_seams([d for d in every if not args.held_out or crc32(d.place.encode()) % 4])
    if args.out:
        with replaced(args.out) as part:
            np.savez_compressed(part, kernels=found)
    changes = [Change.of(d, found.astype(np.float32)) for d in shown]
    for low, high in zip(RATES, RATES[1:]):
        own = [(c.error, c.before, c.after) for d, c in zip(shown, changes) if low <= d.bppb < high]
        if own:
            error, before, after = np.mean(own, axis=0)
            worst = max(e for e, *_ in own)
            print(
                f"{low:g} to {high:g} bppb: {len(own)} crops, RMSE beside seams x {error:.4f} (worst {worst:.4f}), "
                f"steps {before:.2f} -> {after:.2f}"
            )


if __name__ == "__main__":
    main()
