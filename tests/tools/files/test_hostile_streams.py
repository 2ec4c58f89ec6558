"""Streams that claim much and hold little: what is claimed takes no memory, time or disk."""

from __future__ import annotations

import json
import tracemalloc
import zlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import Radiometry
from swathpack.edge.stream import Extension, FrameRecord, Header, Segment, StreamWriter, pack_mask, read_stream
from swathpack.edge.stream.quality import PREDICTIVE, TRANSFORM
from swathpack.edge.stream.times import as_text
from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.cli import main
from swathpack.tools.errors import PARTLY, UserError
from swathpack.tools.files import decoder
from swathpack.tools.files.carried import FACTS_TAG, METADATA_TAG
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.lazy import Stream
from swathpack.tools.files.rasters import pack_metadata, packing, read_series, unpack_metadata
from swathpack.tools.files.rasters.dates import numpy_moment
from tests.codec_models import shipped
from tests.limits import swathpack


def claims(**changes) -> Header:
    """A header of the shipped model that claims whatever is asked for."""
    fields = {"frames": 1, "height": 256, "width": 256, "bands": ("B02", "B03", "B04")}
    return Header(model_digest=shipped().digest, tables_digest=shipped().tables_digest, **{**fields, **changes})


def written(path: Path, writer: StreamWriter) -> Path:
    path.write_bytes(writer.to_bytes())
    return path


@pytest.fixture(scope="module")
def real() -> bytes:
    """One date of 64 x 64 pixels, three bands."""
    return SeriesEncoder(shipped(), series(64, 64, 1, bands=("B02", "B03", "B04"))).at_quality(30)


def with_header(real: bytes, header: Header) -> StreamWriter:
    writer = StreamWriter(header)
    for segment in read_stream(real).segments:
        writer.add(replace(segment, offset=0))
    return writer


@pytest.mark.parametrize(
    "header", [claims(frames=65536, height=16384, width=16384), claims(height=16384, width=16384), claims(frames=65536)]
)
def test_a_bare_header_is_refused(tmp_path, header):
    stream = written(tmp_path / "bomb.swp", StreamWriter(header))
    said = swathpack("decompress", stream, "-o", tmp_path / "out.npz").refusal
    assert "bomb.swp" in said and ("--max-pixels" in said or "no tile" in said)
    assert not (tmp_path / "out.npz").exists()


def test_many_frames_with_one_tile_are_refused_beyond_the_limit(tmp_path, real):
    header = claims(frames=65536, height=4096, width=4096, tile_size=64)
    stream = written(tmp_path / "bomb.swp", with_header(real, header))
    said = swathpack("decompress", stream, "-o", tmp_path / "out").refusal
    assert "1,099,511,627,776 pixels" in said and "--max-pixels" in said


def test_no_more_dates_are_made_files_of_than_the_limit(tmp_path, real):
    """Empty ones of a pixel each took 221 s of CPU and 52 MB of GeoTIFFs for a stream of 2.6 KB."""
    stream = written(tmp_path / "many.swp", with_header(real, claims(frames=4097, height=64, width=64)))
    for words in ([], ["--window", "0", "0", "1", "1"]):
        said = swathpack("decompress", stream, "-o", tmp_path / "out", *words).refusal
        assert "many.swp" in said and "at most 4,096 dates" in said and "4,097" in said and ".npz" in said
        assert not (tmp_path / "out").exists()
    assert swathpack("decompress", stream, "-o", tmp_path / "out", "--dates", "0").code in (0, PARTLY)


@pytest.mark.slow
def test_a_large_frame_is_written_by_windows(tmp_path, real):
    """Raw it is 12 times as large as the memory that is free under the limit would take."""
    header = claims(height=11008, width=11008, tile_size=64)
    stream = written(tmp_path / "large.swp", with_header(real, header))
    ran = swathpack("decompress", stream, "-o", tmp_path / "out.npz", "--report", tmp_path / "report.json")
    assert ran.code == PARTLY and ran.peak_mb < 1024 and "tiles 1-29583: not in the stream" in ran.out
    assert (tmp_path / "report.json").stat().st_size < 2000 and (tmp_path / "out.npz").stat().st_size < 4 << 20
    with np.load(tmp_path / "out.npz") as archive:
        assert archive["data"].shape == (1, 3, 11008, 11008)
        assert archive["data"][0, :, :64, :64].all() and not archive["data"][0, :, 64:, :128].any()


