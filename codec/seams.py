"""Seams between tiles are smoothed where images are drawn, on the ground only.

Every tile is coded by itself, so at low rates neighbours meet in steps that the scene does not have. What is to be added to the
REACH pixels on both sides of a seam is a linear function of the TAPS pixels across, by the class of that place: how lively it is
on both sides, in the steps that the tiles were coded at, how large the step over the seam is beside that, and whether one side is
the livelier. First over all seams between columns of tiles, then over those between rows, in whole counts. The functions are
least squares over training crops (`codec/fit_seams.py`) of the error and, where all around is smooth, of the step over the seam
(`codec/evened.py`), so they leave an edge that the scene has.

Classes are decided by integers, and sums over taps are taken in one order: every machine draws the same counts. Nothing is predicted
from them: dates and latents that others are coded against are taken before.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.squares import GROUPS
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.latents import STEP_UNIT_DN

REACH = 8  # pixels on either side of a seam that change
SIDE = 16  # pixels on either side that are looked at
TAPS = 2 * SIDE
LEAST_SIDE = SIDE + REACH  # of a tile that may have another seam: what is looked at at one the other has not changed
LIVELY = tuple(range(-176, 17, 32))  # mean step between pixels on both sides over the tiles' step, log2 in sixteenths
STEEP = (1, 3, 6)  # the step over the seam, in mean steps on both sides
UNEQUAL = 3  # one side is the livelier where it is as many times as lively
SIDES = 3  # alike, left, right
MOST = 3 / 16  # of the tiles' step that is added: what asks for more is the scene's
CLASSES = (len(LIVELY) + 1) * (len(STEEP) + 1) * SIDES
SHAPE = (
    2,
    len(GROUPS),
    CLASSES,
    TAPS,
    REACH,
)  # directions, groups of bands, classes, pixels across, pixels left of the seam
FILE = Path(__file__).resolve().parent / "seams.npz"

Counts = NDArray[np.uint16]
Pixels = NDArray[np.float32]
Steps = Sequence[int]  # of a tile's bands: how finely it was coded, log2 of counts in eighths


@lru_cache(1)
def kernels() -> Pixels:
    """SHAPE; the pixels right of a seam take those of the mirrored place."""
    with np.load(FILE) as archive:
        return np.asarray(archive["kernels"], np.float32)


def steps_of_latent(q: int, bands: int, gain: float = 1.0) -> tuple[int, ...]:
    """Of a tile by the learned codec: its quantiser's step. gain: DN a count."""
    return (q + round(8 * math.log2(STEP_UNIT_DN / gain)),) * bands


def groups_of(names: Sequence[str]) -> list[int]:
    """The group of each band; the first, of those that sensors see finely, for names that are not Sentinel-2's."""
    return [next((g for g, group in enumerate(GROUPS) if n in BANDS and BANDS.index(n) in group), 0) for n in names]


def meet(left: int, right: int) -> bool:
    """Whether the seam of tiles of so many columns is smoothed; only the right one may be the last of its row, with no other."""
    return left >= LEAST_SIDE and right >= SIDE


def windows_of(left: Counts, right: Counts) -> NDArray[np.int32]:
    """(C, H, W) of two tiles side by side -> (C, H, TAPS), the pixels across their seam."""
    return np.concatenate([left[..., -SIDE:], right[..., :SIDE]], axis=-1).astype(np.int32)


def classes_of(rows: NDArray[np.int32], step: int) -> NDArray[np.intp]:
    """(N, TAPS) -> (N,). step: sum of both tiles' steps."""
    steps = np.abs(np.diff(rows, axis=1))
    left, right, seam = steps[:, : SIDE - 1].sum(axis=1), steps[:, SIDE:].sum(axis=1), steps[:, SIDE - 1]
    both = left + right
    lively = np.searchsorted(_thresholds(step), both, side="right")
    steep = sum((seam * (TAPS - 2) > times * both).astype(np.intp) for times in STEEP)
    sides = np.where(left > UNEQUAL * right, 1, np.where(right > UNEQUAL * left, 2, 0))
    return np.asarray((lively * (len(STEEP) + 1) + steep) * SIDES + sides, np.intp)


@lru_cache(256)
def _thresholds(step: int) -> NDArray[np.float64]:
    return np.array([(TAPS - 2) * power_of_two(step + k) for k in LIVELY])


def mirrored(classes: NDArray[np.intp]) -> NDArray[np.intp]:
    """Of the same places seen from the other side."""
    sides = classes % SIDES
    return np.asarray(classes - sides + np.array([0, 2, 1])[sides], np.intp)


def power_of_two(sixteenths: int) -> float:
    """2^(k/16), by square roots alone."""
    return math.ldexp(_roots()[sixteenths % 16], sixteenths // 16)


@lru_cache(1)
def _roots() -> tuple[float, ...]:
    root = math.sqrt(math.sqrt(math.sqrt(math.sqrt(2.0))))
    found = [1.0]
    for _ in range(15):
        found.append(found[-1] * root)
    return tuple(found)


def levelled(rows: NDArray[np.int32]) -> Pixels:
    """(N, TAPS) without their means: what is added does not depend on brightness."""
    return np.asarray(rows - rows.sum(axis=1, keepdims=True) / TAPS, np.float32)


def smoothed(
    left: Counts, right: Counts, steps: tuple[Steps, Steps], groups: Sequence[int], table: Pixels
) -> tuple[Pixels, Pixels]:
    """What the REACH columns (C, H, REACH) beside the seam of two tiles become. table: of this direction, SHAPE[1:]."""
    windows = windows_of(left, right)
    out = windows[..., SIDE - REACH : SIDE + REACH].astype(np.float32)
    for band, (rows, one, other) in enumerate(zip(windows, *steps)):
        classes, kernel = classes_of(rows, one + other), table[groups[band]]
        most = np.float32(MOST * power_of_two(one + other))
        added = _applied(levelled(rows), classes, kernel), _applied(levelled(rows[:, ::-1]), mirrored(classes), kernel)
        out[band, :, :REACH] += np.clip(added[0], -most, most)
        out[band, :, REACH:] += np.clip(added[1][:, ::-1], -most, most)
    return out[..., :REACH], out[..., REACH:]


def _applied(level: Pixels, classes: NDArray[np.intp], kernel: Pixels) -> Pixels:
    """(N, REACH): sums over the taps in one order, whatever the number of threads."""
    total = np.zeros((len(level), REACH), np.float32)
    weights = kernel[classes]
    for tap in range(TAPS):
        total += weights[:, tap] * level[:, tap, None]
    return total
