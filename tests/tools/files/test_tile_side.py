"""Tiles of more than 256 pixels a side: which files have them, and that they code better and are read in parts as smaller ones are."""

from __future__ import annotations

import numpy as np
import pytest

import swathpack
from swathpack.edge.stream import Header, read_stream
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.files.tile_side import side_for

BANDS = ("B02", "B03", "B04", "B08")


@pytest.mark.parametrize(
    ("size", "side"),
    [
        ((256, 256), 256),
        ((1, 257), 384),
        ((377, 96), 384),
        ((512, 512), 512),
        ((600, 600), 640),
        ((700, 700), 384),
        ((1000, 1000), 512),
        ((1000, 600), 640),
        ((10980, 10980), 640),
    ],
)
def test_sides_leave_no_slivers(size: tuple[int, int], side: int) -> None:
    assert side_for(*size, small=False) == side
    assert side_for(*size, small=True) == 256
    for length in size:
        last = length - (length - 1) // side * side
        assert last == length or last > 0.15 * side


def scene(seed: int = 5) -> np.ndarray:
    """(1, 4, 330, 300) uint16 with a corner without data."""
    found = np.ascontiguousarray(values(330, 300, 1, seed)[:, :4])
    found[:, :, :40, 250:] = 0
    return found


@pytest.fixture(scope="module")
def large() -> swathpack.Stream:
    return swathpack.compress(scene(), bands=BANDS, bytes=4000)


def header_of(stream: swathpack.Stream) -> Header:
    return read_stream(bytes(stream)).header


def rmse(stream: swathpack.Stream) -> float:
    data = scene()
    there = np.broadcast_to(data.any(axis=1, keepdims=True), data.shape)
    return float(np.sqrt(((stream.read_all().astype(float) - data)[there] ** 2).mean()))


def test_one_large_tile_has_less_error_than_four_small_ones(large: swathpack.Stream) -> None:
    small = swathpack.compress(scene(), bands=BANDS, bytes=4000, tile=256)
    assert (header_of(large).tile_size, header_of(small).tile_size) == (384, 256)
    assert len(bytes(large)) <= 4000 and len(bytes(small)) <= 4000
    assert rmse(large) < 0.99 * rmse(small)


def test_a_window_is_drawn_as_the_whole_is(large: swathpack.Stream) -> None:
    whole = large.read_all()
    np.testing.assert_array_equal(large.read(0, window=np.s_[200:300, 180:270]), whole[0, :, 200:300, 180:270])


def test_several_large_tiles_with_dates_pieces_and_seams() -> None:
    dates = np.concatenate([values(90, 1000, 1, seed)[:, :2] for seed in (5, 5)])
    stream = swathpack.compress(
        dates, bands=BANDS[:2], quality=36, layers=9
    )  # not all layers: long records, sides in a byte each
    assert header_of(stream).tile_size == 512 and header_of(stream).n_tiles == 2
    again = swathpack.open(bytes(stream)).read_all()
    assert again.shape == dates.shape and np.abs(again.astype(float) - dates).mean() < dates.std()
    np.testing.assert_array_equal(
        swathpack.open(bytes(stream)).read(1, window=np.s_[50:80, 500:530]), again[1, :, 50:80, 500:530]
    )


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"tile": 100}, "tile: expected 64 to 1024 in steps of 64, found 100"),
        ({"tile": 1088}, "tile: expected 64 to 1024 in steps of 64, found 1088"),
        ({"tile": 0}, "tile: expected 64 to 1024 in steps of 64, found 0"),
        ({"tile": 512, "lossless": True}, "have at most 256 pixels a side, found 512"),
        ({"tile": 320, "mode": "learned"}, "have at most 256 pixels a side, found 320"),
        ({"tile": 320, "regions": [(0, 0, 5, 5)]}, "have at most 256 pixels a side, found 320"),
    ],
)
def test_sides_that_tiles_cannot_have_are_refused(options: dict[str, object], said: str) -> None:
    with pytest.raises(swathpack.Error, match=said):
        swathpack.compress(scene(), bands=BANDS, **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("options", [{"lossless": True}, {"regions": [(0, 0, 5, 5)], "bytes": 200_000}])
def test_exact_files_and_those_with_regions_keep_small_tiles(options: dict[str, object]) -> None:
    stream = swathpack.compress(scene()[:, :, :280, :70], bands=BANDS, **options)  # type: ignore[arg-type]
    assert header_of(stream).tile_size == 256
