"""One level for a frame and those after it: at few bytes, where curves begin with a leap, the first ones have theirs."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.rate import LEVELS
from swathpack.tools.files.sharing import _level_of


def sizes(leap: int, at: int) -> np.ndarray:
    """Bytes of a frame at each of LEVELS: 10 at those coarser than number `at`, a leap more there and a byte a level beyond it."""
    numbers = np.arange(len(LEVELS))
    return np.where(numbers > at, 10.0, 10.0 + leap + at - numbers)


@pytest.mark.parametrize(
    ("room", "number"),
    [
        (10 + 30, len(LEVELS) - 1),  # not even the coarsest level fits: 10 of the frame, 40 of those after it
        (10 + 40, 40),  # just the level below the leaps
        (10 + 40 + 79, 40),
        (10 + 40 + 80, 39),  # the frame's own leap fits, those of the four after it do not
        (10 + 40 + 4 * 80, 39),
        (10 + 40 + 5 * 80, 39),  # all leaps fit, and of the level beyond them not even the frame's own byte
        (10 + 40 + 5 * 80 + 1, 38),
        (10 + 40 + 5 * 80 + 6, 37),
    ],
)
def test_where_not_all_leaps_fit_the_frame_has_its_own(room: int, number: int) -> None:
    assert _level_of(sizes(80, 39), 4 * sizes(80, 39), room) == LEVELS[number]
