"""The hull of a tile's prefixes: convex, the same for one tile as among many, and what a slope and a level cut of it."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.rate import Curve, bytes_about, finest_fitting_level, hull_steps, slope_at

SIZES = np.array([0, 10, 20, 40, 80, 160, 320] + [320] * 10)
ERRORS = np.array([100.0, 60, 50, 20, 11, 6, 4] + [4.0] * 10)  # the third point lies above the hull


def test_the_curve_is_convex_and_inverts() -> None:
    curve = Curve.of(SIZES, ERRORS)
    assert (np.diff(curve.slopes) < 0).all() and 20 not in curve.sizes
    found = [curve.bytes_at(s) for s in (1e9, 4, 1, 0.1, 1e-9)]
    assert found == sorted(found) and found[0] == 0 and found[-1] == 320


def test_of_equal_sizes_the_first_counts_and_a_rising_error_ends_the_curve() -> None:
    curve = Curve.of(np.array([0, 10, 10, 20, 30]), np.array([9.0, 5, 1, 3, 4]))
    assert curve.sizes.tolist() == [10, 20]


def test_the_way_to_the_first_vertex_is_taken_whole_or_not_at_all() -> None:
    """Where the second chord was below a sixteenth of the first one, tiles once had nothing although the first was worth it."""
    curve = Curve.of(np.array([0, 40, 80]), np.array([1000.0, 200, 199]))
    assert [curve.bytes_at(s) for s in (20.1, 20.0, 3.0)] == [0, 40, 40] and curve.steepest == 20


@pytest.mark.parametrize("errors", [[5.0], [5.0, 5.0], [5.0, 6.0]])
def test_where_nothing_is_saved_nothing_is_cut(errors: list[float]) -> None:
    curve = Curve.of(np.arange(len(errors)) * 7, np.array(errors))
    assert curve.bytes_at(1e-9) == 0 and curve.slope_behind(0) == 0


def test_files_and_board_walk_the_same_hull() -> None:
    rng = np.random.default_rng(4)
    sizes = rng.integers(1, 90, (30, 17)).cumsum(axis=1)
    sizes[:, 0] = 0
    errors = np.sort(rng.lognormal(5, 1, (30, 17)), axis=1)[:, ::-1].copy()
    among = hull_steps(sizes, errors)
    for tile in range(30):
        assert (
            Curve.of(sizes[tile], errors[tile]).sizes.tolist() == sizes[tile, among.stop[among.tile == tile]].tolist()
        )


def test_a_slope_stands_behind_every_size() -> None:
    curve = Curve.of(SIZES, ERRORS)
    assert [curve.slope_behind(n) for n in (0, 10, 11, 320, 999)] == [curve.slopes[i] for i in (0, 0, 1, -1, -1)]


def test_eight_levels_double_the_step_and_counts_of_more_dn_ask_for_less() -> None:
    assert slope_at(8) == pytest.approx(4 * slope_at(0)) and slope_at(0, 2.0) == pytest.approx(slope_at(0) / 4)
    curve = Curve.of(1000 * SIZES, slope_at(20) * 1000 * ERRORS)
    assert curve.bytes_at_level(20, 1.0) == curve.bytes_at(slope_at(20)) == curve.bytes_at_level(28, 2.0)


def test_nine_levels_halve_the_bytes_down_to_the_least() -> None:
    assert bytes_about(19, 400_000) == 2 * bytes_about(28, 400_000) and bytes_about(63, 100) == 64


def test_the_finest_level_that_fits_is_found_to_a_64th() -> None:
    found = finest_fitting_level(lambda level: int(1e6 * 2 ** (-level / 9)), 100_000)
    assert 9 * np.log2(10) <= found <= 9 * np.log2(10) + 1 / 64
    assert finest_fitting_level(lambda _: 0, 1) == -56 and finest_fitting_level(lambda _: 2, 1) == 127
