"""Transform tiles of files are coded once more when their length is settled: less error, no more bytes, dates and holes as they are."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swathpack.edge.codec.modes import Weighing
from swathpack.edge.codec.plain import read_error
from swathpack.edge.codec.transform_coder import agreement, native
from swathpack.edge.codec.transform_coder.head import DATED, DATED_TRELLIS, TRELLIS
from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.files import coding_jobs
from swathpack.tools.files.coders import regrown
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.trials import Tile, Trial
from tests.codec_models import shipped
from tests.edge.codec.test_predictive import fields

pytestmark = pytest.mark.skipif(not native.available(), reason="the C library is not built")

BANDS = ("B02", "B03", "B04", "B08")


def frames(dates: int, holes: bool = False) -> list[Frame]:
    """A drawn place with noise, which compresses like a picture."""
    data, rng = values(96, 80, dates, 4)[:, :4].astype(np.float64), np.random.default_rng(2)
    data = (data + rng.normal(0, 40, data.shape)).clip(1, 65535).astype(np.uint16)
    found = [Frame(d, BANDS, f"2026-05-0{i + 1}") for i, d in enumerate(data)]
    valid = np.ones((96, 80), np.bool_)
    valid[10:50, 20:60] = False
    return [replace(frame, valid=valid) for frame in found] if holes else found


def error(data: bytes, given: list[Frame]) -> float:
    found = StreamDecoder(shipped(), data).frames()
    assert not found.problems
    return float(
        np.mean([((f.data.astype(float) - g.data)[:, g.valid] ** 2).mean() for f, g in zip(found.frames, given)])
    )


def has_trellis(payload: bytes) -> bool:
    first, kind = int.from_bytes(payload[:2], "big") >> 5 & 31, int.from_bytes(payload[:2], "big") & 31
    return first == TRELLIS and (kind >= DATED or bool(kind & DATED_TRELLIS))


@pytest.mark.parametrize(("dates", "holes"), [(1, False), (1, True), (3, False)])
@pytest.mark.parametrize("how", ["quality", "total", "each"])
def test_less_error_in_no_more_bytes(dates: int, holes: bool, how: str) -> None:
    given, files = frames(dates, holes), []
    for slope in (0.0, 0.1):  # as --fast, and not
        encoder = SeriesEncoder(shipped(), given, mode="transform", slope=slope)
        budget = 4000 if how == "each" else 4000 * dates
        run = {"quality": lambda e=encoder: e.at_quality(12), "total": lambda e=encoder, b=budget: e.in_total(b)}
        files.append(run.get(how, lambda e=encoder, b=budget: e.per_frame(b))())
        if how != "quality":
            assert 0.985 * budget * (dates if how == "each" else 1) < len(files[-1])
            assert len(files[-1]) <= budget * (dates if how == "each" else 1)
    fast, refined = files
    assert len(refined) <= len(fast) * (
        1.02 if dates > 1 else 1.0
    )  # a better date may be chosen, and shared out otherwise
    assert error(refined, given) < 0.96 * error(fast, given)
    segments = read_stream(refined).segments
    coded = [has_trellis(s.payload) for s in segments]
    assert sum(coded) >= max(1, dates - 1), "one may be no better for it"
    assert not any(has_trellis(s.payload) for s in read_stream(fast).segments)
    assert any(s.contexts for s in segments) == (dates > 1)


def test_what_is_left_over_goes_to_the_last_dates() -> None:
    given = frames(3)
    plain = SeriesEncoder(shipped(), given, mode="transform", slope=0.0).in_total(9000)
    refined = SeriesEncoder(shipped(), given, mode="transform").in_total(9000)
    assert len(plain) == 9000 and 0.99 * 9000 <= len(refined) <= 9000


def lake(seed: int) -> Frame:
    """A place half of which has infrared 4 % above green, about, with noise that no low rate keeps."""
    place, rng = frames(1)[0], np.random.default_rng(seed)
    data = place.data.astype(np.float64)
    data[3, 20:70] = 1.04 * data[1, 20:70] + rng.normal(0, 25, (50, 80))
    return replace(place, data=data.clip(1, 65535).astype(np.uint16))


def test_of_payloads_that_draw_a_lake_alike_the_one_with_the_truest_mask_stays() -> None:
    weighing, found = Weighing("auto", 0.2), []
    for tile in map(lake, range(3)):
        room = int(0.2 * tile.data.size / 8)
        payload = coding_jobs.transform(shipped(), tile, None, room, weighing).payload[:room]
        (plain,) = coding_jobs.refined_payloads(payload, tile.data, tile.valid, BANDS)
        chosen = coding_jobs.refined(shipped(), tile, payload, None, weighing) or payload
        assert len(chosen) <= room
        images = [coding_jobs.image(shipped(), each, tile.data.shape, BANDS, None) for each in (plain, chosen)]
        costs = [coding_jobs.plain_cost(shipped(), tile, each, None, weighing) for each in (plain, chosen)]
        assert costs[1] <= costs[0] + coding_jobs.ALIKE
        found.append([agreement(BANDS, tile.data, image) for image in images])
        other = coding_jobs.refined(shipped(), tile, payload, None, Weighing("equal", 0.2))
        assert other in (plain, None), "where least error is asked for nothing else counts"
    assert all(kept >= usual for usual, kept in found) and np.mean(found, axis=0)[1] > np.mean(found, axis=0)[0]


class Stub:
    """A coder of one tile: what growing gives, what refining that gives, and the error of each."""

    def __init__(self, more: Tile, again: Tile, errors: dict[int, float]) -> None:
        self.more, self.again, self.errors, self.asked = more, again, errors, 0

    def grown(self, tile: Tile, room: int) -> Tile:
        self.asked = tile.size + room
        return self.more

    def refined(self, trial: Trial) -> Trial:
        return Trial((self.again,)) if trial.tiles == (self.more,) else trial

    def error(self, trial: Trial) -> float:
        return self.errors[id(trial.tiles[0])]


@pytest.mark.parametrize("better", [True, False])
def test_a_tile_that_grows_keeps_what_a_trellis_won(better: bool) -> None:
    """It was replaced by more bytes without a trellis, whether or not these draw it better."""
    cut, tile, more, again = (Tile(0, object(), 16, size) for size in (100, 98, 110, 109))  # type: ignore[arg-type]
    plain = Tile(0, more.coded, 16, 110)
    errors = {id(tile): 1.0 if better else 3.0, id(plain): 2.0}
    found = regrown(Stub(more, plain, errors), cut, tile, 12)  # type: ignore[arg-type]
    assert found is (tile if better else plain)
    coder = Stub(more, again, {})
    assert regrown(coder, cut, tile, 12) is again and coder.asked == 98 + 12  # type: ignore[arg-type]
    assert regrown(Stub(more, plain, {}), cut, Tile(0, cut.coded, 16, 100), 10) is plain  # type: ignore[arg-type]


def test_exact_tiles_have_refined_predictions_but_for_fast_ones() -> None:
    given, files = [Frame(fields(3, 120, 100).astype(np.uint16), ("B08",), "2026-05-01")], []
    for slope in (0.0, 0.1):  # as --fast, and not
        files.append(SeriesEncoder(shipped(), given, slope=slope).exact(3))
        assert [read_error(s.payload)[::2] for s in read_stream(files[-1]).segments] == [(3, slope > 0)]
        found = StreamDecoder(shipped(), files[-1]).frames()
        assert not found.problems and np.abs(found.frames[0].data.astype(int) - given[0].data).max() <= 3
    assert len(files[1]) < 0.98 * len(files[0])
