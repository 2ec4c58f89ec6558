"""CRS, transform, nodata, band names, dates and file names come back at every budget, to the last digit."""

from __future__ import annotations

import re
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swathpack
from swathpack.edge.bands import BANDS
from swathpack.edge.stream import Extension, StreamWriter, read_stream
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.files.carried import FACTS_TAG, METADATA_TAG, metadata_of
from swathpack.tools.files.rasters import pack_metadata, read_series
from tests.tools.files.rasters.made import write_tiff

rasterio = pytest.importorskip("rasterio")

DEGREES = 8.983152841195215e-05, 0.0, 11.123456789012344, 0.0, -7.983152841195217e-05, 46.98765432101234
UTM = 10.0, 0.0, 399960.0, 0.0, -10.0, 4500000.0
FOUR = ("B02", "B03", "B04", "B08")
TURNED = 9.5, 1.25, 399960.123456789, -1.25, -9.75, 4500000.987654321


def write(folder: Path, bands: tuple[str, ...], dates: int, crs: str, place: tuple[float, ...]) -> list[Path]:
    """GeoTIFFs as GDAL writes them, with items of text that no budget needs to hold."""
    cube = values(32, 32, dates, seed=4)
    paths = []
    for date in range(dates):
        path = folder / f"S2A_MSIL2A_202301{1 + 5 * date:02d}T10141{date}_T32TQM.tif"
        options = {
            "crs": crs,
            "transform": rasterio.Affine(*place),
            "nodata": 65535,
            "compress": "deflate",
            "tiled": True,
        }
        size = {"width": 32, "height": 32, "count": len(bands), "dtype": "uint16", "blockxsize": 32, "blockysize": 32}
        with rasterio.open(path, "w", driver="GTiff", **size, **options) as dataset:
            dataset.write(cube[date, [BANDS.index(b) for b in bands]])
            dataset.descriptions = bands
            dataset.update_tags(PROCESSING="a long text of where this came from, " * 8)
        paths.append(path)
    return paths


def facts(path: Path) -> dict[str, Any]:
    """What GDAL says of a file."""
    with rasterio.open(path) as d:
        return {
            "crs": d.crs,
            "epsg": d.crs.to_epsg(),
            "transform": tuple(d.transform),
            "nodata": d.nodata,
            "names": d.descriptions,
            "size": d.shape,
            "dtype": d.dtypes,
            "name": path.name,
        }


def least(paths: list[Path], option: str) -> int:
    """The smallest budget, as the refusal of 1 byte names it."""
    with pytest.raises(
        swathpack.Error, match="for headers, georeference and names and the mean of every tile"
    ) as found:
        swathpack.compress(paths, **{option: 1})
    return int(re.search(r"expected at least (\d+)", str(found.value)).group(1))  # type: ignore[union-attr]


def text_of(path: Path) -> str | None:
    with rasterio.open(path) as dataset:
        return dataset.tags().get("PROCESSING")


CASES = [
    (BANDS, 1, "bytes_per_frame", "EPSG:32632", UTM),
    pytest.param(BANDS, 4, "bytes_per_frame", "EPSG:4326", DEGREES, marks=pytest.mark.slow),
    pytest.param(BANDS, 4, "bytes", "EPSG:3857", TURNED, marks=pytest.mark.slow),
    (FOUR, 1, "bytes_per_frame", "EPSG:4326", DEGREES),
    (FOUR, 1, "bytes", "EPSG:32632", TURNED),
    (FOUR, 3, "bytes_per_frame", "EPSG:32632", UTM),
    (FOUR, 3, "bytes", "EPSG:3857", UTM),
]


@pytest.mark.long
@pytest.mark.parametrize("bands, dates, option, crs, place", CASES)
def test_georeference_at_every_budget(
    tmp_path: Path, bands: tuple[str, ...], dates: int, option: str, crs: str, place: tuple[float, ...]
) -> None:
    paths = write(tmp_path, bands, dates, crs, place)
    given, text, times = [facts(p) for p in paths], text_of(paths[0]), [f.time for f in read_series(paths).frames]
    smallest = least(paths, option)
    with pytest.raises(swathpack.Error, match=f"{smallest - 1}: expected at least {smallest}"):
        swathpack.compress(paths, **{option: smallest - 1})
    for budget in (smallest, smallest + 1, 2 * smallest, 30_000 * dates):
        stream = swathpack.compress(paths, **{option: budget})
        assert stream.nbytes <= budget * (1 if option == "bytes" else dates)
        swathpack.decompress(bytes(stream), output=tmp_path / f"back{budget}")
        back = [tmp_path / f"back{budget}" / p.name for p in paths]
        assert [facts(p) for p in back] == given
        assert [f.time for f in read_series(back).frames] == times == list(stream.times)
        left_out = any(n.startswith("left out: TIFF metadata PROCESSING") for n in stream.notes)
        assert [text_of(p) for p in back] == [None if left_out else text] * dates
        assert left_out == (budget <= 2 * smallest)
    assert smallest < (dates * 200 if option == "bytes" else 260)


def test_a_crs_without_a_code_is_held_too(tmp_path: Path) -> None:
    own = "+proj=laea +lat_0=47.25 +lon_0=9.5 +x_0=1234.5 +y_0=0 +ellps=GRS80 +units=m +no_defs"
    (path,) = write(tmp_path, FOUR, 1, own, TURNED)
    given, smallest = facts(path), least([path], "bytes")
    swathpack.decompress(swathpack.compress(path, bytes=smallest), output=tmp_path / "back.tif")
    assert facts(tmp_path / "back.tif") | {"name": path.name} == given
    assert given["epsg"] is None and smallest < 900


def test_the_command_says_what_it_leaves_out(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (path,) = write(tmp_path, FOUR, 1, "EPSG:32632", UTM)
    words = ["compress", str(path), "-o", str(tmp_path / "out.swp"), "--bytes"]
    assert main([*words, "100"]) == 1
    assert re.search(r"--bytes 100: expected at least \d+, for headers, georeference", capsys.readouterr().err)
    assert main([*words, "2000"]) == 0
    assert "\nleft out: TIFF metadata PROCESSING (text that the budget has no room for)\n" in capsys.readouterr().out


def test_metadata_of_streams_of_before_are_read(tmp_path: Path) -> None:
    path = write_tiff(tmp_path / "a_20230101.tif", values(64, 64, 1, seed=4)[0, [1, 2, 3, 7]])
    assert main(["compress", str(path), "-o", str(tmp_path / "new.swp")]) == 0
    stream, series = read_stream((tmp_path / "new.swp").read_bytes()), read_series(path)
    assert [e.tag for e in stream.extensions] == [FACTS_TAG] and metadata_of(stream) == series.metadata
    before = StreamWriter(stream.header)
    before.add(Extension(METADATA_TAG, pack_metadata(series.metadata)))
    for segment in stream.segments:
        before.add(segment)
    (tmp_path / "old.swp").write_bytes(before.to_bytes())
    assert zlib.decompress(pack_metadata(series.metadata))[:1] == b"{"
    for name in ("old", "new"):
        assert main(["decompress", str(tmp_path / f"{name}.swp"), "-o", str(tmp_path / name)]) == 0
    assert np.array_equal(*[read_series(tmp_path / n / path.name).frames[0].data for n in ("old", "new")])
    assert read_series(tmp_path / "old" / path.name).metadata == read_series(tmp_path / "new" / path.name).metadata
