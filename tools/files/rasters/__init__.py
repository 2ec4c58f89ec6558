"""Reading and writing series of frames: `.npz` cubes and GeoTIFFs."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.geotiff import SUFFIXES, find_geotiffs, read_geotiffs, write_geotiffs
from swathpack.tools.files.rasters.npz import read_npz, write_npz
from swathpack.tools.files.rasters.series import Series, pack_metadata, unpack_metadata


def read_series(source: str | Path | Sequence[str | Path], bands: Sequence[str] | None = None) -> Series:
    """A series from one `.npz`, one GeoTIFF, a folder of GeoTIFFs, or a list of GeoTIFFs.

    `bands` names the planes of files that do not, or picks some of those that are there. Raises UserError.
    """
    paths = [Path(source)] if isinstance(source, (str, Path)) else [Path(p) for p in source]
    if len(paths) == 1 and paths[0].is_dir():
        folder = paths[0]
        paths = find_geotiffs(folder)
        if not paths:
            raise UserError(f"{folder}: expected GeoTIFFs ({', '.join(SUFFIXES)}) in the folder, found none")
    if not paths:
        raise UserError("expected at least one file")
    missing = [str(p) for p in paths if not p.is_file()]
    if missing:
        raise UserError(f"no such file: {', '.join(missing)}")
    if len(paths) == 1 and paths[0].suffix.lower() == ".npz":
        return read_npz(paths[0], bands)
    if all(p.suffix.lower() in SUFFIXES for p in paths):
        return read_geotiffs(paths, bands)
    raise UserError(f"expected one .npz or GeoTIFFs, found {', '.join(p.name for p in paths[:5])}")


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
    written = write_geotiffs(series, target.parent) if len(series.frames) == 1 else []
    if len(written) != 1:
        raise UserError(f"{target}: one .tif holds one date of one grid; give a folder for this series")
    return [written[0].replace(target)]


__all__ = ["Series", "is_folder", "pack_metadata", "read_series", "unpack_metadata", "write_series"]
