"""Seams of tiles in streams: whatever part is read is what the whole is there, and what is promised stays."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

import swathpack
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import PLAIN
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.files.decode_report import TileReport
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.regions import Region
from swathpack.tools.files.seams import Grid
from swathpack.tools.files.tile_parts import DecodedTile
from tests.codec_models import shipped

SIDE = (145, 146)  # the last row of tiles is 17 high, the last column 18 wide
TILE = 64


@lru_cache(1)
def coded(mode: str = "transform") -> tuple[np.ndarray, bytes]:
    scene = values(*SIDE, 1, 3)[0].astype(np.uint16)
    encoder = SeriesEncoder(shipped(), [Frame.from_array(scene, BANDS)], mode=mode, tile=TILE)
    return scene, encoder.in_total(2500)


def plain_and_drawn(data: bytes) -> tuple[np.ndarray, np.ndarray]:
    """Of the only frame, with seams and without."""
    decoder = StreamDecoder(shipped(), data)
    header = decoder.header
    plain = np.zeros((len(header.bands), header.height, header.width), np.uint16)
    for window, tile in decoder.decoded(decoder.report(0)):
        window.of(plain)[:] = tile.counts
    return plain, StreamDecoder(shipped(), data).frame(0)[0].data


def steps_over_seams(image: np.ndarray) -> float:
    down, right = (np.abs(np.diff(image.astype(int), axis=axis)) for axis in (1, 2))
    return float(down[:, TILE - 1 :: TILE].mean() + right[:, :, TILE - 1 :: TILE].mean())


def test_seams_are_lower_and_the_image_nearer() -> None:
    scene, data = coded()
    plain, drawn = plain_and_drawn(data)
    assert steps_over_seams(drawn) < 0.6 * steps_over_seams(plain)
    assert np.square(drawn - scene.astype(float)).mean() < np.square(plain - scene.astype(float)).mean()
    inside = np.s_[:, 8:56, 8:56]
    np.testing.assert_array_equal(drawn[inside], plain[inside])


@pytest.mark.parametrize(
    "window", [(0, 0, 145, 146), (63, 63, 2, 2), (8, 8, 48, 48), (56, 80, 1, 1), (120, 120, 25, 26), (127, 0, 3, 146)]
)
def test_a_window_is_what_the_whole_is_there(window: tuple[int, int, int, int]) -> None:
    _, data = coded()
    whole = swathpack.Stream(data, model=shipped()).read(0)
    y, x, h, w = window
    found = swathpack.Stream(data, model=shipped()).read(0, window=np.s_[y : y + h, x : x + w])
    np.testing.assert_array_equal(found, whole[:, y : y + h, x : x + w])


def test_windows_anywhere() -> None:
    stream, rng = swathpack.Stream(coded()[1], model=shipped()), np.random.default_rng(5)
    whole = stream.read(0)
    for _ in range(12):
        (y, bottom), (x, right) = (sorted(rng.choice(side + 1, 2, replace=False)) for side in SIDE)
        np.testing.assert_array_equal(stream.read(0, window=np.s_[y:bottom, x:right]), whole[:, y:bottom, x:right])


def test_values_that_are_promised_stay() -> None:
    scene = values(*SIDE, 1, 4)[0].astype(np.uint16)
    regions = [Region(70, 70, 10, 10, 0), Region(0, 130, 4, 4, 3)]
    encoder = SeriesEncoder(shipped(), [Frame.from_array(scene, BANDS)], mode="transform", tile=TILE, regions=regions)
    plain, drawn = plain_and_drawn(encoder.in_total(60_000))
    np.testing.assert_array_equal(drawn[:, 64:128, 64:128], scene[:, 64:128, 64:128])
    assert np.abs(drawn[:, :64, 128:].astype(int) - scene[:, :64, 128:]).max() <= 3
    np.testing.assert_array_equal(drawn[:, 64:128, :64][:, 8:56], plain[:, 64:128, :64][:, 8:56])
    assert (drawn != plain).any()


def test_dates_that_others_need_are_taken_before() -> None:
    frames = [Frame.from_array(f[:4].astype(np.uint16), BANDS[:4]) for f in values(128, 64, 3, 5)]
    data = SeriesEncoder(shipped(), frames, mode="transform", tile=TILE).in_total(3000)
    decoder = StreamDecoder(shipped(), data)
    assert any(s.contexts for s in decoder.stream.segments)
    found = decoder.frames()
    assert not found.problems
    last = StreamDecoder(shipped(), data)
    np.testing.assert_array_equal(last.frame(2)[0].data, found.frames[2].data)


def test_pixels_without_data_are_no_picture() -> None:
    (one, first), (other, second) = grid_of(missing=4, exact=8)[:2]
    gap = np.ones((32, 32), np.bool_)
    gap[:10, 3] = False  # in sight of the seam
    tiles = [(one, first), (other, replace(second, known=gap))]
    found = list(Grid(3, ["B08"], PLAIN).without_seams(tiles))
    for (_, before), (_, after) in zip(tiles, found):
        assert before.counts is not None and after.counts is not None
        np.testing.assert_array_equal(after.counts[:, :10], before.counts[:, :10])
        assert (after.counts[:, 10:] != before.counts[:, 10:]).any(axis=(0, 2)).all()


def grid_of(missing: int, exact: int) -> list[tuple[TileWindow, DecodedTile]]:
    """3 x 3 tiles of 32 pixels, each as bright as its number says."""
    made = []
    for index in set(range(9)) - {missing}:
        window = TileWindow(index, index // 3 * 32, index % 3 * 32, 32, 32)
        counts = np.full((1, 32, 32), 1000 + 10 * index, np.uint16)
        counts.setflags(write=False)
        steps = () if index == exact else (80,)
        made.append((window, DecodedTile(TileReport(index), counts, np.ones((32, 32), np.bool_), steps)))
    return made


def test_tiles_come_in_their_order_whatever_is_missing() -> None:
    for missing in range(9):
        found = list(Grid(3, ["B08"], PLAIN).without_seams(grid_of(missing, exact=4)))
        assert [w.index for w, _ in found] == sorted(set(range(9)) - {missing})
        for window, tile in found:
            assert tile.counts is not None
            if window.index == 4:
                assert (tile.counts == 1040).all()
        by_index = {w.index: t.counts for w, t in found}
        if missing not in (0, 1):
            assert by_index[0] is not None and by_index[1] is not None
            assert by_index[0][0, 16, 31] > 1000 and by_index[1][0, 16, 0] < 1010
