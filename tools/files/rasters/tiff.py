"""TIFFs read with tifffile, the light reader: GeoTIFF, BigTIFF, cloud-optimised ones, any layout and compression."""

from __future__ import annotations

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import gdal_metadata
from swathpack.tools.files.rasters.facts import Mask, Planes, RasterFacts, check_type, number
from swathpack.tools.files.rasters.geokeys import georeference_of
from swathpack.tools.files.rasters.tiff_parts import TiffParts
from swathpack.tools.files.rasters.tiff_tags import FREE, says_nothing

SUFFIXES = (".tif", ".tiff")
GDAL_METADATA, GDAL_NODATA, DATETIME = 42112, 42113, 306
# ModelPixelScale, ModelTiepoint, ModelTransformation, GeoKeyDirectory, GeoDoubleParams, GeoAsciiParams (OGC
# GeoTIFF 1.1, section 7), RPC coefficients, and GDAL's own two.
CARRIED = (33550, 33922, 34264, 34735, 34736, 34737, 50844, GDAL_METADATA, GDAL_NODATA, *FREE)
_RGB, _YCBCR, _JPEG, _MASK_PAGE, _REDUCED_PAGE = 2, 6, 7, 4, 1
_ALPHAS = (1, 2)
_MASK_NAMES = ("", "alpha", "mask", "valid")


def tifffile() -> Any:
    """The package, loaded when it is needed. Raises UserError that names the extra."""
    try:
        import tifffile as package
    except ImportError as error:
        raise UserError("GeoTIFFs need the extra 'geo': pip install 'swathpack[geo]'") from error
    # What matters of its warnings is an error of ours; without a handler they would go to the terminal.
    logging.getLogger("tifffile").addHandler(logging.NullHandler())
    return package


def describe(path: Path) -> RasterFacts:
    """What a TIFF says. Raises UserError for one that is cut, damaged or of a kind that cannot be read."""
    package = tifffile()
    try:
        with package.TiffFile(path) as tiff:
            _check_whole(path, tiff)
            return _facts(path, tiff)
    except UserError:
        raise
    except Exception as error:  # on damaged files tifffile raises nearly anything, struct.error included
        raise UserError(damaged(path, error)) from error


def damaged(path: Path, error: Exception) -> str:
    """The message for a file that a reader stumbled over: an exception's own text may be a bare number."""
    said = str(error).strip()
    told = said if len(said) > 3 else f"{type(error).__name__} {said}".strip()
    return f"{path}: not a readable TIFF, cut short or damaged ({told}; the file has {path.stat().st_size} bytes)"


def _check_whole(path: Path, tiff: Any) -> None:
    """UserError where the pixels of an image lie behind the end of the file."""
    size = path.stat().st_size
    for page in [tiff.pages.first, *_masks(tiff)]:
        ends = [o + n for o, n in zip(page.dataoffsets, page.databytecounts) if n]
        if max(ends, default=0) > size:
            raise UserError(f"{path}: cut short: its pixels end at byte {max(ends)}, the file has {size}")


def _masks(tiff: Any) -> list[Any]:
    """Pages that are the transparency mask of the full image."""
    shape = tiff.pages.first.imagelength, tiff.pages.first.imagewidth
    found = []
    for index in range(1, min(len(tiff.pages), 64)):
        page = tiff.pages[index]
        kind = int(getattr(page.tags.get(254), "value", 0))
        if kind & _MASK_PAGE and not kind & _REDUCED_PAGE and (page.imagelength, page.imagewidth) == shape:
            found.append(page)
    return found


def _facts(path: Path, tiff: Any) -> RasterFacts:
    page = tiff.pages.first
    tags = {t.code: t for t in page.tags.values()}
    values = {code: tag.value for code, tag in tags.items()}
    count, shape = _count(tiff, page), (int(page.imagelength), int(page.imagewidth))
    said = gdal_metadata.parse(str(values.get(GDAL_METADATA, "")))
    descriptions = tuple(said.description.get(i, "") for i in range(count))
    colours = _colours(page, count, said)
    alpha = alpha_sample(colours, descriptions, _extra_kind(page, count))
    nodata = number(str(values[GDAL_NODATA])) if GDAL_NODATA in values else None
    kind = "alpha" if alpha else _mask_kind(path, tiff) or ("nodata" if nodata is not None else "zeros")
    return RasterFacts(
        name=path.name,
        path=str(path),
        shape=shape,
        dtype=check_type(str(path), page.dtype),
        descriptions=descriptions,
        read=lambda samples: _read(path, samples, kind, alpha, count),
        wavelengths=said.wavelengths(count),
        colours=colours,
        linear=said.linear(count),
        nodata=nodata,
        mask=kind,
        georeference=georeference_of(values),
        alpha=alpha,
        tags=_carried(tags),
        layout=_layout(tiff, page, count),
        items=said.items,
        datetime=str(values[DATETIME]) if DATETIME in values else None,
        read_part=TiffParts(
            tifffile(), path, count, alpha[0] if alpha else None, _masks, sidecar(path) if kind == "sidecar" else None
        ),
        block_rows=int(page.tilelength if page.is_tiled else page.rowsperstrip or 1),
    )


