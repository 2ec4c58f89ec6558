"""What a GeoTIFF that is written has beside its pixels: layout, tags, masks, as the file had them that was read."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import Radiometry
from swathpack.tools.files.rasters import gdal_metadata
from swathpack.tools.files.rasters.geokeys import GEO_TAGS, tags_of
from swathpack.tools.files.rasters.missing import missing_of
from swathpack.tools.files.rasters.records import BandRecord, FileRecord
from swathpack.tools.files.rasters.tiff import DATETIME, GDAL_METADATA, GDAL_NODATA, sidecar, tifffile
from swathpack.tools.files.rasters.tiff_tags import (
    COLOUR_MAP,
    RESOLUTION,
    in_bytes,
    resolution_of,
    without_resolution,
)

# What can be written; everything else becomes deflate.
_LOSSLESS = ("NONE", "ADOBE_DEFLATE", "DEFLATE", "LZW", "ZSTD", "LZMA", "PACKBITS")
_USUAL = "ADOBE_DEFLATE"
_ASCII, _MASK_PAGE, _MASK_COLOUR = 2, 4, 4
_WHITE_IS_ZERO, _RGB, _PALETTE, _YCBCR = 0, 2, 3, 6


FINEST_M = 10  # of an `.npz` with bands on grids of their own
SYNTHESIS = "SWATHPACK_SYNTHESIS"  # GDAL's item of that name


def new_records(frame: Frame, index: int, parts: Iterable[Frame] = ()) -> list[FileRecord]:
    """The records of a date that was not read from raster files, one a grid. parts: its rows, where the files tell which pixels
    lack data.
    """
    stem = re.sub(r"[^0-9A-Za-z_-]+", "", frame.time or "") or "date"
    nodata, missing = frame.radiometry.nodata, missing_of(parts) if frame.radiometry.nodata == 0 else {}
    records, grids = [], sorted(set(frame.grid))
    for factor in grids:
        bands = tuple(BandRecord(b, b, w) for b, w, f in zip(frame.bands, frame.wavelengths, frame.grid) if f == factor)
        name = f"{index:03d}_{stem}" + (f"_{FINEST_M * factor}m.tif" if len(grids) > 1 else ".tif")
        told = missing.get(factor, (nodata if nodata != 0 else None, "zeros"))
        records.append(FileRecord(name, bands, dtype=frame.radiometry.dtype, nodata=told[0], mask=told[1]))
    return records


def file_radiometry(series_wide: Radiometry, record: FileRecord) -> Radiometry:
    """The series' radiometry with the type and nodata value of one file."""
    fill = record.nodata if record.nodata is not None else float("nan") if record.mask == "nan" else 0.0
    return replace(series_wide, dtype=record.dtype, nodata=fill)


def layout_of(record: FileRecord, count: int, whole: bool) -> dict[str, Any]:
    """tifffile's options for the layout a file had; whole: all its bands are there."""
    given = record.layout
    compression = str(given.get("compression", _USUAL))
    compression = compression if compression in _LOSSLESS else _USUAL
    layout: dict[str, Any] = {
        "photometric": "minisblack",
        "compression": None if compression == "NONE" else compression,
    }
    fits = (2, 3)[np.dtype(record.dtype).kind == "f"]
    if given.get("predictor", 1) == fits and layout["compression"]:
        layout["predictor"] = fits
    if given.get("tile"):
        layout["tile"] = tuple(given["tile"])
    if count > 1:
        layout["planarconfig"] = "separate" if given.get("planar", True) else "contig"
        extras = list(given.get("extras", ())) if whole else []
        base = 1
        if whole and _is_rgb(given) and count >= 3:
            layout["photometric"], base = "rgb", 3
        if record.alpha is not None and not extras:
            extras = [0] * (count - base - 1) + [record.alpha[1]]
        # What follows red, green and blue is alpha for tifffile unless the tag says that it is not.
        if count - base == len(extras) and (any(extras) or base == 3 and extras):
            layout["extrasamples"] = extras
    else:
        layout |= _one_band(record, whole)
    return layout


def _is_rgb(given: dict[str, Any]) -> bool:
    """Whether the first three bands are colours: readers turn the luminance and chrominance of JPEG into them."""
    found = given.get("photometric")
    return found == _RGB or (found == _YCBCR and given.get("compression") == "JPEG")


