"""Weights of bands in files: all tiles of a frame alike, the frame looked at once, however it is read."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.frame_weights import asked_by_frame
from swathpack.edge.codec.modes import Weighing
from swathpack.edge.codec.pixels import TileWindow, tile_windows
from swathpack.edge.codec.transform_coder import Weights, weights_in
from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.tools.errors import UserError
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.frame_asks import FrameAsks
from swathpack.tools.files.sources import HeldSource
from tests.codec_models import shipped
from tests.edge.codec.test_frame_weights import clouded, ground


def cloudy_frame() -> Frame:
    """Four tiles of 64 x 64, a cloud over a part of the first."""
    upper = np.concatenate([clouded(20), ground(200, 1)], 2)
    return Frame(np.concatenate([upper, np.concatenate([ground(195, 2), ground(190, 3)], 2)], 1))


class Counted(HeldSource):
    """Counts what is read; the tiles of `broken` cannot be."""

    def __init__(self, frame: Frame, broken: frozenset[int] = frozenset()) -> None:
        super().__init__(frame)
        self.read, self.broken = 0, broken

    def tile(self, window: TileWindow) -> Frame:
        self.read += 1
        if window.index in self.broken:
            raise UserError("no such rows")
        return super().tile(window)


def test_a_cloud_in_one_tile_changes_the_weights_of_none() -> None:
    encoder = SeriesEncoder(shipped(), [cloudy_frame()], mode="transform", tile=64)
    found = read_stream(encoder.in_total(2400)).segments
    assert len(found) == 4
    assert {weights_in(s.payload, (12, 64, 64), BANDS) for s in found} == {Weights.visible(BANDS, 3)}


def test_a_frame_is_looked_at_once_and_only_where_weights_follow_its_pixels() -> None:
    frame, windows, asks = cloudy_frame(), list(tile_windows(128, 128, 64)), FrameAsks()
    source, few = Counted(frame), 12 * 64 * 64 // 80
    for choice, aim in (("equal", few), ("visible", few), ("auto", 11 * few)):
        assert asks.weighing(0, source, windows, choice, aim) == Weighing.aimed(choice, aim, 12 * 64 * 64)
    assert not source.read
    for aim in (few, few // 2):
        assert asks.weighing(0, source, windows, "auto", aim).frame == asked_by_frame(frame, 64)
    assert source.read == 4
    assert asks.weighing(1, Counted(Frame(np.tile(ground(), (1, 2, 2)))), windows, "auto", few).frame != (
        asked_by_frame(frame, 64)
    ), "each frame for itself"


@pytest.mark.parametrize("broken", [frozenset({1}), frozenset(range(4))])
def test_what_cannot_be_read_asks_for_nothing(broken: frozenset[int]) -> None:
    windows = list(tile_windows(128, 128, 64))
    found = FrameAsks().weighing(0, Counted(cloudy_frame(), broken), windows, "auto", 600).frame
    assert (found is None) == (len(broken) == 4)


def test_a_tile_without_clouds_by_itself_is_coded_as_before() -> None:
    frame = Frame(ground(140))
    encoder = SeriesEncoder(shipped(), [frame], mode="transform", tile=64)
    (segment,) = read_stream(encoder.in_total(700)).segments
    own = Weighing("auto", 0.1).of(BANDS, frame.data, frame.valid)
    assert weights_in(segment.payload, (12, 64, 64), BANDS) == own == Weights.visible(BANDS, 4)
