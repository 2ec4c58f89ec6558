"""What later dates inherit counts: a tile that others follow takes more bytes, and the series has less error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest

from swathpack.edge.codec.modes import Weighing
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.rate import slope_at
from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.errors import UserError
from swathpack.tools.files import frame_coder, inherited
from swathpack.tools.files.coding_jobs import transform
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.sources import HeldSource, source_of
from swathpack.tools.files.workers import WorkerPool
from tests.codec_models import shipped
from tests.tools.files.test_dates import FOUR, decode

EQUAL = Weighing("equal", 0.1)


def _still(dates: int, size: int = 64) -> list[Frame]:
    """One scene that stays as it is, but for a little noise."""
    rng, scene = np.random.default_rng(3), values(size, size, 1, 6)[0, : len(FOUR)].astype(np.int64)
    every = (scene + rng.integers(-9, 10, scene.shape) for _ in range(dates))
    return [Frame(np.clip(a, 1, 9999).astype(np.uint16), FOUR, f"2026-05-{i + 1:02d}") for i, a in enumerate(every)]


def _others(dates: int, size: int = 64) -> list[Frame]:
    """Scenes that have nothing to do with each other."""
    return [Frame(values(size, size, 1, 40 + i)[0, : len(FOUR)], FOUR, f"2026-06-{i + 1:02d}") for i in range(dates)]


def _worth(first: Frame, later: Sequence[Frame], level: float = 30, count: int | None = None) -> float:
    slope = slope_at(level)
    coded = transform(shipped(), first, None, 400, EQUAL)
    window = TileWindow(0, 0, 0, first.height, first.width)
    tile, coded, tiles, asked = inherited.asked_of(
        first, coded, [source_of(f) for f in later], window, slope, 400, EQUAL
    )
    asked = asked if count is None else replace(asked, count=count)
    return inherited.worth(shipped(), tile, coded, tiles, asked)


def _error(frames: Sequence[Frame], data: bytes) -> float:
    found = decode(data)
    assert not found.problems
    return sum(float(((a.data.astype(float) - b.data) ** 2).sum()) for a, b in zip(frames, found.frames))


def test_a_scene_that_stays_is_worth_more_than_one_that_changes() -> None:
    first, *later = _still(4)
    assert _worth(first, later) == inherited.WORTHS[-1]
    assert _worth(first, _others(3)) == 1.0
    assert _worth(first, []) == 1.0
    assert _worth(first, later, level=-16) == 1.0  # of 5 bits a sample a later date inherits nothing


def test_the_first_date_takes_more_and_the_series_has_less_error(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = _still(4)
    data = SeriesEncoder(shipped(), frames, weights="equal").in_total(2000)
    monkeypatch.setattr(inherited, "WORTHS", (1.0,))
    before = SeriesEncoder(shipped(), frames, weights="equal").in_total(2000)
    sizes = [read_stream(stream).segments[0].payload_bytes for stream in (data, before)]
    assert max(len(data), len(before)) <= 2000 and sizes[0] > 1.3 * sizes[1]
    assert _error(frames, data) < 0.9 * _error(frames, before)


@pytest.mark.parametrize("build", ["per_frame", "alone", "fast", "last"])
def test_nothing_is_worth_more_where_nothing_follows_or_nobody_asks(
    build: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> float:
        raise AssertionError("not to be asked")

    monkeypatch.setattr(frame_coder, "asked_of", refuse)
    frames = _still(3, 48)
    if build == "per_frame":
        SeriesEncoder(shipped(), frames).per_frame(700)
    elif build == "alone":
        SeriesEncoder(shipped(), frames, intra_every=1).at_quality(30)
    elif build == "fast":
        SeriesEncoder(shipped(), frames, slope=0.0).at_quality(30)
    else:
        SeriesEncoder(shipped(), frames[:1]).at_quality(30)


def test_followers_end_where_a_date_stands_alone_and_at_other_grids() -> None:
    encoder = SeriesEncoder(shipped(), _still(5, 48), intra_every=3, groups=[0, 0, 1, 0, 0])
    coders = encoder._coders(400)
    assert [len(coders.take(n).later) for n in range(5)] == [1, 0, 0, 1, 0]


def test_a_later_date_that_cannot_be_read_is_passed_over() -> None:
    third = source_of(_still(3, 48)[2])

    class Broken(HeldSource):
        def tile(self, window: TileWindow) -> Frame:
            raise UserError("gone")

    broken = Broken(_still(2, 48)[1])
    first, window = _still(1, 48)[0], TileWindow(0, 0, 0, 48, 48)
    coded = transform(shipped(), first, None, 400, EQUAL)
    *_, tiles, asked = inherited.asked_of(first, coded, [broken, third], window, slope_at(30), 400, EQUAL)
    assert len(tiles) == 1 and np.array_equal(tiles[0].data, third.tile(window).data) and asked.count == 2


def test_beyond_a_bit_a_sample_no_later_date_is_read() -> None:
    class Unread(HeldSource):
        def live(self, window: TileWindow) -> bool:
            raise AssertionError("not to be asked")

        tile = live  # type: ignore[assignment]

    first, later = _still(2, 48)
    coded, window = transform(shipped(), first, None, 400, EQUAL), TileWindow(0, 0, 0, 48, 48)
    tile, same, tiles, asked = inherited.asked_of(first, coded, [Unread(later)], window, slope_at(-16), 400, EQUAL)
    assert (
        tile is first and same is coded and tiles == [] and inherited.worth(shipped(), tile, same, tiles, asked) == 1.0
    )
    with pytest.raises(AssertionError, match="not to be asked"):
        inherited.asked_of(first, coded, [Unread(later)], window, slope_at(30), 400, EQUAL)


def test_a_level_costs_less_with_dates_than_without() -> None:
    frames, slope = _still(3), slope_at(30)
    ways = (SeriesEncoder(shipped(), frames, weights="equal", intra_every=n).at_quality(30) for n in (0, 1))
    costs = [len(data) + _error(frames, data) / slope for data in ways]
    assert costs[0] < 0.8 * costs[1]


def test_streams_are_the_same_in_more_processes() -> None:
    frames = _still(2)
    with WorkerPool(2, shipped()) as pool:
        data = SeriesEncoder(shipped(), frames, pool=pool).at_quality(30)
    assert data == SeriesEncoder(shipped(), frames).at_quality(30)
