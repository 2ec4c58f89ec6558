"""Reading and writing series of frames: `.npz` cubes, GeoTIFFs, JPEG2000 files, Sentinel-2 products."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from pathlib import Path

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.files import read_files
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
    if len(paths) == 1 and paths[0].suffix.lower() == ".npz":
        return read_npz(paths[0], chosen)
    cubes = [p.name for p in paths if p.suffix.lower() == ".npz"]
    if cubes:
        raise UserError(f"expected one .npz alone or rasters, found {', '.join(p.name for p in paths[:5])}")
    return read_files(paths, chosen)


def is_folder(target: Path) -> bool:
    """Whether a series written to `target` becomes a folder of files. Raises UserError for a form that is not written."""
    suffix = target.suffix.lower()
    if suffix in (".npz", *SUFFIXES):
        return False
    if suffix and not target.is_dir():
        forms = ", ".join((".npz", *SUFFIXES))
        raise UserError(f"{target}: expected a name that ends in {forms}, or a folder's without a dot, found {suffix}")
    return True


def write_series(series: Series, target: str | Path) -> list[Path]:
    """Writes an `.npz` where the target ends so, one `.tif` for a single date, else GeoTIFFs in a folder.

    Returns what was written. Raises UserError.
    """
    target = Path(target)
    if not series.frames:
        raise UserError("nothing to write: the series has no frames")
    if target.suffix.lower() == ".npz":
        write_npz(series, target)
        return [target]
    if target.suffix.lower() not in SUFFIXES:
        return write_geotiffs(series, target)
    return [_write_one(series, target)]


def _write_one(series: Series, target: Path) -> Path:
    """One date's one file, made in a folder of its own beside the target, so that nothing else there is touched."""
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent, prefix=f".{target.name}.") as folder:
        written = write_geotiffs(series, Path(folder)) if len(series.frames) == 1 else []
        if len(written) != 1:
            raise UserError(f"{target}: one .tif holds one date of one grid; give a folder for this series")
        if sidecar(written[0]).exists():
            sidecar(written[0]).replace(sidecar(target))
        return written[0].replace(target)


__all__ = [
    "BandRecord",
    "FileRecord",
    "Georeference",
    "ReadOptions",
    "Series",
    "find_geotiffs",
    "is_folder",
    "pack_metadata",
    "read_series",
    "unpack_metadata",
    "write_series",
]
