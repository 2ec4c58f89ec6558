"""Frames in any numbers through encoder and decoder: types, offsets of single dates, holes, dates of other grids."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import Radiometry
from swathpack.edge.stream import read_stream
from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.errors import UserError
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from tests.codec_models import shipped

FOUR = ("B02", "B03", "B04", "B08")
SIGNED = Radiometry("int16", shift=32768, nodata=-9999, zero=32768)
NUMBERS = [
    SIGNED,
    Radiometry("uint8", gain=40),
    Radiometry(gain=0.275, zero=7272.727),
    Radiometry("float32", scale=10000, nodata=float("nan")),
]


def code(frames: list[Frame], q: int = 24, **options: object) -> bytes:
    return SeriesEncoder(shipped(), frames, **options).at_quality(q)  # type: ignore[arg-type]


def decode(data: bytes) -> list[Frame]:
    decoded = StreamDecoder(shipped(), data).frames()
    assert not decoded.problems
    return list(decoded.frames)


def in_numbers(frame: Frame, radiometry: Radiometry) -> Frame:
    """The same scene in other counts."""
    empty = replace(frame, radiometry=radiometry)
    return replace(empty, data=empty.counts_of(frame.dn()))


@pytest.mark.parametrize("radiometry", NUMBERS, ids=lambda r: f"{r.dtype}-{r.gain}")
@pytest.mark.parametrize("mode", ["transform", "learned"])
def test_a_level_means_the_same_error_in_dn_whatever_a_count_is(radiometry: Radiometry, mode: str) -> None:
    given = series(64, 64, bands=FOUR)[0]
    found = []
    for frame in (given, in_numbers(given, radiometry)):
        data = code([frame], mode=mode)
        back = decode(data)[0]
        assert back.radiometry == frame.radiometry
        found.append((len(data), float(np.sqrt(((back.dn() - given.dn()) ** 2).mean()))))
    (size, error), (other_size, other_error) = found
    assert 0.9 < other_size / size < 1.15 and 0.9 < other_error / error < 1.1


def test_offsets_of_single_dates_come_back_and_change_no_tile() -> None:
    frames = series(48, 48, 3, bands=FOUR)
    mixed = [frames[0], frames[1].with_offset(), frames[2]]
    for mode in ("learned", "transform"):
        coded, plain = code(mixed, mode=mode), read_stream(code(frames, mode=mode))
        other = read_stream(coded)
        if mode == "learned":  # its DN are without the offset; the transform coder's mean is its own
            assert [s.payload for s in plain.segments] == [s.payload for s in other.segments]
        assert [(r.index, r.other_offset) for r in other.frames] == [(1, True)] and not plain.frames
    back = decode(coded)
    assert [f.boa_offset for f in back] == [False, True, False]
    assert all(np.abs(a.data.astype(int) - b.data).mean() < 150 for a, b in zip(back, mixed))


@pytest.mark.parametrize("radiometry", [Radiometry(), SIGNED], ids=lambda r: r.dtype)
@pytest.mark.parametrize("mode", ["transform", "learned"])
def test_holes_of_single_bands_come_back_and_cost_little(radiometry: Radiometry, mode: str) -> None:
    """A hole's count of 0 lies 33,000 below the data of int16 frames."""
    frame = in_numbers(series(64, 64, bands=FOUR)[0], radiometry)
    holes = np.zeros(frame.data.shape, bool)
    holes[1, 10:40, 10:40] = holes[3, :, 50:] = True
    with_holes = replace(frame, data=np.where(holes, 0, frame.data).astype(np.uint16), holes=holes)
    whole, data = code([frame], mode=mode), code([with_holes], mode=mode)
    assert len(data) < 1.5 * len(whole)
    back = decode(data)[0]
    assert (back.holes == holes).all() and not back.data[holes].any() and back.data[~holes].all()
    error, usual = (np.sqrt(((f.dn() - frame.dn())[~holes] ** 2).mean()) for f in (back, decode(whole)[0]))
    assert error < 1.2 * usual


def test_dates_of_other_grids_are_no_context() -> None:
    data = code(series(64, 64, 4), mode="learned", groups=[0, 1, 0, 1])
    assert [[c.frame for c in s.contexts] for s in read_stream(data).segments] == [[], [], [0], [1]]


def test_frames_of_different_radiometry_are_refused() -> None:
    frames = series(64, 64, 2)
    with pytest.raises(UserError, match=r"frame 1 \(2026-05-06\): expected Radiometry"):
        SeriesEncoder(shipped(), [frames[0], replace(frames[1], radiometry=Radiometry("int16"))])
