"""Frames restored over their tiles: what part is read does not matter, what is promised stays, and the image is nearer."""

from __future__ import annotations

from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

import swathpack
from swathpack.codec.restored import MOST, Restorer
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.pixels import TileWindow, tile_windows
from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import PLAIN
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.errors import UserError
from swathpack.tools.files.decode_report import TileReport
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.regions import Region
from swathpack.tools.files.seams import Grid
from swathpack.tools.files.synthesis import AWAY, FINEST, drawn
from swathpack.tools.files.tile_parts import DecodedTile
from tests.codec_models import shipped

RGBN = ("B04", "B03", "B02", "B08")
SIDE, TILE, STEP = (145, 146), 64, 512.0  # the last row of tiles is 17 high, the last column 18 wide


@lru_cache(1)
def restorer() -> Restorer:
    """The shipped one."""
    return Restorer()


@lru_cache(3)
def coded(mode: str = "transform", exact: bool = False, names: tuple[str, ...] = BANDS) -> tuple[np.ndarray, bytes]:
    scene = values(*SIDE, 1, 3)[0, [BANDS.index(name) for name in names]].astype(np.uint16)
    regions = [Region(70, 70, 10, 10, 0)] if exact else []
    encoder = SeriesEncoder(shipped(), [Frame.from_array(scene, names)], mode=mode, tile=TILE, regions=regions)
    return scene, encoder.in_total(60_000 if exact else 400 + 175 * len(names))


def opened(data: bytes, synthesis: str = "best") -> swathpack.Stream:
    return swathpack.Stream(data, model=shipped(), synthesis=synthesis)


@lru_cache(1)
def whole() -> np.ndarray:
    return np.asarray(opened(coded()[1]).read(0))


def tiles(spoiled: dict[int, dict[str, object]] | None = None, bands: int = 12) -> list[tuple[TileWindow, DecodedTile]]:
    """A made frame in 2 x 3 tiles of 64 pixels, noise added, some of them changed."""
    scene = values(128, 192, 1, 5)[0, :bands].astype(np.float64)
    noisy = np.clip(scene + np.random.default_rng(2).normal(0, 6, scene.shape), 1, 65535).astype(np.uint16)
    made = []
    for w in tile_windows(128, 192, 64):
        report = TileReport(w.index, 16, TRANSFORM)
        tile = DecodedTile(report, w.of(noisy).copy(), np.ones((64, 64), np.bool_), (72,) * bands)
        made.append((w, replace(tile, **(spoiled or {}).get(w.index, {}))))
    return made


def shown(given: list[tuple[TileWindow, DecodedTile]], names: tuple[str, ...] = BANDS) -> dict[int, np.ndarray]:
    """What becomes of them without smoothing their seams."""
    grid = Grid(3, names, PLAIN)
    object.__setattr__(grid, "without_seams", iter)
    return {w.index: t.counts for w, t in drawn(given, grid, restorer())}


def test_the_image_is_nearer() -> None:
    scene, data = coded()
    fast = opened(data, "fast").read(0).astype(float)
    error = [np.square(image - scene).mean() for image in (fast, whole())]
    assert error[1] < 0.99 * error[0]


@pytest.mark.parametrize("window", [(63, 63, 2, 2), (8, 8, 48, 48), (120, 120, 25, 26), (127, 0, 3, 146)])
def test_a_window_is_what_the_whole_is_there(window: tuple[int, int, int, int]) -> None:
    y, x, h, w = window
    found = opened(coded()[1]).read(0, window=np.s_[y : y + h, x : x + w])
    np.testing.assert_array_equal(found, whole()[:, y : y + h, x : x + w])


def test_values_that_are_promised_stay() -> None:
    scene, data = coded(exact=True)
    fast, best = (opened(data, how).read(0) for how in ("fast", "best"))
    np.testing.assert_array_equal(best[:, 64:128, 64:128], scene[:, 64:128, 64:128])
    assert (best != fast).any()


def test_tiles_come_in_their_order_and_all_of_them() -> None:
    given = tiles()
    became = shown(given)
    assert list(became) == list(range(6)) and all((became[w.index] != t.counts).any() for w, t in given)
    some = [found for found in given if found[0].index not in (1, 4)]
    assert list(shown(some)) == [0, 2, 3, 5]


