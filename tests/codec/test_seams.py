"""Seams of tiles: they are smoothed as far as the tiles' steps allow, and the same counts come out wherever and however."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from swathpack.codec import fit_seams, seams
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.latents import step_dn

TILE = 64
STEP = 80  # eighths: 1,024 DN


def two_tiles(seed: int = 0, offset: int = 60) -> tuple[seams.Counts, seams.Counts]:
    """A smooth scene (12, 48, 128), and the same with its right half brighter, as two tiles of other means have it."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:48, : 2 * TILE] / TILE
    scene = 2000 + 300 * np.stack([np.sin(x * a + y * b) for a, b in rng.uniform(-3, 3, (12, 2))])
    image = scene + np.where(np.arange(2 * TILE) < TILE, -offset, offset) / 2
    return np.rint(scene).astype(np.uint16), np.rint(image).astype(np.uint16)


def joined(image: seams.Counts, step: int = STEP, direction: int = 0) -> seams.Pixels:
    """The 2 * REACH columns around the seam, smoothed."""
    steps = (step,) * 12
    table = seams.kernels()[direction]
    found = seams.smoothed(image[..., :TILE], image[..., TILE:], (steps, steps), seams.groups_of(BANDS), table)
    return np.concatenate(found, axis=2)


def around(image: seams.Counts) -> seams.Counts:
    return image[..., TILE - seams.REACH : TILE + seams.REACH]


@pytest.mark.parametrize("direction", [0, 1])
def test_two_tiles_come_together(direction: int) -> None:
    scene, image = two_tiles()
    found = joined(image, direction=direction)
    before, after = (np.square(a - around(scene).astype(float)).mean() for a in (around(image), found))
    assert after < 0.7 * before
    steps = [np.abs(np.diff(a.astype(float), axis=2))[..., seams.REACH - 1].mean() for a in (around(image), found)]
    assert steps[1] < 0.4 * steps[0]


@pytest.mark.parametrize("direction", [0, 1])
@pytest.mark.parametrize("offset", [20, 60])
def test_plains_that_differ_meet_in_an_even_slope(offset: int, direction: int) -> None:
    """A fifth of the step was left over the seam where only the error was fitted, over long stretches of water."""
    image = np.full((12, 48, 2 * TILE), 2000, np.uint16)
    image[..., TILE:] += np.uint16(offset)
    steps = np.diff(np.rint(joined(image, direction=direction)), axis=2)
    assert steps[..., seams.REACH - 1].max() <= 0.12 * offset + 1 and steps.min() >= 0
    assert steps.max() <= 0.15 * offset + 1


def test_an_edge_of_the_scene_stays_where_the_step_is_fine() -> None:
    _, image = two_tiles(offset=800)
    found = joined(image, step=8)  # 2 DN
    assert np.abs(found - around(image)).max() <= seams.MOST * 2 + 1e-3


def test_brightness_moves_along_and_mirrors_stay_mirrors() -> None:
    _, image = two_tiles(1)
    image = image + np.random.default_rng(2).integers(0, 20, image.shape).astype(np.uint16)
    found = joined(image)
    np.testing.assert_allclose(joined(image + np.uint16(3000)), found + 3000, atol=0.02)
    np.testing.assert_allclose(joined(image[..., ::-1]), found[..., ::-1], atol=0.02)


def test_every_machine_draws_the_same() -> None:
    _, image = two_tiles(3)
    counts = np.rint(joined(image)).astype(np.uint16)
    assert hashlib.sha256(counts.tobytes()).hexdigest()[:16] == "de746ed5758f0bf6"


def test_steps_are_powers_of_two() -> None:
    np.testing.assert_allclose(
        [seams.power_of_two(k) for k in range(-40, 41)], np.exp2(np.arange(-40, 41) / 16), rtol=1e-14
    )
    assert seams.power_of_two(-32) == 0.25 and seams.power_of_two(48) == 8.0
    for q in (0, 21, 63):
        (step,) = seams.steps_of_latent(q, 1)
        assert seams.power_of_two(2 * step) == pytest.approx(step_dn(q))
    assert seams.steps_of_latent(10, 2, gain=0.5) == (66, 66)  # twice as many counts


def test_places_that_are_seen_from_the_other_side_have_the_other_class() -> None:
    rows = np.random.default_rng(4).integers(1000, 1100, (400, seams.TAPS)).astype(np.int32)
    rows[:200, : seams.SIDE] //= 50  # the right side is livelier
    classes = seams.classes_of(rows, 60)
    np.testing.assert_array_equal(seams.classes_of(rows[:, ::-1], 60), seams.mirrored(classes))
    assert (classes != seams.mirrored(classes)).sum() >= 200 and classes.max() < seams.CLASSES


def test_names_that_are_not_known_are_taken_as_fine_bands() -> None:
    assert seams.groups_of(["red", "B04", "B05", "B09"]) == [0, 0, 1, 2]


def test_only_the_last_tile_of_a_row_may_be_narrow() -> None:
    assert seams.meet(24, 16) and not seams.meet(23, 64) and not seams.meet(64, 15)


def test_a_fit_finds_what_tiles_do() -> None:
    def drawn(seed: int) -> fit_seams.Drawn:
        scene, image = two_tiles(seed, offset=int(np.random.default_rng(seed).integers(-80, 80)))
        steps = np.full((1, 2, 12), STEP, np.int64)
        return fit_seams.Drawn(scene, image, steps, TILE, 0.02, str(seed), np.zeros(steps.shape[:2], bool))

    found = fit_seams.fit_seams([drawn(seed) for seed in range(12)])
    assert found.shape == seams.SHAPE and found.dtype == np.float16
    change = fit_seams.Change.of(drawn(50), found.astype(np.float32))
    assert change.error < 0.75 and change.after < 0.5 * change.before


def test_a_fit_takes_steps_away_from_places_that_are_smooth(monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of a step is the scene's there, and in one class: the error alone leaves it."""

    def drawn(seed: int) -> fit_seams.Drawn:
        rng = np.random.default_rng(seed)
        right = np.arange(2 * TILE) >= TILE
        edge, offset = (np.where(right, rng.normal(0, 10, (12, 48, 1)), 0) for _ in range(2))
        scene, image = (np.rint(a).astype(np.uint16) for a in (2000 + edge, 2000 + edge + offset))
        steps = np.full((1, 2, 12), STEP, np.int64)
        return fit_seams.Drawn(scene, image, steps, TILE, 0.02, str(seed), np.zeros(steps.shape[:2], bool))

    left = []
    for even in (0.0, fit_seams.EVEN):
        monkeypatch.setattr(fit_seams, "EVEN", even)
        found = fit_seams.fit_seams([drawn(seed) for seed in range(6)]).astype(np.float32)
        image = drawn(50).drawn
        left.append(np.abs(np.diff(drawn(50).smoothed(found[0]).drawn.astype(int), axis=2))[..., TILE - 1].mean())
        assert left[-1] < 0.8 * np.abs(np.diff(image.astype(int), axis=2))[..., TILE - 1].mean()
    assert left[1] < 0.75 * left[0]
