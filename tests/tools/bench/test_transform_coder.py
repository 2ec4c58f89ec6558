"""The transform coder's bench: what tiles are aimed at."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.bench import transform_coder
from swathpack.tools.bench.range_peers import Scene


@pytest.fixture(scope="module")
def scene() -> Scene:
    data = np.ascontiguousarray(values(64, 320, 1, 2)[0])
    return Scene("made", data, np.ones(data.shape[1:], np.bool_), BANDS)


def test_files_are_coded_for_their_bytes_and_boards_for_what_a_contact_may_ask(scene: Scene) -> None:
    samples = scene.data.size
    assert transform_coder.aimed(samples, 0.5, False) == samples // 16
    few, more = (transform_coder.aimed(samples, rate, True) for rate in (0.01, 1.0))
    assert few == transform_coder.aimed(samples, 0.05, True) == samples * 15 // 3200 and more == samples // 8


@pytest.mark.parametrize("flown", [False, True])
def test_two_small_tiles_have_images_of_few_bytes(scene: Scene, flown: bool) -> None:
    """Heads chosen for all of a payload took all there is: 614 bytes for both."""
    coarse, fine = transform_coder.ours(scene, (0.02, 0.5), flown)
    assert 0 < fine < coarse < 2000