def test_what_is_added_is_a_part_of_the_step() -> None:
    given, became = tiles(), shown(tiles())
    for window, tile in given:
        assert np.abs(became[window.index].astype(int) - tile.counts).max() <= np.ceil(MOST * STEP)


def test_tiles_of_which_it_was_not_shown_stay() -> None:
    spoiled = {
        0: {"report": TileReport(0, 16, TRANSFORM, problem="cut: 3 of 16 layers")},
        1: {"report": TileReport(1, 9, 30)},
        2: {"steps": ()},
        3: {"steps": (32,) * 12},
    }
    given, became = tiles(spoiled), shown(tiles(spoiled))
    same = [bool((became[w.index] == t.counts).all()) for w, t in given]
    assert same == [True, True, True, True, False, False]


def test_pixels_beside_those_without_data_stay() -> None:
    known = np.ones((64, 64), np.bool_)
    known[60:, 10] = False
    given, became = tiles({1: {"known": known}}), shown(tiles({1: {"known": known}}))
    changed = {w.index: (became[w.index] != t.counts).any(axis=0) for w, t in given}
    assert not changed[1][60 - AWAY :, : 10 + AWAY + 1].any() and changed[1][: 60 - AWAY].any(axis=1).all()
    assert not changed[0][60 - AWAY :, 64 + 10 - AWAY :].any() and not changed[4][:AWAY, : 10 + AWAY + 1].any()
    assert changed[4][AWAY:].any(axis=1).all() and changed[5].any(axis=1).all()


def test_nothing_is_seen_at_edges_of_tiles() -> None:
    """Two tiles side by side add what one network over both adds there."""
    given, became = tiles(), shown(tiles())
    frame = np.zeros((12, 128, 192), np.float32)
    for window, tile in given:
        window.of(frame)[:] = tile.counts
    steps, learned = np.full_like(frame, STEP), np.zeros(frame.shape[1:], np.float32)
    expected = frame + restorer().added(frame, steps, learned, BANDS)
    off = np.stack([window.of(expected) - became[window.index] for window, _ in given])
    assert np.sqrt(np.square(off).mean()) < 0.3, "rounding alone makes 0.289"
    assert np.abs(off).max() < STEP / 32


def test_few_bands_and_foreign_ones_stay() -> None:
    for bands, names in ((3, BANDS[1:4]), (9, tuple(f"X{i}" for i in range(9)))):
        given = tiles(bands=bands)
        assert all((shown(given, names)[w.index] == t.counts).all() for w, t in given)
    four = tiles(bands=4)
    assert all((shown(four, RGBN)[w.index] != t.counts).any() for w, t in four)


def test_windows_of_four_bands_are_what_the_whole_is_there() -> None:
    _, data = coded(names=RGBN)
    best, fast = (opened(data, how).read(0) for how in ("best", "fast"))
    assert (best != fast).any()
    np.testing.assert_array_equal(opened(data).read(0, window=np.s_[60:90, 5:140]), best[:, 60:90, 5:140])


def test_what_is_coded_finer_than_it_spreads_stays() -> None:
    fine = {3: {"steps": (44,) * 12}}
    given, became = tiles(fine), shown(tiles(fine))
    spread = np.log2(given[3][1].counts.std(axis=(1, 2))).mean()
    assert 5.5 - spread < FINEST < 9 - spread
    assert [bool((became[w.index] == t.counts).all()) for w, t in given] == [n == 3 for n in range(6)]


def test_damaged_parts_leave_the_rest_whole() -> None:
    data = bytearray(coded()[1])
    data[len(data) // 2] ^= 0xFF
    decoder = StreamDecoder(shipped(), bytes(data))
    decoder.restorer = restorer()
    frame, report = decoder.frame(0)
    assert report.missing and frame.valid.any()


def test_a_synthesis_of_another_name_is_refused() -> None:
    with pytest.raises(UserError, match="expected one of fast, best, found 'finest'"):
        opened(coded()[1], "finest")