def test_frames_of_which_nothing_came_cost_next_to_nothing(tmp_path, monkeypatch):
    """37 bytes may claim 65,536 of them: their values and what they have in common are made once."""
    stream = SeriesEncoder(shipped(), series(2, 3, 1, bands=("B02", "B03"))).at_quality(30)
    made: list[str] = []
    for owner, name in ((Radiometry, "to_values"), (Frame, "__post_init__")):
        true = getattr(owner, name)
        monkeypatch.setattr(owner, name, lambda *a, true=true, name=name: made.append(name) or true(*a))
    path = written(
        tmp_path / "many.swp", with_header(stream, claims(frames=5000, height=2, width=3, bands=("B02", "B03")))
    )
    assert main(["decompress", str(path), "-o", str(tmp_path / "out.npz")]) == PARTLY
    assert 0 < made.count("to_values") < 10 and made.count("__post_init__") < 30
    with np.load(tmp_path / "out.npz") as archive:
        assert archive["data"].shape == (5000, 2, 2, 3)
        assert archive["data"][0].all() and not archive["data"][1:].any()


@pytest.mark.parametrize("payload", [b"", b"\xff", b"\xff\1\2\3"], ids=lambda p: p.hex() or "nothing")
def test_a_tile_that_ends_before_it_says_its_greatest_error_is_shown_as_cut(tmp_path, payload, capsys):
    """A segment of the predictive coder with right checksums and too little in it."""
    writer = StreamWriter(claims(height=64, width=64, tile_size=64))
    writer.add(Segment(0, 0, PREDICTIVE & 63, 0, 16, 4, 4, flags=PREDICTIVE >> 6, payload=payload))
    path = written(tmp_path / "short.swp", writer)
    assert main(["inspect", str(path)]) == 0 and main(["inspect", str(path), "--json"]) == 0
    said = capsys.readouterr()
    assert " cut" in said.out and "None" not in said.out and not said.err
    assert main(["decompress", str(path), "-o", str(tmp_path / "out.npz")]) == PARTLY


def test_a_learned_tile_larger_than_any_encoder_makes_is_named_before_any_network_runs(tmp_path, monkeypatch, capsys):
    """Networks over 1,024 x 1,024 pixels took ten seconds and more than a gigabyte for a file of 52 bytes."""
    monkeypatch.setattr(decoder, "tile_decoder", lambda *_: pytest.fail("the latent was decoded"))
    writer = StreamWriter(claims(height=320, width=70, tile_size=320))
    writer.add(Segment(0, 0, 20, 0, 16, 20, 5, payload=b"\1\2\3"))
    path = written(tmp_path / "large.swp", writer)
    assert main(["decompress", str(path), "-o", str(tmp_path / "out.npz"), "--threads", "1"]) == PARTLY
    assert "learned codec to have at most 256 pixels a side, found 320 x 70" in capsys.readouterr().out


def test_inspect_says_what_is_there(tmp_path, real):
    stream = written(tmp_path / "many.swp", with_header(real, claims(frames=65536, height=64, width=64, tile_size=64)))
    said = swathpack("inspect", stream)
    assert "frames 1-65535: nothing sent" in said.out and len(said.out) < 4000
    facts = json.loads(swathpack("inspect", stream, "--json").out)
    assert facts["frames_without_data"] == [[1, 65535]] and len(facts["frames"]) == 1


@pytest.mark.long
@pytest.mark.parametrize("side", [1024, pytest.param(8192, marks=pytest.mark.slow)])
def test_masks_and_extensions_do_not_unpack_to_more_than_the_limit(tmp_path, real, side):
    writer = with_header(real, claims(height=side, width=side, tile_size=64))
    valid = np.ones((side, side), bool)
    valid[::2] = False
    writer.add(FrameRecord(0, None, pack_mask(valid)))
    for _ in range(600):
        writer.add(Extension(5, bytes(1 << 20)))
    stream = written(tmp_path / "bomb.swp", writer)
    assert stream.stat().st_size < 2 << 20
    assert swathpack("inspect", stream).peak_mb < 400
    ran = swathpack("decompress", stream, "-o", tmp_path / "out.npz")
    assert ran.code == PARTLY and ran.peak_mb < 1024 and "extension" in ran.out


