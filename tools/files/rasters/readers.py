"""The reader for a file: rasterio where it is installed, else tifffile and imagecodecs."""

from __future__ import annotations

from pathlib import Path

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import gdal, jpeg2000, tiff
from swathpack.tools.files.rasters.facts import RasterFacts
from swathpack.tools.files.rasters.trees import Member

READERS = ("auto", "rasterio", "light")
SUFFIXES = (*tiff.SUFFIXES, *jpeg2000.SUFFIXES)


def describe(member: Member, reader: str = "auto") -> RasterFacts:
    """What a raster file says; its pixels are read later, by the same reader. Raises UserError."""
    if reader == "rasterio" and not gdal.installed():
        raise UserError("rasterio is not installed: pip install 'swathpack[geo]'")
    if reader != "light" and gdal.installed():
        return gdal.describe(member)
    suffix = Path(member.name).suffix.lower()
    if suffix in jpeg2000.SUFFIXES:
        return jpeg2000.describe(member)
    if suffix in tiff.SUFFIXES and member.archive is None:
        return tiff.describe(Path(member.path))
    raise UserError(
        f"{member.path}: {suffix or 'files without a suffix'} need rasterio (pip install 'swathpack[geo]'); "
        f"without it {', '.join(SUFFIXES)} are read"
    )
