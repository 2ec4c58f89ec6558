"""Rises of the error along a payload, and one real payload that has none."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.hil_tests.simulation import made_frames
from swathpack.tools.bench.cuts import Rise, errors_of, greatest, tiles_of
from swathpack.tools.bench.range_peers import Scene


def test_the_greatest_rise_is_over_the_least_error_before_and_rounding_is_none() -> None:
    falling = [(1.0, 90.0), (2.0, 50.0), (3.0, 50.005), (4.0, 20.0)]
    assert greatest(falling) == Rise()
    found = greatest([*falling, (5.0, 21.0), (6.0, 20.5), (7.0, 10.0), (8.0, 10.2)])
    assert (found.at, found.before, found.after) == (5.0, 20.0, 21.0) and found.share == pytest.approx(0.05)


def test_no_cut_of_a_payload_is_worse_than_a_shorter_one() -> None:
    data = made_frames.values(40, 300, 1, 3)[0, :2]
    scene = Scene("drawn", data, np.ones(data.shape[1:], np.bool_), None)
    tiles = tiles_of(scene)
    assert [t.data.shape[2] for t in tiles] == [256, 44]
    errors = errors_of(tiles[1], 5.0)
    assert len(errors) == 20 and errors[-1][1] < 1 < errors[0][1] and greatest(errors) == Rise()