def test_a_mask_of_another_size_is_named_and_the_pixels_are_kept(tmp_path, real):
    writer = with_header(real, claims(height=64, width=64, tile_size=64))
    writer.add(FrameRecord(0, None, pack_mask(np.eye(80, dtype=bool))))
    decoded = StreamDecoder(shipped(), writer.to_bytes()).frames()
    assert any("its mask cannot be used" in line for line in decoded.problems)
    assert decoded.frames[0].valid.all()


TIMES = (1 << 39, 1714000000, 0.25, float("nan"), "now", "NaT", "1714000000", "9999-12-31", "a/../b")


@pytest.mark.parametrize("target", ["out.npz", "dates", "out.nc", "out.zarr"])
@pytest.mark.parametrize("time", TIMES, ids=str)
def test_a_time_of_any_kind_costs_nothing(tmp_path, real, time, target, capsys):
    """Numbers are times too; what is no date is not taken for one."""
    writer = with_header(real, claims(height=64, width=64, tile_size=64))
    writer.add(FrameRecord(0, time))
    path = written(tmp_path / "timed.swp", writer)
    report = tmp_path / "report.json"
    assert main(["decompress", str(path), "-o", str(tmp_path / target), "--report", str(report)]) == 0
    assert main(["inspect", str(path), "--json"]) == 0
    said = json.loads(capsys.readouterr().out.partition("{")[2].join(["{", ""]), parse_constant=pytest.fail)
    assert said["frames"][0]["time"] == json.loads(report.read_text())["frames"][0]["time"] == as_text(time)
    if target in ("out.zarr", "out.nc"):
        found = pytest.importorskip("xarray").open_dataset(tmp_path / target, decode_times=False)
        assert ("time" in found.coords) == (numpy_moment(str(as_text(time)), "ms") is not None)


def test_latents_are_held_only_while_a_later_frame_names_them():
    frames = series(64, 64, 5, seed=3)
    decoder = StreamDecoder(shipped(), SeriesEncoder(shipped(), frames, mode="learned").at_quality(30))
    most = 0
    for index in range(len(frames)):
        frame, _ = decoder.frame(index)
        most = max(most, len(decoder.held))
        assert frame.valid.all()
    named = {(c.frame, s.tile) for s in decoder.stream.segments for c in s.contexts}
    assert named and set(decoder.held) <= named and most <= len(named)
    decoder.latent(len(frames), decoder.windows[0])
    assert not decoder.held


METADATA = pytest.mark.parametrize(
    "metadata",
    [
        {"format": "npz", "extra": {"x": {"dtype": "<U1000000", "shape": [4096], "values": ["a"] * 4096}}},
        {"format": "npz", "extra": {"x": {"dtype": "|u1", "shape": [1 << 40], "packed": ""}}},
        {"format": "npz", "extra": {"x": {"dtype": "|O", "shape": [1], "packed": ""}}},
        {"format": "npz", "extra": [1], "native": "B02"},
        {"format": "npz", "native": {"10m": ["B02"], "20m": 5}},
        {"rank": 3, "has_dates": "no", "extra": {"data": 5}},
        {"files": [[{"name": "../../out.tif", "bands": ["B02"], "tags": [[1, 2]], "tile": [0, -1]}]]},
    ],
    ids=str,
)


def carrying(real: bytes, metadata, tag: int) -> StreamWriter:
    writer = with_header(real, claims(height=64, width=64, tile_size=64))
    writer.add(Extension(tag, packing.pack(metadata) if tag == FACTS_TAG else pack_metadata(metadata)))
    return writer