def _carried(tags: dict[int, Any]) -> tuple[tuple[int, int, int, Any], ...]:
    empty = says_nothing({c: tags[c].value for c in FREE if c in tags})
    here = (c for c in CARRIED if c in tags and c not in empty)
    return tuple((c, int(tags[c].dtype), tags[c].count, _plain(tags[c].value)) for c in here)


def carried_tags(stream: BinaryIO) -> tuple[tuple[int, int, int, Any], ...]:
    """The tags to write back of a TIFF in memory."""
    with tifffile().TiffFile(stream) as tiff:
        return _carried({t.code: t for t in tiff.pages.first.tags.values()})


def _count(tiff: Any, page: Any) -> int:
    """Samples of the image; a stack of pages counts as one band a page."""
    if page.samplesperpixel > 1:
        return int(page.samplesperpixel)
    shape = tiff.series[0].shape
    if len(shape) > 3:
        raise UserError(f"{tiff.filename}: expected an image of bands, found shape {shape}")
    return int(shape[0]) if len(shape) == 3 else 1


def _colours(page: Any, count: int, said: gdal_metadata.GdalMetadata) -> tuple[str, ...]:
    rgb = int(page.photometric) == _RGB or (int(page.photometric) == _YCBCR and int(page.compression) == _JPEG)
    base = ["red", "green", "blue"] if rgb else ["gray"]
    extras = ["alpha" if int(e) in _ALPHAS else "" for e in _extras(page)]
    colours = [*base, *[""] * (count - len(base) - len(extras)), *extras][:count]
    return tuple(said.colour.get(i, c) for i, c in enumerate(colours))


def _extras(page: Any) -> tuple[int, ...]:
    return tuple(int(e) for e in page.extrasamples)


def _extra_kind(page: Any, count: int) -> int:
    """The TIFF kind of the file's alpha sample: 1 associated, 2 not."""
    kinds = [e for e in _extras(page) if e in _ALPHAS]
    return kinds[-1] if kinds and count > 1 else _ALPHAS[1]


def alpha_sample(colours: Sequence[str], descriptions: Sequence[str], kind: int = 2) -> tuple[int, int] | None:
    """Index and kind of the alpha sample; a sample described as a band is one, whatever its colour says."""
    for index, (colour, text) in enumerate(zip(colours, descriptions)):
        if colour == "alpha" and text.strip().lower() in _MASK_NAMES:
            return index, kind
    return None


def _mask_kind(path: Path, tiff: Any) -> str:
    if _masks(tiff):
        return "internal"
    return "sidecar" if sidecar(path).is_file() else ""


def sidecar(path: Path) -> Path:
    """Where GDAL keeps the mask of a file that does not hold it."""
    return path.with_name(path.name + ".msk")


def _layout(tiff: Any, page: Any, count: int) -> dict[str, Any]:
    layout: dict[str, Any] = {
        "planar": int(page.planarconfig) == 2 or (page.samplesperpixel == 1 and count > 1),
        "compression": page.compression.name,
        "predictor": int(page.predictor),
        "tile": list(page.tile[-2:]) if page.is_tiled else None,
        "bigtiff": bool(tiff.is_bigtiff),
    }
    usual = int(page.photometric) == 1 and not any(_extras(page))
    return layout | ({} if usual else {"photometric": int(page.photometric), "extras": list(_extras(page))})


def _plain(value: Any) -> Any:
    if isinstance(value, bytes):
        return value.decode("latin-1")
    return [_plain(v) for v in value] if isinstance(value, (tuple, list, np.ndarray)) else _number(value)


def _number(value: Any) -> Any:
    return value.item() if isinstance(value, np.generic) else value


def _read(
    path: Path, samples: Sequence[int], kind: str, alpha: tuple[int, int] | None, count: int
) -> tuple[Planes, Mask | None]:
    package = tifffile()
    try:
        with package.TiffFile(path) as tiff:
            planes = _planes_first(tiff, count)
            mask: Any = None
            if alpha is not None:
                mask = planes[alpha[0]]
            elif kind == "internal":
                mask = np.asarray(_masks(tiff)[0].asarray())
        if kind == "sidecar":
            mask = np.asarray(package.imread(sidecar(path)))
    except Exception as error:
        raise UserError(damaged(path, error)) from error
    if mask is not None and mask.ndim == 3:
        mask = mask.any(axis=0 if mask.shape[0] < mask.shape[-1] else -1)
    if mask is not None and mask.shape != planes.shape[1:]:
        raise UserError(f"{path}: its mask has {mask.shape} pixels, the image {planes.shape[1:]}")
    chosen = planes if list(samples) == list(range(count)) else planes[list(samples)]
    return chosen, mask


def _planes_first(tiff: Any, count: int) -> Planes:
    page = tiff.pages.first
    if page.samplesperpixel > 1:
        data = np.asarray(page.asarray())
        return np.moveaxis(data, -1, 0) if int(page.planarconfig) == 1 else data
    data = np.asarray(tiff.series[0].asarray() if count > 1 else page.asarray())
    return data[None] if data.ndim == 2 else data


def open_bytes(stream: BinaryIO) -> dict[int, Any]:
    """{code: value} of the tags of a TIFF in memory, such as the one in a JPEG2000 file's GeoJP2 box."""
    with tifffile().TiffFile(stream) as tiff:
        return {t.code: t.value for t in tiff.pages.first.tags.values()}
