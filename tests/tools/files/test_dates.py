"""Files of several dates: transform tiles name the earlier dates that they were coded against, and nothing else decodes them."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.frame import Frame
from swathpack.edge.stream import ContextRef, StreamWriter, read_stream
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.hil_tests.simulation.made_frames import psnr, values
from swathpack.tools.files import coders, held_dates
from swathpack.tools.files.decode_report import Decoded
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.lazy import Stream
from tests.codec_models import shipped

FOUR = BANDS[:4]


def decode(data: bytes) -> Decoded:
    return StreamDecoder(shipped(), data).frames()


def _frames(dates: int = 4, size: int = 96, bands: tuple[str, ...] = FOUR) -> list[Frame]:
    data = values(size, size, dates, 6)[:, : len(bands)]
    return [Frame(d, bands, f"2026-05-{i + 1:02d}") for i, d in enumerate(data)]


def _drifting(dates: int) -> list[Frame]:
    """Dates each of which is like the one before only."""
    found = [frame.data.astype(float) for frame in _frames(dates, 64)]
    for before, now in zip(found, found[1:]):
        now[:] = 0.8 * before + 0.2 * now
    return [Frame(np.rint(d).astype(np.uint16), FOUR, f"2026-05-{i + 1:02d}") for i, d in enumerate(found)]


@cache
def _at_level(dates: int = 4) -> bytes:
    """`_frames` at one level."""
    return SeriesEncoder(shipped(), _frames(dates)).at_quality(30)


def _error(frames: list[Frame], decoded: Decoded) -> float:
    return sum(float(((a.data.astype(float) - b.data)[:, a.valid] ** 2).sum()) for a, b in zip(frames, decoded.frames))


@pytest.mark.parametrize("bands", [FOUR, pytest.param(BANDS, marks=pytest.mark.slow)], ids=len)
def test_earlier_dates_save_bytes_and_budgets_are_filled(bands: tuple[str, ...]) -> None:
    frames = _frames(bands=bands)
    budget = int(0.1 / 8 * frames[0].data.size * len(frames)) + 100
    for build in (lambda e: e.in_total(budget), lambda e: e.per_frame(budget // len(frames))):
        data = build(SeriesEncoder(shipped(), frames, mode="transform"))
        alone = build(SeriesEncoder(shipped(), frames, mode="transform", intra_every=1))
        assert budget - 4 * len(frames) <= len(data) <= budget
        segments = read_stream(data).segments
        assert {s.quality_byte for s in segments} == {TRANSFORM}
        assert sum(len(s.contexts) for s in segments) >= 2 and not segments[0].contexts
        assert not any(s.contexts for s in read_stream(alone).segments)
        found = decode(data)
        assert not found.problems and _error(frames, found) < 0.9 * _error(frames, decode(alone))


def test_what_a_last_frame_leaves_goes_to_tiles_that_none_names(monkeypatch: pytest.MonkeyPatch) -> None:
    frames, usual = _frames(3), coders.first_of
    budget = int(0.1 / 8 * frames[0].data.size * len(frames)) + 100
    monkeypatch.setattr(coders, "first_of", lambda *given: usual(*given[:3], int(0.9 * given[3]), given[4]))
    data = SeriesEncoder(shipped(), frames, mode="transform").in_total(budget)
    assert budget - 4 <= len(data) <= budget and not decode(data).problems


def test_a_level_gives_better_images_for_as_many_bytes() -> None:
    """The first date takes more than alone, because the others inherit it."""
    frames = _frames()
    data, alone = _at_level(), SeriesEncoder(shipped(), frames, intra_every=1).at_quality(30)
    quality = [np.mean([psnr(a, b) for a, b in zip(frames, decode(d).frames)]) for d in (data, alone)]
    assert len(data) < 1.02 * len(alone) and quality[0] > quality[1] + 2


def test_dates_are_only_those_since_the_last_that_stands_alone() -> None:
    data = SeriesEncoder(shipped(), _frames(6, 64), intra_every=3).at_quality(30)
    for segment in read_stream(data).segments:
        assert all(segment.frame // 3 * 3 <= c.frame < segment.frame for c in segment.contexts)
        assert all(c.layers == 16 for c in segment.contexts)
    assert not decode(data).problems


@pytest.mark.parametrize("held_bytes", [1 << 28, 1])
def test_frames_are_the_same_in_any_order_and_layers(held_bytes: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(held_dates, "HELD_BYTES", held_bytes)
    frames, data = _frames(5), _at_level(5)
    whole = decode(data)
    assert not whole.problems
    stream = Stream(data)
    for index in (4, 0, 3, 1, 2, 4):
        assert np.array_equal(stream.read(index), whole.frames[index].data)
        assert np.array_equal(stream.read(index, window=np.s_[10:30, 40:50]), whole.frames[index].data[:, 10:30, 40:50])
    few = [StreamDecoder(shipped(), data).frames(k).frames[4] for k in (0, 5, 16)]
    quality = [psnr(frames[4], f) for f in few]
    assert quality == sorted(quality)
    assert stream.frames[4].contexts == tuple(
        sorted({c.frame for s in read_stream(data).segments[4:] for c in s.contexts})
    )


def test_a_file_cut_short_keeps_all_dates_before_the_cut() -> None:
    data = _at_level()
    whole, last = decode(data), read_stream(data).segments[-1]
    found = decode(data[: last.offset + 30])
    for a, b in zip(whole.frames[:-1], found.frames[:-1]):
        assert np.array_equal(a.data, b.data)
    assert found.problems


def test_a_date_that_is_damaged_or_missing_is_named_and_nothing_is_drawn_from_it() -> None:
    encoder = SeriesEncoder(shipped(), _frames())
    encoder.header = replace(encoder.header, version=2)  # dates by their digests
    data = encoder.at_quality(30)
    stream = read_stream(data)
    named = next(s for s in stream.segments if s.contexts)
    target = next(s for s in stream.segments if s.frame == named.contexts[0].frame)
    at = target.offset + len(target.payload) // 2
    for bad, message in (
        (data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :], "has another digest here"),
        (_rewritten(data, {target.frame: None}), "which is not here"),
        (_rewritten(data, {named.frame: (replace(named.contexts[0], digest=b"abcd"),)}), "has another digest here"),
        (_rewritten(data, {named.frame: (ContextRef(named.frame + 1, 16, b"abcd"),)}), "which is not earlier"),
        (_rewritten(data, {named.frame: ()}), "earlier date that it was coded against is not here"),
    ):
        found = decode(bad)
        assert any(message in problem for problem in found.problems), found.problems
        assert not found.frames[named.frame].valid.any()


def test_a_date_by_position_that_is_damaged_or_missing_is_named_and_nothing_is_drawn_from_it() -> None:
    data = SeriesEncoder(shipped(), _frames(size=64)).in_total(1300)  # so short that no payload has checks of its own
    stream = read_stream(data)
    named = next(s for s in stream.segments if s.contexts)
    target = next(s for s in stream.segments if s.frame == named.contexts[0].frame)
    at, end = (
        target.offset + len(target.payload) // 2,
        min(s.offset for s in stream.segments if s.offset > target.offset),
    )
    for bad in (data[:at] + bytes([data[at] ^ 16]) + data[at + 1 :], data[: target.offset] + data[end:]):
        found = decode(bad)
        assert any("which it was coded against, is not sound" in problem for problem in found.problems), found.problems
        assert not found.frames[named.frame].valid.any()
        assert found.reports[target.frame].absent == found.reports[named.frame].absent == [(0, 0)]


def test_a_date_by_position_counts_only_whole() -> None:
    """Also where it was already decoded as far as it went: HeldDates has the last word."""
    stream = read_stream(SeriesEncoder(shipped(), _frames(size=64)).in_total(2600))
    named = next(s for s in stream.segments if s.contexts)
    for change in ({"damaged": True}, {"layer_count": 15}):
        segments = [replace(s, **change) if s.frame == named.contexts[0].frame else s for s in stream.segments]
        found = StreamDecoder(shipped(), replace(stream, segments=tuple(segments))).frames()
        assert any("is not whole here" in problem for problem in found.problems), found.problems
        assert not found.frames[named.frame].valid.any()


def test_chains_have_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    frames = _drifting(4)
    monkeypatch.setattr("swathpack.tools.files.places.LONGEST_CHAIN", 2)
    monkeypatch.setattr(held_dates, "LONGEST_CHAIN", 2)
    assert not decode(SeriesEncoder(shipped(), frames).at_quality(30)).problems
    monkeypatch.setattr("swathpack.tools.files.places.LONGEST_CHAIN", 9)
    data = SeriesEncoder(shipped(), frames).at_quality(30)
    with pytest.raises(Exception, match="needs more than 2 earlier dates"):
        Stream(data).read(3)


def _rewritten(data: bytes, changes: dict[int, tuple[ContextRef, ...] | None]) -> bytes:
    """The same stream with other contexts of some frames, or without them (None)."""
    stream = read_stream(data)
    writer = StreamWriter(stream.header)
    for segment in stream.segments:
        contexts = changes.get(segment.frame, segment.contexts)
        if contexts is not None:
            writer.add(replace(segment, contexts=contexts, payload_bytes=-1))
    return writer.to_bytes()
