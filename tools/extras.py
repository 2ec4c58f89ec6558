"""Which extra brings a package that is not installed."""

from __future__ import annotations

from swathpack.tools.errors import MissingPackageError

EXTRAS: dict[str, str] = {
    "torch": "train",
    "onnx": "train",
    "tqdm": "train",
    "scipy": "plan",
    "sgp4": "plan",
    "skyfield": "plan",
    "matplotlib": "bench",
    "imagecodecs": "geo",
    "tifffile": "geo",
    "rasterio": "geo",
    "h5netcdf": "geo",
    "xarray": "xarray",
    "av": "bench",
    "cryptography": "flash",
    "zstandard": "flash",
    "spacepackets": "hil",
    "raptorq": "hil",
    "h5py": "demo",
}


def missing_package(error: ImportError) -> MissingPackageError | None:
    """What to tell of a failed import: the extra to install; None when no extra brings the package."""
    package = (error.name or "").partition(".")[0]
    if package not in EXTRAS:
        return None
    return MissingPackageError(f"needs the package {package}: pip install 'swathpack[{EXTRAS[package]}]'")