def _one_band(record: FileRecord, whole: bool) -> dict[str, Any]:
    """tifffile's options for how one band is shown: by a colour map, or with 0 as white; empty for 0 as black."""
    photometric = record.layout.get("photometric")
    if whole and photometric == _WHITE_IS_ZERO:
        return {"photometric": "miniswhite"}
    colours = next((tag[3] for tag in record.tags if tag[0] == COLOUR_MAP), None)
    if not whole or photometric != _PALETTE or record.dtype not in ("uint8", "uint16"):
        return {}
    if colours is None:
        return {}
    shape = 3, 256 ** np.dtype(record.dtype).itemsize
    return {"photometric": "palette", "colormap": np.array(colours, np.uint16).reshape(shape)}


def tags_with(record: FileRecord, kept: Sequence[int], synthesis: str = "") -> list[tuple[int, int, int, Any, bool]]:
    """The tags a file came with, or those its georeference makes; names for the samples that are there, but for those that had
    none where all are there: of some only names tell which. synthesis: what drew the pixels, where that is to be said.
    """
    given = list(record.tags)
    if not any(tag[0] in GEO_TAGS for tag in given):
        given += tags_of(record.georeference)
    tags = {
        c: (c, kind, n, tuple(v) if isinstance(v, list) else v, True)
        for c, kind, n, v in given
        if c not in (*RESOLUTION, COLOUR_MAP)
    }
    bare = record.unnamed if len(kept) == len(record.bands) else ()
    names = ["" if i in bare else record.bands[i].name or record.bands[i].frame for i in kept]
    xml = str(tags[GDAL_METADATA][3]) if GDAL_METADATA in tags else ""
    described, samples = gdal_metadata.parse(xml).description, _samples(record, kept)
    if synthesis or len(kept) < len(record.bands) or any(n and s not in described for s, n in zip(samples, names)):
        text = gdal_metadata.rewritten(xml, samples, names, {SYNTHESIS: synthesis} if synthesis else None)
        tags[GDAL_METADATA] = (GDAL_METADATA, _ASCII, len(text.encode()) + 1, text.encode(), True)
    if record.nodata is not None and GDAL_NODATA not in tags:
        text = f"{record.nodata:.17g}"
        tags[GDAL_NODATA] = (GDAL_NODATA, _ASCII, len(text) + 1, text, True)
    if record.datetime:
        tags[DATETIME] = (DATETIME, _ASCII, 0, record.datetime, True)  # tifffile's own option takes one form only
    return [in_bytes(tags[code]) for code in sorted(tags)]


def resolution_in(record: FileRecord) -> dict[str, Any]:
    """tifffile's options for the resolution that the file had; empty for none."""
    return resolution_of({tag[0]: tag for tag in record.tags})


def _samples(record: FileRecord, kept: Sequence[int]) -> list[int]:
    """Sample numbers of bands in the file they came from, where an alpha sample may stand among them."""
    at = record.alpha[0] if record.alpha is not None else len(record.bands)
    return [i + (i >= at) for i in kept]


def write_mask(writer: Any, record: FileRecord, held: NDArray[np.bool_], layout: dict[str, Any]) -> None:
    """The page that tells where there are data (h, w), where the file had one."""
    if record.mask == "internal":
        like = {"tile": layout["tile"]} if "tile" in layout else {}
        mask = {"photometric": _MASK_COLOUR, "subfiletype": _MASK_PAGE, "compression": _USUAL}
        writer.write(held, metadata=None, software=False, **mask, **like)


def write_sidecar(path: Path, record: FileRecord, held: NDArray[np.bool_]) -> None:
    """The file beside the file that tells the same, where it had one."""
    options = {"metadata": None, "software": False}
    if record.mask == "sidecar":
        count = len(record.bands) + (record.alpha is not None)
        flags = (f'  <Item name="INTERNAL_MASK_FLAGS_{i + 1}">2</Item>\n' for i in range(count))
        text = f"<GDALMetadata>\n{''.join(flags)}</GDALMetadata>"  # GDAL masks the bands that are named here
        extra = [(GDAL_METADATA, _ASCII, len(text) + 1, text, True)]
        gray = {"photometric": "minisblack", "compression": _USUAL}
        tifffile().imwrite(sidecar(path), held.astype(np.uint8) * 255, extratags=extra, **gray, **options)
        without_resolution(sidecar(path))
