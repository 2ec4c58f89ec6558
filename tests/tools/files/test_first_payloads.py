"""What coding a file costs: payloads no longer than they need be, the learned codec only where it may win, nothing drawn for nothing."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.modes import MOST_LEARNED_BPPB, MOST_WEIGHED_BPPB, Weighing
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.codec.transform_coder import native
from swathpack.edge.frame import Frame
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.files import coding_jobs
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.frame_coder import FrameCoder
from tests.codec_models import shipped

FOUR = BANDS[1:4] + ("B08",)


def frame(bands: tuple[str, ...] = BANDS, side: int = 96) -> Frame:
    data, rng = values(side, side, 1, 4)[0, : len(bands)].astype(np.float64), np.random.default_rng(2)
    return Frame((data + rng.normal(0, 40, data.shape)).clip(1, 65535).astype(np.uint16), bands, "2026-05-01")


def lively_corner() -> Frame:
    """Four tiles of 64 pixels: three of next to nothing, and noise."""
    data = np.full((4, 128, 128), 1000, np.uint16)
    data[:, 64:, 64:] += np.random.default_rng(1).integers(0, 3000, (4, 64, 64)).astype(np.uint16)
    return Frame(data, FOUR, "2026-05-01")


def error(data: bytes, given: Frame) -> float:
    found = StreamDecoder(shipped(), data).frames()
    return float(((found.frames[0].data.astype(float) - given.data) ** 2).mean())


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[list[int]]:
    """Steps at which the learned codec codes tiles."""
    steps, usual = list[int](), FrameCoder._code_learned

    def noted(coder: FrameCoder, windows: list[TileWindow], q: int, *more: object) -> None:
        windows = list(windows)
        steps.extend(q for w in windows if w.index in coder._learned)
        usual(coder, windows, q, *more)  # type: ignore[arg-type]

    monkeypatch.setattr(FrameCoder, "_code_learned", noted)
    yield steps


@pytest.mark.parametrize("each", [False, True])
def test_one_tile_is_tried_at_the_step_of_its_budget(asked: list[int], each: bool) -> None:
    encoder = SeriesEncoder(shipped(), [frame()], weights="equal")
    (encoder.per_frame if each else encoder.in_total)(800)  # 0.06 bits a sample
    assert asked and min(asked) > 16, "its payload ends where the budget does, so that any level fits"


@pytest.mark.parametrize(("weights", "most"), [("equal", MOST_LEARNED_BPPB), ("auto", MOST_WEIGHED_BPPB)])
def test_the_learned_codec_is_not_tried_where_it_cannot_win(asked: list[int], weights: str, most: float) -> None:
    given = frame()
    for bppb, tried in ((0.9 * most, True), (1.2 * most, False)):
        asked.clear()
        SeriesEncoder(shipped(), [given], weights=weights).in_total(int(bppb * given.data.size / 8))
        assert bool(asked) == tried
    asked.clear()
    alone = SeriesEncoder(shipped(), [given], mode="learned").in_total(9000)
    assert asked and StreamDecoder(shipped(), alone).frames().frames, "it was asked for"


def test_a_tile_that_needs_far_more_than_others_has_it(monkeypatch: pytest.MonkeyPatch) -> None:
    given = lively_corner()
    monkeypatch.setattr(coding_jobs, "ROOM_MORE", 16)

    def coded(factor: int) -> bytes:
        monkeypatch.setattr(coding_jobs, "FIRST_FACTOR", factor)
        return SeriesEncoder(shipped(), [given], slope=0.0, tile=64).in_total(6000)

    short, whole = coded(2), coded(coding_jobs.ROOM_FACTOR)
    assert len(short) == len(whole) and error(short, given) == pytest.approx(error(whole, given), rel=1e-3)
    monkeypatch.setattr(FrameCoder, "look_further", lambda *_: False)
    assert error(coded(2), given) > 1.5 * error(whole, given), "that of the others is of no use to them"


@pytest.mark.parametrize("dates", [1, 2])
def test_one_lively_tile_among_many_flat_ones_has_what_they_leave(dates: int) -> None:
    """It takes far more than six times what tiles are aimed at: payloads end where nothing more is asked of them, not there."""
    data = np.full((2, 384, 384), 1000, np.uint16)
    data[:, 64:128, 64:128] += np.random.default_rng(1).integers(0, 3000, (2, 64, 64)).astype(np.uint16)
    given = [Frame(data, FOUR[:2], f"2026-05-0{n + 1}") for n in range(dates)]
    budget = 11_000 * dates
    together, apart = (
        way(SeriesEncoder(shipped(), given, slope=0.0, tile=64, intra_every=1), budget)
        for way in (SeriesEncoder.in_total, lambda e, n: SeriesEncoder.per_frame(e, n // dates))
    )
    assert budget - 64 < len(together) <= budget
    assert error(together, given[0]) <= 1.02 * error(apart, given[0])


def test_payloads_stop_at_six_times_as_many_bytes_as_long_as_that_is_too_short() -> None:
    first, most = 2 * 1000 + 4096, 6 * 1000 + 4096
    assert coding_jobs.rooms_of(1000, None) == [None]
    assert coding_jobs.rooms_of(1000, 3000, 3000) == [3000], "one tile that has it all"
    assert coding_jobs.rooms_of(1000, most) == [first, most]
    assert coding_jobs.rooms_of(1000, most, 1_000_000) == [first, most, 6 * most, 36 * most, 1_000_000]
    assert coding_jobs.rooms_of(1000, most, most) == [first, most]


def static(dates: int) -> list[Frame]:
    """A place that stays as it is, but for some noise."""
    rng, place = np.random.default_rng(3), frame(FOUR, 64).data.astype(np.float64)
    noisy = (place + rng.normal(0, 2, place.shape) for _ in range(dates))
    return [Frame(x.clip(1, 65535).astype(np.uint16), FOUR, f"2026-05-0{n + 1}") for n, x in enumerate(noisy)]


def test_a_first_date_that_all_others_follow_has_far_more_than_its_share(monkeypatch: pytest.MonkeyPatch) -> None:
    given = static(9)
    monkeypatch.setattr(coding_jobs, "ROOM_MORE", 900)

    def squares(factor: int) -> float:
        monkeypatch.setattr(coding_jobs, "FIRST_FACTOR", factor)
        data = SeriesEncoder(shipped(), given, mode="transform").in_total(2400)
        found = StreamDecoder(shipped(), data).frames().frames
        return sum(float(((a.data.astype(float) - b.data) ** 2).mean()) for a, b in zip(found, given))

    assert squares(2) < 1.03 * squares(coding_jobs.ROOM_FACTOR)


@pytest.mark.skipif(not native.available(), reason="the C library is not built")
@pytest.mark.parametrize(("bppb", "draws"), [(0.5, True), (1.0, False)])
def test_what_is_surely_better_is_not_drawn(bppb: float, draws: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    given, drawn = frame(FOUR), []
    room, weighing, usual = int(bppb * given.data.size / 8), Weighing("equal", bppb), coding_jobs._drawn
    payload = coding_jobs.transform(shipped(), given, None, room, weighing).payload[:room]
    monkeypatch.setattr(coding_jobs, "_drawn", lambda *a: drawn.append(1) or usual(*a))
    found = coding_jobs.refined(shipped(), given, payload, None, weighing)
    assert found is not None and bool(drawn) == draws
    costs = [coding_jobs.plain_cost(shipped(), given, each, None, weighing) for each in (found, payload)]
    assert costs[0] < costs[1]


@pytest.mark.skipif(not native.available(), reason="the C library is not built")
@pytest.mark.parametrize(("kind", "bppb"), [("points", 5.0), ("pattern", 2.0), ("holes", 10.0)])
def test_what_no_scene_looks_like_is_drawn_before_it_is_taken(kind: str, bppb: float) -> None:
    rng, valid, (y, x) = np.random.default_rng(0), np.ones((128, 128), np.bool_), np.mgrid[:128, :128]
    data = 1000 + 3000 * (np.sin(x / 9) + np.cos(y / 7) + 2) + rng.normal(0, 20, (4, 128, 128))
    if kind == "holes":
        valid = rng.random(valid.shape) < 0.3
    elif kind == "points":
        data = np.where((x % 16 == 0) & (y % 16 == 0), 60000.0, 1000.0)[None]
    else:
        data = (500.0 + 3000 * ((x + y) % 2))[None]
    given = Frame(data.astype(np.uint16), FOUR[-len(data) :], "2026-05-01", valid=valid)
    room, weighing = int(bppb * len(data) * int(valid.sum()) / 8), Weighing("equal", bppb)
    payload = coding_jobs.transform(shipped(), given, room, room, weighing, None, True).payload[:room]
    found = coding_jobs.refined(shipped(), given, payload, None, weighing) or payload
    costs = [coding_jobs.plain_cost(shipped(), given, each, None, weighing) for each in (found, payload)]
    assert costs[0] <= costs[1]