@METADATA
@pytest.mark.parametrize("tag", [METADATA_TAG, FACTS_TAG])
@pytest.mark.parametrize("target", ["out.npz", "folder"])
def test_metadata_of_any_shape_cost_themselves_only(tmp_path, real, metadata, tag, target, capsys):
    pytest.importorskip("tifffile")
    writer = carrying(real, metadata, tag)
    stream = written(tmp_path / "x.swp", writer)
    code = (
        main(["decompress", str(stream), "-o", str(tmp_path / "inner" / target)])
        if target == "folder"
        else main(["decompress", str(stream), "-o", str(tmp_path / target)])
    )
    said = capsys.readouterr()
    assert code in (0, PARTLY) and (code == 0 or "what the stream says of its files" in said.out)
    found = read_series(tmp_path / "inner" / target if target == "folder" else tmp_path / target)
    assert found.frames[0].data.shape == (3, 64, 64) and not list(tmp_path.glob("*.tif"))


@METADATA
@pytest.mark.parametrize("target", ["out.nc", "out.zarr"])
def test_cubes_of_metadata_of_any_shape(tmp_path, real, metadata, target, capsys):
    pytest.importorskip("h5netcdf")
    stream = written(tmp_path / "x.swp", carrying(real, metadata, FACTS_TAG))
    code = main(["decompress", str(stream), "-o", str(tmp_path / target)])
    said = capsys.readouterr()
    assert code in (0, PARTLY) and (code == 0 or "what the stream says of its files" in said.out)
    assert (tmp_path / target).exists() and sorted(p.name for p in tmp_path.iterdir()) == sorted([target, "x.swp"])


def test_deep_metadata_are_refused_in_words():
    with pytest.raises(UserError, match="metadata"):
        unpack_metadata(zlib.compress(b"[" * 100_000))
    with pytest.raises(UserError, match="larger than"):
        unpack_metadata(zlib.compress(b'{"a":[' + b"[]," * (1 << 21) + b"0]}"))


def many_bands(path: Path, bands: int, side: int, quality: int = TRANSFORM) -> Path:
    """A file of some kilobytes that claims so many bands; its tile is noise."""
    names = tuple(f"x{band}" for band in range(bands))
    writer = StreamWriter(claims(height=side, width=side, tile_size=1024, bands=names))
    positions = -(-min(side, 1024) // 16)
    noise = np.random.default_rng(5).integers(0, 256, 600, dtype=np.uint8).tobytes()
    writer.add(Segment(0, 0, quality & 63, 0, 16, positions, positions, flags=quality >> 6, payload=noise))
    return written(path, writer)


def test_a_transform_tile_of_more_bands_than_any_encoder_takes_costs_nothing(tmp_path):
    """2 kB took 2.4 GB where its head was read, and twice that where values were made of the zeros."""
    stream = many_bands(tmp_path / "bands.swp", 255, 1024)
    assert stream.stat().st_size < 4096
    ran = swathpack("decompress", stream, "-o", tmp_path / "out.npz", "--threads", 1, "--window", 0, 0, 8, 8)
    assert ran.code == PARTLY and ran.peak_mb < 1024 and "expected at most 16 bands, found 255" in ran.out


def test_values_of_many_bands_are_made_piece_by_piece(tmp_path):
    """Eight bytes a sample at a time for some of them, not for all."""
    stream = Stream(many_bands(tmp_path / "bands.swp", 64, 1024).read_bytes(), partial=True)
    stream.frame(0)  # the model is open from here on
    tracemalloc.start()
    values = stream.read(0)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert values.shape == (64, 1024, 1024) and not values.any()
    assert peak < 2.8 * values.nbytes  # counts, values, and masks of one byte for some


def test_frames_of_more_bands_than_are_coded_count_as_more_pixels(tmp_path):
    stream = many_bands(tmp_path / "bands.swp", 255, 16384)
    said = swathpack("decompress", stream, "-o", tmp_path / "out.npz").refusal
    assert "268,435,456 pixels of 255 bands, as much as 4,294,967,296 of 16 bands" in said and "--max-pixels" in said
    with pytest.raises(UserError, match="1,073,741,824 pixels at a time.*of 255 bands"):
        Stream(stream.read_bytes(), partial=True).read(0)
