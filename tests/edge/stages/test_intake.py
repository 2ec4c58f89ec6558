"""What intake says of frames that it takes all the same."""

import numpy as np
import pytest

from swathpack.edge.frame import Frame
from swathpack.edge.stages.intake import NARROW, defects


@pytest.mark.parametrize("shape", [(1, 1), (2000, 1), (2000, 3), (3, 2000), (64, 64)])
def test_slivers_of_a_living_sensor_have_no_dead_lines(shape):
    data = np.random.default_rng(5).integers(1000, 1020, (2, *shape)).astype(np.uint16)
    assert list(defects(Frame(data, ("B02", "B08")))) == []


def test_dead_lines_and_bands_are_told_from_the_least_width_on():
    data = np.random.default_rng(5).integers(1000, 1020, (2, 40, NARROW)).astype(np.uint16)
    data[0, 3:5] = 777
    data[1] = 1
    assert list(defects(Frame(data, ("B02", "B08")))) == [("dead lines B02", 2), ("dead band B08", 1)]
