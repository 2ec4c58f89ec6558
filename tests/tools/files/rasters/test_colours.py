"""What a TIFF says of its samples' colours comes back: colour maps, white as 0, a fourth band that is no alpha."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swathpack
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.files.rasters import large_rows, tiff

rasterio = pytest.importorskip("rasterio")


def written(path: Path, count: int, colours: bool = False, **more: Any) -> Path:
    data = (values(64, 80, 1, 7)[0, :count] // 40).clip(1, 255).astype(np.uint8)
    how = {"driver": "GTiff", "count": count, "height": 64, "width": 80, "dtype": "uint8", "crs": "EPSG:32632", **more}
    how["transform"] = rasterio.Affine(10, 0, 300000, 0, -10, 5000000)
    with rasterio.open(path, "w", **how) as file:
        file.write(data)
        file.descriptions = ("B04", "B03", "B02", "B08")[:count]
        if colours:
            file.write_colormap(1, {n: (n, 255 - n, n * 7 % 256, 255) for n in range(256)})
    return path


def facts(path: Path) -> tuple[Any, ...]:
    with rasterio.open(path) as file:
        white = file.tags(ns="IMAGE_STRUCTURE").get("MINISWHITE")
        flags = [[flag.name for flag in band] for band in file.mask_flag_enums]
        shown = file.colormap(1) if file.colorinterp[0].name == "palette" else None
        return file.colorinterp, white, flags, shown, file.read().tolist(), file.read_masks().tolist()


@pytest.mark.parametrize("by_rows", [False, True])
@pytest.mark.parametrize(
    ("count", "more"),
    [
        (4, {"photometric": "RGB", "alpha": "unspecified"}),
        (3, {"photometric": "RGB"}),
        (1, {"photometric": "MINISWHITE"}),
        (1, {"photometric": "palette", "colours": True}),
    ],
    ids=str,
)
def test_colours_come_back(
    tmp_path: Path, count: int, more: dict[str, Any], by_rows: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The infrared of red, green, blue, infrared came back as alpha, colour maps and MINISWHITE not at all, without a word."""
    if by_rows:
        monkeypatch.setattr(large_rows, "LARGE_SAMPLES", 1)
    source = written(tmp_path / "a.tif", count, **more)
    swathpack.compress(source, lossless=True, output=tmp_path / "a.swp")
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "back")]) == 0
    assert facts(tmp_path / "back" / "a.tif") == facts(source)


def test_colours_of_jpeg_stay_colours(tmp_path: Path) -> None:
    """JPEG's luminance and chrominance are read as red, green and blue, and came back as one gray band and two of nothing."""
    source = written(tmp_path / "a.tif", 3, photometric="YCBCR", compress="jpeg", interleave="pixel")
    assert tiff.describe(source).colours == ("red", "green", "blue")
    swathpack.compress(source, lossless=True, output=tmp_path / "a.swp")
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "back")]) == 0
    assert facts(tmp_path / "back" / "a.tif") == facts(source)


def test_a_colour_map_without_room_is_named(tmp_path: Path) -> None:
    source = written(tmp_path / "a.tif", 1, colours=True, photometric="palette")
    stream = swathpack.compress(source, bytes=600, output=tmp_path / "a.swp")
    assert any("TIFF ColorMap" in note for note in stream.notes), stream.notes
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "back.tif")]) == 0
