"""Cut-out scenes: blobs of a share and size, and costs above one that are lower where holes are left out."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.hil_tests.simulation import made_frames
from swathpack.tools.bench.invalid_pixels import blobs, costs, edge, mask_bytes
from swathpack.tools.bench.range_peers import Scene


def test_blobs_have_their_share_and_larger_ones_fewer_edges() -> None:
    edges = []
    for size in (10, 40):
        valid = blobs((200, 220), size, 0.4, 1)
        assert valid.shape == (200, 220) and 1 - valid.mean() == pytest.approx(0.4, abs=0.001)
        edges.append(int((valid[1:] != valid[:-1]).sum()))
    assert edges[0] > 3 * edges[1]


def test_left_out_costs_less_than_filled_and_both_more_than_nothing() -> None:
    data = made_frames.values(128, 128, 1, 2)[0, :2]
    scene = Scene("drawn", data, np.ones((128, 128), np.bool_), None)
    valid = blobs((128, 128), 40, 0.4, 3)
    filled, left, with_mask = costs(scene, valid, 0.5)
    assert 0.95 < left < filled < 1.6
    assert with_mask - left == pytest.approx(mask_bytes(valid) / (int(0.5 * data.size / 8) * valid.mean()))
    refined = costs(scene, valid, 0.5, refined=True)
    assert refined[0] == filled and refined[1] != left and 0.95 < refined[1] < 1.6


def test_edges_have_their_share_and_masks_of_few_bytes() -> None:
    for seed in range(4):
        valid = edge((200, 220), 0.3, seed)
        assert valid.shape == (200, 220) and 1 - valid.mean() == pytest.approx(0.3, abs=0.01)
        assert 0 < mask_bytes(valid) < mask_bytes(blobs((200, 220), 40, 0.3, seed)) / 2
    assert mask_bytes(np.ones((9, 9), np.bool_)) == 0
