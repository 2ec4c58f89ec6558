"""What of a file's metadata is essential, and that the rest is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.tools.files.rasters import ReadOptions, Series, read_series, write_series
from swathpack.tools.files.rasters.essential import Carried, essential
from swathpack.tools.files.rasters.packing import unpack
from tests.tools.files.rasters.made import NAMES, both_readers, geo, image, write_tiff


def back(series: Series, folder: Path, reader: str) -> tuple[Series, list[str]]:
    """The series written with what is essential, and read again."""
    reduced, left_out = essential(series.metadata)
    written = write_series(Series(series.frames, reduced), folder)
    return read_series(written, options=ReadOptions(reader=reader)), left_out


def described(series: Series) -> list[tuple[object, ...]]:
    keys = ("name", "bands", "georeference", "nodata", "dtype", "mask", "shape", "alpha", "layout", "datetime")
    return [tuple(f.get(k) for k in keys) for files in series.metadata["files"] for f in files]


@both_readers
def test_tags_that_the_record_tells_are_made_anew(tmp_path: Path, reader: str) -> None:
    path = write_tiff(
        tmp_path / "a_20230101.tif", image(), nodata="0", compression="zlib", datetime="2023:01:01 10:14:11"
    )
    series = read_series(path, options=ReadOptions(reader=reader))
    again, left_out = back(series, tmp_path / "out", reader)
    assert left_out == [] and described(again) == described(series)
    assert "tags" not in essential(series.metadata)[0]["files"][0][0]


def test_free_text_is_named_and_numbers_stay(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    xml = (
        '<Item name="ORBIT">65</Item><Item name="SCALE" sample="1" role="scale">0.0001</Item><Item name="WHO">me</Item>'
    )
    series = read_series(write_tiff(tmp_path / "a.tif", image(), xml=xml))
    reduced, left_out = essential(series.metadata)
    assert left_out == ["TIFF metadata ORBIT", "TIFF metadata WHO"]
    (tag,) = reduced["files"][0][0]["tags"]
    assert tag[0] == 42112 and "0.0001" in tag[3] and "ORBIT" not in tag[3] and tag[2] == len(tag[3]) + 1
    written = write_series(Series(series.frames, reduced), tmp_path / "out")
    (again,) = read_series(written).metadata["files"][0]
    assert again["bands"] == list(NAMES) and again["georeference"] == series.metadata["files"][0][0]["georeference"]


@pytest.mark.parametrize(
    "keys",
    [
        (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 2, 3072, 0, 1, 32632),  # pixels are points
        (1, 1, 0, 4, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32632, 4096, 0, 1, 5773),  # heights
        (1, 1, 0, 3, 1024, 0, 1, 1, 1025, 0, 1, 1, 3072, 0, 1, 32767),  # no code names it
    ],
)
@both_readers
def test_what_a_code_does_not_tell_stays_as_it_is(tmp_path: Path, reader: str, keys: tuple[int, ...]) -> None:
    tags = [*geo()[:2], (34735, 3, len(keys), keys, True)]
    series = read_series(write_tiff(tmp_path / "a.tif", image(), tags=tags), options=ReadOptions(reader=reader))
    kept = essential(series.metadata)[0]["files"][0][0]["tags"]
    assert [t[0] for t in kept] == [33550, 33922, 34735] and kept[2][3] == list(keys)
    again, _ = back(series, tmp_path / "out", reader)
    assert described(again) == described(series)


def test_keys_of_an_archive(tmp_path: Path) -> None:
    path, long = tmp_path / "a.npz", "a note " * 30
    place = np.array([10.0, 0, 399960.0, 0, -10.0, 4500000.123456789])
    data = image()[None]
    np.savez(
        path, data=data, bands=NAMES, note=long, source="a source " * 20, transform=place, crs="EPSG:32632", group="g"
    )
    reduced, left_out = essential(read_series(path).metadata)
    assert left_out == ["key 'note'"] and set(reduced["extra"]) == {"source", "transform", "crs", "group"}


def test_what_nothing_was_left_out_of_is_packed_once() -> None:
    carried = Carried.of({"format": "npz", "extra": {}})
    assert (
        carried.whole is None and not carried.left_out and unpack(carried.essential) == {"format": "npz", "extra": {}}
    )
    assert Carried.of({}) == Carried()
