"""The stream decoder: whole streams of every kind of frame; cut, damaged and forged ones are named, never wrong."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from functools import lru_cache

import numpy as np
import pytest

from swathpack.codec.seams import REACH
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.rangecoder import RunChecks
from swathpack.edge.frame import Frame
from swathpack.edge.stream import ContextRef, Header, Segment, StreamWriter, read_stream
from swathpack.hil_tests.simulation.made_frames import psnr, series
from swathpack.tools.errors import UserError
from swathpack.tools.files.decode_report import Decoded, FrameReport
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.rasters.essential import Carried
from tests.codec_models import shipped

Q = 20
CUT_EVERY, FLIPS = 97, 200


def code(frames: list[Frame], q: int = Q, version: int = 3) -> bytes:
    encoder = SeriesEncoder(shipped(), frames, mode="learned")
    encoder.header = replace(encoder.header, version=version)
    return encoder.at_quality(q)


def decode(data: bytes, layers: int = 16) -> Decoded:
    return StreamDecoder(shipped(), data).frames(layers)


def check(frames: list[Frame], least_psnr: float = 30.0) -> Decoded:
    """Shapes, bands, masks, times and levels come back; pixels nearly."""
    decoded = decode(code(frames))
    assert not decoded.problems and len(decoded.frames) == len(frames)
    for before, after in zip(frames, decoded.frames):
        assert (after.bands, after.time, after.level) == (before.bands, before.time, before.level)
        assert (after.grid, after.boa_offset, after.data.shape) == (
            before.grid,
            before.boa_offset,
            before.data.shape,
        )
        np.testing.assert_array_equal(after.valid, before.valid)
        assert not after.data[:, ~after.valid].any() and after.data[:, after.valid].min(initial=1) > 0
        assert psnr(before, after) > least_psnr
    return decoded


@pytest.mark.parametrize("size", [(37, 51), (100, 100), (1, 70), (70, 1), (1, 1), (16, 16)], ids=str)
def test_any_size(size: tuple[int, int]) -> None:
    check(series(*size, 2, level="L2A"), 26.0)


@pytest.mark.long
def test_several_tiles() -> None:
    decoded = check(series(300, 260, 1, seed=1))
    assert [t.tile for t in decoded.reports[0].tiles] == [0, 1, 2, 3]


def test_finer_steps_and_more_layers_look_better() -> None:
    frames = series(64, 64, seed=2)
    by_step = [psnr(frames[0], decode(code(frames, q)).frames[0]) for q in (4, 20, 36, 52)]
    assert by_step == sorted(by_step, reverse=True)
    by_layer = [psnr(frames[0], decode(code(frames, 4), k).frames[0]) for k in (0, 1, 4, 16)]
    assert by_layer == sorted(by_layer) and by_layer[-1] > by_layer[0] + 5


def test_nodata_keeps_its_place() -> None:
    frames = series(100, 120, 2, seed=3)
    valid = np.ones((100, 120), bool)
    valid[30:70, :40] = False
    valid[5, 5] = False
    masked = [Frame(np.where(valid, f.data, 0).astype(np.uint16), f.bands, f.time) for f in frames]
    check([masked[0], frames[1]])


@pytest.mark.parametrize(
    "bands", [("B04", "B03", "B02", "B08"), BANDS[1:-1], ("B8A",), tuple(reversed(BANDS))], ids=len
)
def test_missing_and_reordered_bands(bands: tuple[str, ...]) -> None:
    check(series(64, 64, 2, bands=bands, level="L2A"), 28.0)


def test_cirrus_comes_back() -> None:
    frame = series(64, 64, level="L1C")[0]
    both = Frame(np.concatenate([frame.data, frame.data[:1] // 50]), (*BANDS, "B10"), frame.time, level="L1C")
    decoded = decode(code([both]))
    assert decoded.frames[0].bands == decoded.header.bands == both.bands
    assert psnr(both, decoded.frames[0]) > 30


def test_offset_of_new_products_comes_back() -> None:
    frames = [replace(f, data=(f.data + 1000).astype(np.uint16), boa_offset=True) for f in series(64, 64, 2)]
    check(frames)
    plain = [f.without_offset() for f in frames]
    assert [s.payload for s in read_stream(code(frames)).segments] == [
        s.payload for s in read_stream(code(plain)).segments
    ]


def test_native_grids_come_back() -> None:
    frame = series(60, 66)[0]
    factors = {"B01": 6, "B09": 6, **{b: 2 for b in ("B05", "B06", "B07", "B8A", "B11", "B12")}}
    native = {b: frame.data[i, :: factors.get(b, 1), :: factors.get(b, 1)] for i, b in enumerate(BANDS)}
    given = Frame.from_native(native, time=frame.time)
    decoded = check([given], 26.0).frames[0].to_native()
    assert {b: x.shape for b, x in decoded.items()} == {b: x.shape for b, x in native.items()}


def test_order_of_dates_and_times_are_kept() -> None:
    frames = series(64, 64, 4, seed=4)
    shuffled = [
        replace(frames[i], time=t) for i, t in ((2, "2026-06-01"), (0, None), (3, "about noon"), (1, "2020-01-01"))
    ]
    decoded = check(shuffled)
    for at, before in enumerate(shuffled):
        found = [psnr(before, after) for after in decoded.frames]
        assert int(np.argmax(found)) == at


def test_reports_name_contexts_and_digests() -> None:
    tiles = [t for r in decode(code(series(64, 64, 3))).reports for t in r.tiles]
    assert [t.contexts for t in tiles][:2] == [[], [0]] and sorted(tiles[2].contexts) == [0, 1]
    assert all(len(t.latent_digest) == 16 and t.layers == 16 and t.q == Q for t in tiles)
    assert len({t.latent_digest for t in tiles}) == 3


def test_another_model_is_refused() -> None:
    stream = read_stream(code(series(16, 16)))
    forged = StreamWriter(replace(stream.header, model_digest=b"\0" * 8)).to_bytes()
    with pytest.raises(
        UserError, match=f"made with model {'00' * 8} .* this is model {shipped().digest.hex()} .*--model"
    ):
        StreamDecoder(shipped(), forged)


@pytest.mark.parametrize("data", [b"", b"SWP", b"\x89PNG\r\n\x1a\n" * 9, b"SWP\x02" + bytes(60)])
def test_what_is_no_stream_is_refused(data: bytes) -> None:
    with pytest.raises(UserError):
        StreamDecoder(shipped(), data)


# --- forged contexts ----------------------------------------------------------------------------------------


def rebuilt(header: Header, segments: list[Segment]) -> bytes:
    writer = StreamWriter(header)
    for segment in segments:
        writer.add(segment)
    return writer.to_bytes()


def forged(change: ContextRef | None, keep_first: bool = True) -> Decoded:
    """A stream of version 2, whose segments name contexts by their digests."""
    stream = read_stream(code(series(64, 64, 2), version=2))
    first, second = stream.segments
    if change is not None:
        second = replace(second, contexts=(change,))
    return decode(rebuilt(stream.header, [first, second] if keep_first else [second]))


def test_a_wrong_context_digest_is_refused() -> None:
    found = forged(ContextRef(0, 16, b"\1\2\3\4"))
    assert found.problems == ["frame 1, tile 0: its context, frame 0, has another digest here"]
    assert found.frames[0].valid.all() and not found.frames[1].valid.any()


def test_a_context_that_is_not_here_is_named() -> None:
    found = forged(None, keep_first=False)
    assert "frame 0: not in the stream" in found.problems
    assert "frame 1, tile 0: needs 16 layers of frame 0 as context, 0 are here" in found.problems


def test_a_context_by_position_that_is_not_here_is_named() -> None:
    data = code(series(64, 64, 2))
    first, second = (s.offset for s in read_stream(data).segments)
    found = decode(data[:first] + data[second:])
    assert "frames 0-1: not in the stream" in found.problems
    assert any("frame 0, which it was coded against, is not sound" in problem for problem in found.problems)


def test_a_context_with_fewer_layers_here_is_named() -> None:
    stream = read_stream(code(series(64, 64, 2), version=2))
    first, second = stream.segments
    short = SeriesEncoder(shipped(), series(64, 64, 2), mode="learned").at_quality(Q, 3)
    found = decode(rebuilt(stream.header, [read_stream(short).segments[0], second]))
    assert found.problems == ["frame 1, tile 0: needs 16 layers of frame 0 as context, 3 are here"]
    assert found.reports[0].tiles[0].layers == 3


# --- cut and damaged streams --------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def damaged_case() -> tuple[bytes, Decoded]:
    """Three dates, two tiles each, the second date with nodata and one time in a frame record."""
    frames = series(32, 80, 3, seed=5)
    data = frames[1].data.copy()
    data[:, 4:20, 3:30] = 0
    frames[1] = Frame(data, BANDS, "about noon")
    stream = SeriesEncoder(
        shipped(), frames, Carried(None, b'{"source": "made in a test"}'), mode="learned", tile=64
    ).at_quality(30)
    return stream, decode(stream)


def tiles(decoded: Decoded) -> Iterator[tuple[int, int, np.ndarray]]:
    for index, frame in enumerate(decoded.frames):
        masked = np.where(frame.valid, frame.data, 0)
        yield index, 0, masked[:, :, :64]
        yield index, 1, masked[:, :, 64:]


def tells_of(report: FrameReport, tile: int) -> bool:
    """Whether anything is wrong with a tile, or may be."""
    named = any(t.tile == tile and t.problem for t in report.tiles)
    return bool(report.problem) or named or any(first <= tile <= last for first, last in report.absent)


def check_damaged(data: bytes) -> Decoded | None:
    """No exception but UserError; every tile is as in the whole stream, or named with its frame. Beside one that is named a
    tile has its seam, at most REACH pixels of it.
    """
    try:
        found = decode(data)
    except UserError:
        return None
    whole = damaged_case()[1]
    named = found.problems
    for (frame, tile, a), (_, _, b) in zip(tiles(found), tiles(whole)):
        if tells_of(found.reports[frame], 1 - tile):
            away = np.s_[:, :, :-REACH] if tile == 0 else np.s_[:, :, REACH:]
            a, b = a[away], b[away]
        if not np.array_equal(a, b):
            assert tells_of(found.reports[frame], tile), f"frame {frame}, tile {tile}: wrong and not named\n{named}"
    assert len(found.frames) == len(whole.frames)
    return found


def check_cut(at: int) -> None:
    found = check_damaged(damaged_case()[0][:at])
    if found is not None:
        assert found.problems
        for report, whole in zip(found.reports, damaged_case()[1].reports):
            here = {t.tile: t.layers for t in report.tiles}
            for tile in whole.tiles:
                layers = here.get(tile.tile, 0)
                assert layers <= tile.layers and (layers < tile.layers) <= tells_of(report, tile.tile)


def check_flip(seed: int) -> None:
    data = bytearray(damaged_case()[0])
    bit = int(np.random.default_rng(seed).integers(8 * len(data)))
    data[bit // 8] ^= 1 << bit % 8
    found = check_damaged(bytes(data))
    assert found is None or found.problems


def test_cuts() -> None:
    for at in range(0, len(damaged_case()[0]), 7 * CUT_EVERY):
        check_cut(at)


@pytest.mark.slow
def test_cuts_everywhere() -> None:
    for at in range(0, len(damaged_case()[0]), CUT_EVERY):
        check_cut(at)


@pytest.mark.long
def test_flipped_bits() -> None:
    for seed in range(8):
        check_flip(seed)


@pytest.mark.long
def test_flipped_bits_of_headers_and_frame_records() -> None:
    """Every byte from the start of the file to the end of the header, and of the record with the mask."""
    data = damaged_case()[0]
    stream = read_stream(data)
    record, following = stream.frames[0].offset, min(s.offset for s in stream.segments if s.frame == 1)
    for at in [*range(0, stream.extensions[0].offset, 7), *np.linspace(record, following - 1, 7, dtype=int)]:
        broken = bytearray(data)
        broken[at] ^= 1 << at % 8
        check_damaged(bytes(broken))


@pytest.mark.slow
def test_flipped_bits_at_two_hundred_places() -> None:
    for seed in range(100, 100 + FLIPS):
        check_flip(seed)


def test_lost_segments_are_named() -> None:
    stream = read_stream(damaged_case()[0])
    for lost in range(len(stream.segments)):
        data, gone = damaged_case()[0], stream.segments[lost]
        starts = [r.offset for r in (*stream.frames, *stream.segments)]
        end = min([at for at in starts if at > gone.offset], default=len(data))
        found = check_damaged(data[: gone.offset] + data[end:])
        assert found is not None and f"frame {gone.frame}, tile {gone.tile}: not in the stream" in found.problems


# --- bytes lost in the middle -------------------------------------------------------------------------------


@lru_cache(maxsize=1)
def lost_case() -> bytes:
    """Two dates of one tile; the second one's segment has the larger part of the file."""
    return SeriesEncoder(shipped(), series(64, 64, 2, seed=6), intra_every=1, mode="learned").at_quality(8)


