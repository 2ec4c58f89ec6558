"""Modes of a tile: budgets filled to the byte with any band set, exact modes that keep their promise, the better mode taken."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.plain import greatest_error
from swathpack.edge.codec.tile_coder import RDO_SLOPE
from swathpack.edge.frame import Frame
from swathpack.edge.stream import StreamWriter, read_stream
from swathpack.edge.stream.quality import PREDICTIVE, TRANSFORM, is_learned
from swathpack.hil_tests.simulation.made_frames import psnr, series, values
from swathpack.tools.files.decode_report import Decoded
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from tests.codec_models import shipped


def decode(data: bytes, layers: int = 16) -> Decoded:
    return StreamDecoder(shipped(), data).frames(layers)


def frames_of(bands: tuple[str, ...], size: int = 96, dates: int = 1, seed: int = 3) -> list[Frame]:
    data = values(size, size - 16, dates, seed)[:, : len(bands)]
    return [Frame(d, bands, f"2026-05-0{i + 1}") for i, d in enumerate(data)]


def largest_error(a: Frame, b: Frame) -> int:
    return int(np.abs(a.data.astype(int) - b.data)[:, a.valid].max())


@pytest.mark.parametrize("bands", [("pan",), ("B08",), ("red", "green", "blue"), BANDS[:4], (*BANDS, "B10")], ids=len)
@pytest.mark.parametrize("bppb", [0.05, 0.5, 2.0])
def test_any_band_set_fills_its_budget(bands: tuple[str, ...], bppb: float) -> None:
    full = (*values(96, 80, 1, 3)[0], values(96, 80, 1, 9)[0, 0] // 20)
    frame = Frame(np.stack(full[: len(bands)]), bands, "2026-05-01")
    budget = 120 + int(bppb / 8 * frame.data.size)
    fast, data = (SeriesEncoder(shipped(), [frame], slope=slope).per_frame(budget) for slope in (0.0, RDO_SLOPE))
    found = decode(data)
    assert budget - 2 <= len(fast) <= budget, "to the byte"
    assert 0.98 * budget <= len(data) <= budget and not found.problems
    assert found.frames[0].bands == bands and psnr(frame, found.frames[0]) > 25


def test_more_bytes_never_make_a_worse_image_even_of_a_saturated_cloud() -> None:
    frame = series(96, 96, 1, seed=5)[0]
    frame.data[:, 20:60, 30:90] = 65535
    frame.data[:, 70:, :] = 30
    errors = []
    for budget in (150, 400, 1000, 3000, 10_000, 40_000, 120_000):
        out = decode(SeriesEncoder(shipped(), [frame]).per_frame(budget)).frames[0]
        errors.append(float(((out.data.astype(float) - frame.data) ** 2).mean()))
    assert errors == sorted(errors, reverse=True) and errors[-1] < 20


@pytest.mark.parametrize("max_error", [0, 1, 5, 300])
def test_exact_modes_keep_their_promise(max_error: int) -> None:
    frames = frames_of(("B02", "B03", "B8A"), dates=2)
    masked = replace(frames[1], valid=np.ones((96, 80), np.bool_))
    masked.valid[10:40, 5:50] = False
    frames[1] = replace(masked, data=np.where(masked.valid, masked.data, 0).astype(np.uint16))
    data = SeriesEncoder(shipped(), frames).exact(max_error)
    segments, found = read_stream(data).segments, decode(data)
    assert {s.quality_byte for s in segments} == {PREDICTIVE} and not found.problems
    assert {greatest_error(s.payload) for s in segments} == {max_error}
    for a, b in zip(frames, found.frames):
        assert largest_error(a, b) <= max_error and (a.valid == b.valid).all()
    assert max_error or all((a.data == b.data).all() for a, b in zip(frames, found.frames))


def test_an_exact_stream_that_was_cut_holds_true_rows_only() -> None:
    frame = frames_of(("a", "b"))[0]
    data = SeriesEncoder(shipped(), [frame]).exact()
    found = decode(data[: len(data) * 6 // 10])
    known = found.frames[0].valid
    assert found.problems and 20 < known.sum() < frame.valid.sum()
    assert (found.frames[0].data[:, known] == frame.data[:, known]).all()


@pytest.mark.long
@pytest.mark.parametrize("budget", [pytest.param(200, marks=pytest.mark.slow), 1200])
def test_auto_is_the_better_of_both_modes(budget: int) -> None:
    frames, errors = series(96, 80, 2, seed=8), {}
    for mode in ("auto", "learned", "transform"):
        out = decode(SeriesEncoder(shipped(), frames, mode=mode).per_frame(budget)).frames
        errors[mode] = sum(float(((a.data.astype(float) - b.data) ** 2).sum()) for a, b in zip(frames, out))
    assert errors["auto"] <= 1.02 * min(errors.values()), errors


def test_few_bands_are_the_transform_coders() -> None:
    data = SeriesEncoder(shipped(), frames_of(BANDS[:4])).at_quality(28)
    assert {s.quality_byte for s in read_stream(data).segments} == {TRANSFORM}


def test_levels_go_on_below_the_learned_codecs_finest_step() -> None:
    frame, sizes, errors = series(64, 64, 1, seed=4)[0], [], []
    for level in (40, 20, 0, -16, -32, -56):
        data = SeriesEncoder(shipped(), [frame]).at_quality(level)
        sizes.append(len(data))
        errors.append(psnr(frame, decode(data).frames[0]))
    assert sizes == sorted(sizes) and errors == sorted(errors) and errors[-1] > 75


def test_fewer_layers_of_a_transform_tile_are_a_coarser_image() -> None:
    frame = frames_of(BANDS[:3])[0]
    data = SeriesEncoder(shipped(), [frame]).at_quality(4)
    found = [psnr(frame, decode(data, layers).frames[0]) for layers in (0, 4, 10, 16)]
    assert found == sorted(found) and found[-1] > found[1] + 5


def test_a_damaged_transform_tile_is_named_and_keeps_its_good_beginning() -> None:
    data = SeriesEncoder(shipped(), frames_of(BANDS[:3])).at_quality(10)
    stream = read_stream(data)
    (whole,) = stream.segments
    middle = len(data) // 2
    for bad in (data[:middle] + bytes([data[middle] ^ 4]) + data[middle + 1 :], data[:middle] + data[middle + 29 :]):
        found = decode(bad)
        (part,) = read_stream(bad).segments
        assert found.report.whole == 0 and len(part.payload) == len(whole.payload) // 2 // 1024 * 1024
        writer = StreamWriter(stream.header)
        writer.add(replace(whole, payload=part.payload, payload_bytes=-1))
        np.testing.assert_array_equal(found.frames[0].data, decode(writer.to_bytes()).frames[0].data)


def test_learned_tiles_name_learned_qualities() -> None:
    data = SeriesEncoder(shipped(), series(64, 64, 1), mode="learned").at_quality(28)
    assert all(is_learned(s.quality_byte) for s in read_stream(data).segments)
