"""Filters of drawn transform tiles: they bring the picture nearer, in integers, and leave what they have no business with."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.codec import filters
from swathpack.codec.seams import power_of_two
from swathpack.edge.codec.transform_coder import decode_tile, encode_tile, native

STEP = 40  # eighths: 32 counts


def noisy(seed: int = 0, height: int = 40, width: int = 36) -> filters.Pixels:
    """Waves and ripples."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:height, :width]
    scene = 2000 + 200 * np.sin(x / 5 + y / 9) + 60 * (x > width // 2) + rng.normal(0, 6, (height, width))
    return np.rint(scene * 4).astype(np.float32) / np.float32(4)


def everywhere(band: filters.Pixels) -> filters.Flags:
    return np.ones(band.shape, np.bool_)


def one(band: filters.Pixels, step: int = STEP, valid: filters.Flags | None = None) -> filters.Pixels:
    return filters.filtered(band[None], everywhere(band) if valid is None else valid, (step,))[0]


def any_tables(seed: int = 1) -> filters.Table:
    return np.random.default_rng(seed).integers(-600, 600, filters.SHAPE).astype(np.int16)


def slow_correction(units: np.ndarray, weights: np.ndarray, classes: np.ndarray, y: int, x: int) -> int:
    """As the module's docstring has it, a place alone."""
    padded, total, tap = np.pad(units, filters.REACH, mode="reflect"), 0, 0
    at = y + filters.REACH, x + filters.REACH
    for dy, dx in filters.PAIRS:
        for cut in reversed(filters.CUTS):
            told = 0
            for sign in (1, -1):
                far = int(padded[at[0] + sign * dy, at[1] + sign * dx]) - int(padded[at])
                told += max(-cut, min(cut, far))
            total += told * int(weights[classes[y, x], tap])
            tap += 1
    return total


def slow_sums(units: np.ndarray, y: int, x: int) -> list[int]:
    padded, sums = np.pad(units.astype(int), filters.REACH, mode="reflect"), []
    for dy, dx in ((0, 1), (1, 0), (1, 1), (1, -1)):
        total = 0
        for v in range(y + 1, y + 6):
            for u in range(x + 1, x + 6):
                second = 2 * padded[v, u] - padded[v + dy, u + dx] - padded[v - dy, u - dx]
                total += min(abs(int(second)), filters.FARTHEST)
        sums.append(total)
    return sums


def test_corrections_are_what_a_slow_twin_has() -> None:
    band, table = noisy(3, 12, 14), any_tables()
    cells = filters.Cells.of(band, everywhere(band), STEP)
    assert cells is not None
    found, (tile, classes) = filters.corrections(cells, table), filters.classes_of(cells)
    units = np.rint(band * np.float32(64 / 32)).astype(np.int64)
    for y, x in np.ndindex(*band.shape):
        assert found[y, x] == slow_correction(units, table[tile], classes, y, x)
        across, down, falling, rising = slow_sums(units, y, x)
        lively = sum(across + down >= 2 * filters.WINDOW * least for least in filters.LIVELY)
        assert classes[y, x] // filters.DIRECTIONS == lively
        straight, slanted = max(across, down) / min(across, down), max(falling, rising) / min(falling, rising)
        clear = sum(max(straight, slanted) > times / 2 for times in filters.CLEAR)
        assert (classes[y, x] % filters.DIRECTIONS == 0) == (clear == 0)
        if clear:
            which = int(across <= down) if straight > slanted else 2 + int(falling <= rising)
            assert classes[y, x] % filters.DIRECTIONS == len(filters.CLEAR) * which + clear


def spread(kind: str, seed: int) -> filters.Pixels:
    """A band (37, 26): of waves, of any counts at all, nearly flat, or of cells of 2 x 2."""
    counts = np.random.default_rng(seed).integers(0, 65536, (37, 26)).astype(np.float32)
    cells = np.repeat(np.repeat(noisy(seed, 20, 13), 2, 0), 2, 1)[1:38]
    lone = np.where(counts > 65000, np.float32(301), np.float32(300))
    return {"waves": noisy(seed, 37, 26), "any": counts, "flat": lone, "cells": cells}[kind]


@pytest.mark.skipif(not native.available(), reason="the C library is not built")
@pytest.mark.parametrize("kind", ["waves", "any", "flat", "cells"])
@pytest.mark.parametrize("step", [filters.LEAST_STEP, STEP, filters.MOST_STEP])
def test_c_and_numpy_agree(kind: str, step: int, monkeypatch: pytest.MonkeyPatch) -> None:
    band, wild = spread(kind, 7), np.random.default_rng(2).integers(-32768, 32768, filters.SHAPE).astype(np.int16)
    valid = np.random.default_rng(3).random(band.shape) > 0.003
    for flags in (valid, everywhere(band)):
        cells = filters.Cells.of(band, flags, step)
        assert cells is not None
        tile, classes = native.filter_classes(cells.padded, cells.whole)
        slow_tile, slow_classes = filters.classes_of(cells)
        assert tile == slow_tile
        np.testing.assert_array_equal(classes, slow_classes)
        for table in (filters.tables(), wild):
            fast = filters.corrections(cells, table)
            with monkeypatch.context() as patch:
                patch.setattr(native, "available", lambda: False)
                np.testing.assert_array_equal(fast, filters.corrections(cells, table))


def test_sums_stay_in_32_bits() -> None:
    table = filters.tables()
    assert table.shape == filters.SHAPE
    cuts = 2 * np.array(filters.CUTS[::-1])
    most = np.abs(table.astype(np.int64)).reshape(*table.shape[:2], -1, len(cuts)) * cuts
    assert most.sum((2, 3)).max() < 1 << 31
    assert table.any()


def test_every_machine_draws_the_same() -> None:
    counts = np.rint(np.stack([one(noisy(s), step) for s, step in ((5, 40), (6, 24), (7, 56))])).astype(np.uint16)
    assert hashlib.sha256(counts.tobytes()).hexdigest()[:16] == "2c2891d9d9183bba"


def fields(bands: int, seed: int, side: int = 96) -> NDArray[np.uint16]:
    """Strips of land at any angle, blurred as by a lens, with noise."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    scene = np.full((bands, side, side), 1500.0)
    for _ in range(60):
        dy, dx = rng.normal(size=2)
        inside = np.abs((y - rng.integers(side)) * dy + (x - rng.integers(side)) * dx) < 12
        inside &= np.abs((y - rng.integers(side)) * dx - (x - rng.integers(side)) * dy) < 20
        scene[:, inside] = (rng.normal(1500, 300) + rng.normal(0, 120, bands))[:, None]
    for axis in (1, 1, 2, 2):
        scene = (np.roll(scene, 1, axis) + 2 * scene + np.roll(scene, -1, axis)) / 4
    return np.rint(scene + rng.normal(0, 8, scene.shape)).clip(1, None).astype(np.uint16)


@pytest.mark.parametrize("names", [("B08",), ("B02", "B03", "B04", "B08")])
@pytest.mark.parametrize("rate", [0.2, 0.7])
def test_coded_scenes_come_nearer(names: tuple[str, ...], rate: float) -> None:
    gained = []
    for seed in range(1, 4):
        scene = fields(len(names), seed)
        payload = encode_tile(scene, names=names, max_bytes=int(rate * scene.size / 8)).payload
        tile = decode_tile(payload, scene.shape, names)
        found = filters.filtered(tile.samples, np.ones((96, 96), np.bool_), tile.steps)
        before, after = (float(np.square(a - scene).mean()) for a in (tile.samples, found))
        gained.append(after / before)
    assert max(gained) < 1.0001 and np.mean(gained) < 0.995


def test_brightness_moves_along() -> None:
    band = noisy(8)
    np.testing.assert_allclose(one(band + np.float32(4096)), one(band) + 4096, atol=0.3)


def test_what_has_no_data_tells_nothing() -> None:
    band, valid = noisy(9), everywhere(noisy(9))
    valid[10:14, 20:23] = False
    other = np.where(valid, band, np.float32(9000))
    first, second = one(band, valid=valid), one(other, valid=valid)
    np.testing.assert_array_equal(first[valid], second[valid])
    near = np.zeros_like(valid)
    near[10 - filters.REACH : 14 + filters.REACH, 20 - filters.REACH : 23 + filters.REACH] = True
    np.testing.assert_array_equal(first[near], band[near])
    assert (first[~near] != band[~near]).mean() > 0.5
    np.testing.assert_array_equal(one(band, valid=np.zeros_like(valid)), band)


def test_cells_of_four_pixels_stay_cells() -> None:
    cells = noisy(10, 30, 28)
    band = cells.repeat(2, 0).repeat(2, 1)[1:, :-1]  # any phase
    found, whole = one(band), one(cells, STEP - 8)  # where a step is worth half
    np.testing.assert_array_equal(found, whole.repeat(2, 0).repeat(2, 1)[1:, :-1])
    coarse = noisy(11, 12, 12).repeat(6, 0).repeat(6, 1)
    np.testing.assert_array_equal(one(coarse), coarse)


def test_nothing_changes_where_steps_say_nothing() -> None:
    band = noisy(12)
    for step in (filters.LEAST_STEP - 1, filters.MOST_STEP + 1):
        np.testing.assert_array_equal(one(band, step), band)
    np.testing.assert_array_equal(filters.filtered(band[None], everywhere(band), ())[0], band)
    small = band[:7]
    np.testing.assert_array_equal(one(small), small)
    assert (one(band) != band).any()


def test_corrections_are_bounded_by_the_step() -> None:
    rng = np.random.default_rng(13)
    band = rng.integers(0, 65536, (32, 32)).astype(np.float32)
    for step in (0, 40, 80):
        assert np.abs(one(band, step) - band).max() <= 2 * power_of_two(2 * step)