@lru_cache(maxsize=16)
def whole_of(layers: int, frame: int) -> np.ndarray:
    """A date of the whole stream, of so many layers."""
    return decode(lost_case(), layers).frames[frame].data


def check_good_prefix(data: bytes, frame: int) -> int:
    """That a frame is named and is what the whole stream gives of so many layers; returns how many."""
    found = decode(data)
    tile = found.reports[frame].tiles[0]
    assert tile.problem and found.reports[frame].missing and tile.layers < 16
    if tile.layers:
        np.testing.assert_array_equal(found.frames[frame].data, whole_of(tile.layers, frame))
    else:
        assert not found.frames[frame].valid.any()
    return tile.layers


@pytest.mark.long
@pytest.mark.parametrize("frame", [0, 1])
def test_bytes_lost_in_the_middle_of_a_segment_never_make_a_wrong_image(frame: int) -> None:
    """Of the last segment (it then looks cut) and of one before it (its CRC says so)."""
    data, segment = lost_case(), read_stream(lost_case()).segments[frame]
    start = segment.offset + 20
    kept = [
        check_good_prefix(data[:at] + data[at + 29 :], frame)
        for at in range(start, start + len(segment.payload) - 60, len(segment.payload) // 9)
    ]
    assert kept == sorted(kept) and kept[0] == 0 and kept[-1] > 8


def test_a_flipped_bit_costs_only_the_layers_behind_it() -> None:
    data, segment = bytearray(lost_case()), read_stream(lost_case()).segments[1]
    data[segment.offset + 20 + len(segment.payload) * 9 // 10] ^= 4
    assert check_good_prefix(bytes(data), 1) > 8


def test_lost_and_cut_at_once() -> None:
    data = lost_case()
    middle = read_stream(data).segments[1].offset + 1500
    assert check_good_prefix(data[:middle] + data[middle + 29 : -300], 1) > 0


def test_the_checks_stay_below_three_bytes_in_a_thousand(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunChecks, "write", lambda self, encoder: None)
    without = SeriesEncoder(shipped(), series(64, 64, 2, seed=6), intra_every=1, mode="learned").at_quality(8)
    assert len(without) < len(lost_case()) < 1.003 * len(without)


def test_streams_of_version_1_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(RunChecks, "write", lambda self, encoder: None)
    encoder = SeriesEncoder(shipped(), series(64, 64, 2, seed=6), intra_every=1, mode="learned")
    encoder.header = replace(encoder.header, version=1)
    old = encoder.at_quality(8)
    found, new = decode(old), decode(lost_case())
    assert not found.problems
    for a, b in zip(found.frames, new.frames):
        np.testing.assert_array_equal(a.data, b.data)
    cut = decode(old[:-300])
    assert any("unchecked" in line for line in cut.problems) and 8 < cut.reports[1].tiles[0].layers < 16
    damaged = bytearray(old)
    damaged[read_stream(old).segments[0].offset + 900] ^= 1
    assert not decode(bytes(damaged)).frames[0].valid.any()
