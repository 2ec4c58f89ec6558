"""Peers are measured once for the same samples and code."""

import numpy as np
import pytest

from swathpack.tools.bench.kept_points import points_of
from swathpack.tools.bench.range_peers import Points, Scene


class Peer:
    """Says what a call before it did not say."""

    def __init__(self) -> None:
        self.calls = 0

    def curve(self, scene: Scene) -> Points:
        self.calls += 1
        return [(0.1, float(scene.data.mean())), (1 / 3, 2.0 + self.calls)]


def scene(value: int = 7, valid: bool = True) -> Scene:
    return Scene("one", np.full((2, 4, 4), value, np.uint16), np.full((4, 4), valid), ("B02", "B08"))


def test_points_are_measured_once_and_come_back_to_the_bit(tmp_path):
    peer = Peer()
    first = points_of("x265 + KLT", peer.curve, scene(), tmp_path / "kept")
    assert points_of("x265 + KLT", peer.curve, scene(), tmp_path / "kept") == first == [(0.1, 7.0), (1 / 3, 3.0)]
    assert peer.calls == 1


@pytest.mark.parametrize("other", [scene(8), scene(valid=False), Scene("one", scene().data, scene().valid, None)])
def test_other_samples_masks_or_bands_are_measured_anew(tmp_path, other):
    peer = Peer()
    points_of("x265 + KLT", peer.curve, scene(), tmp_path)
    points_of("x265 + KLT", peer.curve, other, tmp_path)
    assert peer.calls == 2


def test_another_peer_library_or_no_folder_is_measured_anew(tmp_path, monkeypatch):
    peer = Peer()
    points_of("x265 + KLT", peer.curve, scene(), tmp_path)
    points_of("SVT-AV1 + KLT", peer.curve, scene(), tmp_path)
    points_of("x265 + KLT", peer.curve, scene(), None)
    assert peer.calls == 3
    monkeypatch.setattr("swathpack.tools.bench.kept_points._versions", lambda: ["of tomorrow"])
    points_of("x265 + KLT", peer.curve, scene(), tmp_path)
    assert peer.calls == 4
