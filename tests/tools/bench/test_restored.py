"""What the other synthesis changes of files: the same bytes, two images."""

from __future__ import annotations

import numpy as np

from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.bench.range_peers import Scene
from swathpack.tools.bench.restored import Change, changed, middle, told


def scene(names: tuple[str, ...], side: int = 300, bits: int = 16) -> Scene:
    data = values(side, side, 1, 3)[0, :2].astype(np.uint16)
    return Scene("made", data >> (16 - bits), np.ones((side, side), np.bool_), names)


def test_both_images_are_told_of() -> None:
    for one in (scene(("B03", "B08"), 96), scene(("red", "nir"), 96, 8)):
        found = changed(one, 0.5)
        assert found is not None and found.size == 96 * 96 and abs(found.gain) < 1 and min(found.seconds) > 0
    assert changed(scene(("B03", "B08"), 32), 0.001) is None


def test_the_middle_is_taken() -> None:
    one = scene(("B03", "B08"))
    found = middle(one)
    np.testing.assert_array_equal(found.data, one.data[:, 22:278, 22:278])
    assert found.valid.shape == (256, 256)


def test_the_least_is_named() -> None:
    changes = [Change("good", 0.2, (0.1, 0.3), 256 * 256), Change("bad", -0.1, (0.1, 0.3), 128 * 256)]
    assert list(told("pan", {0.1: changes})) == [
        "pan 0.1 bits: 2 scenes, +0.050 dB, least -0.100 (bad), 0.13 and 0.40 s a tile"
    ]
