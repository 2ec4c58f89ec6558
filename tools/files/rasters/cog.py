"""Cloud-optimised GeoTIFFs of the GeoTIFFs that were written: tiles, overviews, a predictor. GDAL makes them."""

from __future__ import annotations

import warnings
from pathlib import Path

from swathpack.tools.errors import UserError
from swathpack.tools.extras import missing_package
from swathpack.tools.files.rasters.tiff import sidecar

COMPRESSIONS = ("deflate", "zstd")
BLOCK = 512


def make_cog(path: Path, compression: str) -> None:
    """Put the cloud-optimised form of a GeoTIFF in its place. Raises UserError, MissingPackageError."""
    try:
        import rasterio
        from rasterio.errors import NotGeoreferencedWarning, RasterioError
        from rasterio.shutil import copy
    except ImportError as error:
        raise missing_package(error) or error from error
    options = {
        "compress": compression.upper(),
        "predictor": "YES",
        "blocksize": BLOCK,
        "overview_resampling": "AVERAGE",
    }
    made = path.with_name(f"{path.name}.cog")
    try:
        with warnings.catch_warnings(), rasterio.Env(GDAL_TIFF_INTERNAL_MASK=True):
            warnings.simplefilter("ignore", NotGeoreferencedWarning)
            copy(path, made, driver="COG", bigtiff="IF_SAFER", **options)
    except (RasterioError, ValueError) as error:
        made.unlink(missing_ok=True)
        raise UserError(f"{path.name}: cannot be made cloud-optimised: {error}") from error
    made.replace(path)
    sidecar(path).unlink(missing_ok=True)  # the mask lies inside now
