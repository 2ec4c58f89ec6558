"""Series of GeoTIFFs, one per date (or one per date and grid: `..._10m.tif`, `..._20m.tif`, `..._60m.tif`).

Band names come from the bands' descriptions (GDAL_METADATA) or from the caller; georeference tags are carried
as they are and written back unchanged. Needs the `geo` extra.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree
from xml.sax.saxutils import escape

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, BandError, normalise_names
from swathpack.edge.frame import Frame, FrameError, to_dn
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.series import Series

SUFFIXES = (".tif", ".tiff")
GDAL_METADATA, GDAL_NODATA, DATETIME = 42112, 42113, 306
# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, GeoDoubleParams, GeoAsciiParams (OGC
# GeoTIFF 1.1, section 7), RPC coefficients, and GDAL's own two.
CARRIED = (33550, 33922, 34264, 34735, 34736, 34737, 50844, GDAL_METADATA, GDAL_NODATA)
_GRID = re.compile(r"^(.*?)_(10|20|60)m$", re.IGNORECASE)
_DATE = re.compile(r"(?<!\d)(19|20)\d\d-?[01]\d-?[0-3]\d(T\d{4,6})?(?!\d)")


def _tifffile() -> Any:
    try:
        import tifffile
    except ImportError as error:
        raise UserError("GeoTIFFs need the extra 'geo': pip install 'swathpack[geo]'") from error
    return tifffile


def find_geotiffs(folder: Path) -> list[Path]:
    """The GeoTIFFs of a folder by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def read_geotiffs(paths: Sequence[Path], bands: Sequence[str] | None = None) -> Series:
    """One frame per date, in order of date where all are known, else of name. Raises UserError."""
    groups: dict[str, list[Path]] = {}
    for path in paths:
        match = _GRID.match(path.stem)
        groups.setdefault(match.group(1) if match else path.stem, []).append(path)
    read = [_read_date(stem, files, bands) for stem, files in groups.items()]
    if all(frame.time for frame, _ in read):
        read.sort(key=lambda item: str(item[0].time).replace("-", ""))
    return Series([frame for frame, _ in read], {"format": "geotiff", "files": [files for _, files in read]})


def _read_date(stem: str, paths: list[Path], bands: Sequence[str] | None) -> tuple[Frame, list[dict[str, Any]]]:
    planes: dict[str, NDArray[Any]] = {}
    files, time, values = [], None, 0.0
    single = bands if len(paths) == 1 else None
    for path in paths:
        data, file, found = _read_file(path, single)
        time, values = time or found, float(file["nodata"])
        for name, plane in zip(file["bands"], data):
            if name in planes:
                raise UserError(f"{path}: band {name} is also in another file of {stem}")
            planes[name] = plane
        files.append(file)
    try:
        # One file means one grid; several are put on the finest one.
        if len(paths) == 1:
            dn, valid = to_dn(np.stack(list(planes.values())), values)
            frame = Frame(dn, tuple(planes), time, valid)
        else:
            frame = Frame.from_native(planes, nodata=values, time=time)
        picked = [n for n in normalise_names(bands) if n in frame.bands] if bands else list(frame.bands)
        return frame.select(picked), files
    except (FrameError, BandError) as error:
        raise UserError(f"{paths[0]}: {error}") from error


def _read_file(path: Path, bands: Sequence[str] | None) -> tuple[NDArray[Any], dict[str, Any], str | None]:
    tifffile = _tifffile()
    try:
        with tifffile.TiffFile(path) as tiff:
            page = tiff.pages.first
            data = _planes_first(tiff, page)
            tags = {t.code: t for t in page.tags.values()}
            carried = [[c, int(tags[c].dtype), tags[c].count, _plain(tags[c].value)] for c in CARRIED if c in tags]
            layout = {
                "planar": int(page.planarconfig) == 2,
                "compression": page.compression.name,
                "predictor": int(page.predictor),
                "tile": list(page.tile[-2:]) if page.is_tiled else None,
                "bigtiff": bool(tiff.is_bigtiff),
            }
            written = str(tags[DATETIME].value) if DATETIME in tags else None
    except Exception as error:  # on damaged files tifffile raises nearly anything, struct.error included
        raise UserError(f"{path}: not a readable TIFF ({error})") from error
    xml = str(tags[GDAL_METADATA].value) if GDAL_METADATA in tags else ""
    names = _names(path, _descriptions(xml, len(data)), bands, len(data))
    nodata = _nodata(str(tags[GDAL_NODATA].value)) if GDAL_NODATA in tags else 0.0
    file = {
        "name": path.name,
        "bands": list(names),
        "tags": carried,
        "nodata": nodata,
        "dtype": data.dtype.str,
        "datetime": written,
    } | layout
    match = _DATE.search(path.stem)
    return data, file, match.group(0) if match else written


