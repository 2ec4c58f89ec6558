"""Reading series of frames: `.npz` cubes, GeoTIFFs, JPEG2000 files, Sentinel-2 products; writing `.npz`, GeoTIFF, COG, NetCDF,
Zarr.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Sequence
from pathlib import Path

from swathpack.tools.errors import RefusedError, UserError
from swathpack.tools.files.outputs import Output
from swathpack.tools.files.rasters import netcdf, zarr
from swathpack.tools.files.rasters.cog import make_cog
from swathpack.tools.files.rasters.cube import UnlikeError
from swathpack.tools.files.rasters.files import check_regular, read_files
from swathpack.tools.files.rasters.geotiff import find_geotiffs, write_geotiffs
from swathpack.tools.files.rasters.npz import read_npz, write_npz
from swathpack.tools.files.rasters.options import ReadOptions, options_of
from swathpack.tools.files.rasters.records import BandRecord, FileRecord, Georeference
from swathpack.tools.files.rasters.series import Series, pack_metadata, unpack_metadata
from swathpack.tools.files.rasters.tiff import SUFFIXES, sidecar


def read_series(
    source: str | Path | Sequence[str | Path],
    bands: Sequence[str] | None = None,
    options: ReadOptions | None = None,
) -> Series:
    """A series from one `.npz`, or from rasters: GeoTIFFs, JPEG2000 files, one file a band, SAFE folders or zips,
    folders of any of these.

    `bands` names the planes of files that do not, or picks some of those that are there; `options` says more. Raises
    UserError.
    """
    chosen = options_of(bands, options)
    paths = [Path(source)] if isinstance(source, (str, Path)) else [Path(p) for p in source]
    if not paths:
        raise UserError("expected at least one file")
    missing = [str(p) for p in paths if not p.exists()]
    if missing:
        raise UserError(f"no such file: {', '.join(missing)}")
    for path in paths:
        check_regular(path)
    if len(paths) == 1 and paths[0].suffix.lower() == ".npz":
        return read_npz(paths[0], chosen)
    cubes = [p.name for p in paths if p.suffix.lower() == ".npz"]
    if cubes:
        raise UserError(f"expected one .npz alone or rasters, found {', '.join(p.name for p in paths[:5])}")
    return read_files(paths, chosen)


def is_folder(target: Path) -> bool:
    """Whether a series written to `target` becomes a folder of files. Raises UserError for a form that is not written."""
    suffix = target.suffix.lower()
    if suffix in (".npz", netcdf.SUFFIX, *SUFFIXES):
        return False
    if suffix and suffix != zarr.SUFFIX and not target.is_dir():
        forms = ", ".join((".npz", *SUFFIXES, netcdf.SUFFIX, zarr.SUFFIX))
        raise UserError(f"{target}: expected a name that ends in {forms}, or a folder's without a dot, found {suffix}")
    return True


def output_of(target: Path, inputs: Iterable[Path] = (), force: bool = False) -> Output:
    """The output that a series is written to. Raises UserError, RefusedError."""
    store = target.suffix.lower() == zarr.SUFFIX
    if store and target.is_dir() and any(target.iterdir()) and not zarr.is_store(target):
        raise RefusedError(f"{target} is a folder that holds no Zarr group: give another output")
    return Output(target, inputs, force, folder=is_folder(target), whole=store)


def stream_output(target: Path, inputs: Iterable[Path] = (), force: bool = False) -> Output:
    """The output that a stream is written to: of any name but an image's, which no program would read then. Raises
    UserError, RefusedError.
    """
    output = Output(target, inputs, force)
    if target.suffix.lower() in (".npz", ".npy", ".jp2", netcdf.SUFFIX, zarr.SUFFIX, *SUFFIXES):
        raise UserError(
            f"{target}: expected a stream's name, such as {target.with_suffix('.swp').name}, found an image's"
        )
    return output


def check_form(target: Path, cog: str) -> None:
    """Refuse to make anything but GeoTIFFs cloud-optimised. Raises UserError."""
    suffix = target.suffix.lower()
    if cog and suffix and suffix not in SUFFIXES and not (target.is_dir() and suffix != zarr.SUFFIX):
        raise UserError(f"{target}: --cog makes GeoTIFFs: give a name that ends in .tif, or a folder")


def write_series(series: Series, target: str | Path, cog: str = "") -> list[Path]:
    """Writes an `.npz`, a NetCDF `.nc` or a `.zarr` group where the target ends so, one `.tif` for a single date, else
    GeoTIFFs in a folder. cog: compression of cloud-optimised GeoTIFFs (`cog.COMPRESSIONS`), none by default.

    Returns what was written. Raises UserError.
    """
    target = Path(target)
    if not series.frames:
        raise UserError("nothing to write: the series has no frames")
    check_form(target, cog)
    suffix = target.suffix.lower()
    if suffix in _WRITERS:
        _WRITERS[suffix](series, target)
        return [target]
    written = write_geotiffs(series, target) if suffix not in SUFFIXES else [_write_one(series, target)]
    for path in written if cog else ():
        make_cog(path, cog)
    return written


_WRITERS = {".npz": write_npz, netcdf.SUFFIX: netcdf.write_netcdf, zarr.SUFFIX: zarr.write_zarr}


def _write_one(series: Series, target: Path) -> Path:
    """One date's one file, made in a folder of its own beside the target, so that nothing else there is touched."""
    if (dates := len(series.frames)) != 1:
        raise UnlikeError(
            f"{target.name}: one .tif holds one date, these are {dates}: give a folder, an .npz, .nc or .zarr"
        )
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        written = write_geotiffs(series, Path(folder))
        if len(written) != 1:
            files = f"one .tif holds one file, these are {len(written)} (one a grid, band or date)"
            raise UnlikeError(f"{target.name}: {files}: give a folder, an .npz, .nc or .zarr, or --bands of one file")
        if sidecar(written[0]).exists():
            sidecar(written[0]).replace(sidecar(target))
        return written[0].replace(target)


__all__ = [
    "BandRecord",
    "FileRecord",
    "Georeference",
    "ReadOptions",
    "Series",
    "check_form",
    "find_geotiffs",
    "is_folder",
    "output_of",
    "pack_metadata",
    "read_series",
    "stream_output",
    "unpack_metadata",
    "write_series",
]