def _planes_first(tiff: Any, page: Any) -> NDArray[Any]:
    data = np.asarray(tiff.series[0].asarray())
    if data.ndim == 3 and page.samplesperpixel > 1 and int(page.planarconfig) == 1:
        return np.moveaxis(data, -1, 0)
    if data.ndim == 2:
        return data[None]
    if data.ndim != 3:
        raise ValueError(f"expected an image of bands, found shape {data.shape}")
    return data


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return list(value) if isinstance(value, (tuple, np.ndarray)) else value


def _nodata(text: str) -> float:
    try:
        return float(text.strip().strip("\0"))
    except ValueError:
        return 0.0


def _descriptions(xml: str, count: int) -> list[str] | None:
    """Band names in GDAL's XML, one for each sample, or None."""
    try:
        items = ElementTree.fromstring(xml.strip().strip("\0")).iter("Item") if xml else []
    except ElementTree.ParseError:
        return None
    found = {int(i.get("sample", -1)): (i.text or "") for i in items if i.get("role") == "description"}
    return [found[i] for i in range(count)] if all(i in found for i in range(count)) else None


def _names(path: Path, described: list[str] | None, given: Sequence[str] | None, count: int) -> tuple[str, ...]:
    for raw in (described, given):
        try:
            if raw is not None and len(raw) == count:
                return normalise_names([r.split()[0] if r.split() else r for r in raw])
        except BandError:
            if raw is given:
                raise UserError(f"{path}: band names {', '.join(raw)} are not Sentinel-2 bands") from None
    if described is None and given is None and count == len(BANDS):
        return BANDS
    said = f"descriptions {', '.join(described)}" if described else "no band descriptions"
    raise UserError(f"{path}: {count} bands with {said}; name all {count} with --bands B02,B03,...")


def write_geotiffs(series: Series, folder: Path) -> list[Path]:
    """One file per file that was read (or per date), uint16, with the tags it came with; returns the paths."""
    folder.mkdir(parents=True, exist_ok=True)
    described = series.metadata.get("files") or [None] * len(series.frames)
    if len(described) != len(series.frames):
        raise UserError(f"metadata describes {len(described)} dates, the series has {len(series.frames)}")
    written: list[Path] = []
    for index, (frame, files) in enumerate(zip(series.frames, described)):
        if files is None:
            stem = re.sub(r"[^0-9A-Za-z_-]+", "", frame.time or "") or "date"
            files = [{"name": f"{index:03d}_{stem}.tif", "bands": list(frame.bands)}]
        native = frame.to_native()
        for file in files:
            names = [n for n in file["bands"] if n in native]
            if names:
                written.append(_write_file(folder / Path(file["name"]).name, native, names, file))
    return written


def _write_file(path: Path, native: dict[str, NDArray[np.uint16]], names: list[str], file: dict[str, Any]) -> Path:
    tifffile = _tifffile()
    data = np.stack([native[n] for n in names])
    planar = bool(file.get("planar", True)) and len(names) > 1
    image = data[0] if len(names) == 1 else data if planar else np.moveaxis(data, 0, -1)
    compression = str(file.get("compression", "ADOBE_DEFLATE"))
    options: dict[str, Any] = {"compression": None if compression == "NONE" else compression}
    if file.get("predictor", 1) == 2 and options["compression"]:
        options["predictor"] = 2
    if file.get("tile"):
        options["tile"] = tuple(file["tile"])
    if len(names) > 1:
        options["planarconfig"] = "separate" if planar else "contig"
    tifffile.imwrite(
        path,
        np.ascontiguousarray(image),
        photometric="minisblack",
        metadata=None,
        software=False,
        bigtiff=bool(file.get("bigtiff")),
        datetime=file.get("datetime"),
        extratags=_tags(names, file),
        **options,
    )
    return path


def _tags(names: list[str], file: dict[str, Any]) -> list[tuple[int, int, int, Any, bool]]:
    tags = {
        code: (code, dtype, count, tuple(v) if isinstance(v, list) else v, True)
        for code, dtype, count, v in file.get("tags", [])
    }
    # The values written are DN with 0 as nodata, whatever the product used.
    if file.get("nodata", 0.0) != 0:
        tags[GDAL_NODATA] = (GDAL_NODATA, 2, 2, "0", True)
    kept_all = names == file["bands"]
    xml = str(tags[GDAL_METADATA][3]) if GDAL_METADATA in tags else ""
    if not kept_all or _descriptions(xml, len(names)) is None:
        items = "".join(
            f'<Item name="DESCRIPTION" sample="{i}" role="description">{escape(n)}</Item>\n'
            for i, n in enumerate(names)
        )
        text = f"<GDALMetadata>\n{items}</GDALMetadata>"
        tags[GDAL_METADATA] = (GDAL_METADATA, 2, len(text) + 1, text, True)
    return [tags[code] for code in sorted(tags)]
