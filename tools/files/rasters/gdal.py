"""Rasters of any format read with rasterio (GDAL), the full reader where it is installed.

A TIFF's own tags and layout come from `tiff` as well, so that they go back as they were.
"""

from __future__ import annotations

import io
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.spoken import reason
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import gdal_metadata, tiff
from swathpack.tools.files.rasters.facts import Box, Mask, Planes, RasterFacts, check_type, unreadable
from swathpack.tools.files.rasters.records import Georeference
from swathpack.tools.files.rasters.trees import Member
from swathpack.tools.files.what_is import instead, what_is

CACHE_MB = 128  # of decoded blocks; GDAL itself would take a twentieth of the memory
_COLOURS = {"red", "green", "blue", "alpha", "gray", "nir"}


@lru_cache(maxsize=1)
def installed() -> bool:
    """Whether rasterio can be used."""
    try:
        import rasterio  # noqa: F401
    except ImportError:
        return False
    return True


def _path_of(member: Member) -> str:
    return member.path if member.archive is None else f"/vsizip/{{{member.archive}}}/{member.inside}"


@contextmanager
def _surroundings() -> Iterator[None]:
    """GDAL's settings."""
    import rasterio
    from rasterio.errors import NotGeoreferencedWarning

    with warnings.catch_warnings(), rasterio.Env(GDAL_PAM_ENABLED="YES", GDAL_CACHEMAX=CACHE_MB):
        warnings.simplefilter("ignore", NotGeoreferencedWarning)
        yield


@contextmanager
def _opened(member: Member) -> Iterator[Any]:
    """The dataset of a file, closed afterwards; every error of GDAL as a UserError."""
    import rasterio

    try:
        with _surroundings(), rasterio.open(_path_of(member)) as dataset:
            yield dataset
    except (rasterio.errors.RasterioError, OSError, ValueError) as error:
        found = what_is(Path(member.path))
        if (
            found and "swathpack compress" not in found
        ):  # what compress reads is cut or damaged, anything else is no raster
            raise UserError(instead(Path(member.path), "a raster or an .npz cube")) from error
        raise UserError(f"{member.path}: not a readable raster, cut short or damaged ({reason(error)})") from error


def describe(member: Member) -> RasterFacts:
    """What a raster says. Raises UserError for one that is cut, damaged or of a kind that cannot be read."""
    light = _light(member)
    with _opened(member) as dataset:
        if dataset.count == 0:
            raise UserError(
                f"{member.path}: holds no bands of its own but parts that do: gdal_translate makes GeoTIFFs of them"
            )
        found = _facts(member, dataset)
    return replace(found, **_of_tiff(light, found)) if light else found


def _light(member: Member) -> RasterFacts | None:
    if member.archive is not None or Path(member.path).suffix.lower() not in tiff.SUFFIXES:
        return None
    return tiff.describe(Path(member.path))


def _of_tiff(light: RasterFacts, found: RasterFacts) -> dict[str, Any]:
    """What only the tags tell exactly: GDAL gives a nodata value beyond the type as infinite, and reads no float16."""
    nodata = found.nodata if light.nodata is None else light.nodata
    return {
        "tags": light.tags,
        "layout": light.layout,
        "datetime": light.datetime,
        "source": "",
        "dtype": light.dtype,
        "nodata": nodata,
    }


def _facts(member: Member, dataset: Any) -> RasterFacts:
    count = dataset.count
    descriptions = tuple(d or "" for d in dataset.descriptions)
    colours = tuple(c.name if c.name in _COLOURS else "" for c in dataset.colorinterp)
    alpha = tiff.alpha_sample(colours, descriptions)
    items = {str(k): str(v) for k, v in dataset.tags().items()}
    nodata = dataset.nodata
    kind = "alpha" if alpha else _mask_kind(member, dataset)
    return RasterFacts(
        name=member.name,
        path=member.path,
        shape=(dataset.height, dataset.width),
        dtype=check_type(member.path, np.result_type(*dataset.dtypes).name),
        descriptions=descriptions,
        read=lambda samples: _read(member, samples, kind, alpha),
        wavelengths=tuple(_wavelength(dataset, i) for i in range(1, count + 1)),
        colours=colours,
        linear=tuple(
            (float(s), float(o)) if (s, o) != (1.0, 0.0) else None for s, o in zip(dataset.scales, dataset.offsets)
        ),
        nodata=None if nodata is None else float(nodata),
        mask=kind,
        georeference=_georeference(dataset),
        alpha=alpha,
        tags=_tags(dataset),
        items=items,
        source=str(dataset.driver),
        read_part=_Parts(member, kind, alpha),
        block_rows=int(max(block[0] for block in dataset.block_shapes)),
    )


def _mask_kind(member: Member, dataset: Any) -> str:
    flags = {flag.name for band in dataset.mask_flag_enums for flag in band}
    if "per_dataset" in flags and "alpha" not in flags and "nodata" not in flags:
        return "sidecar" if tiff.sidecar(Path(member.path)).is_file() else "internal"
    return "nodata" if dataset.nodata is not None else "zeros"


def _wavelength(dataset: Any, band: int) -> float:
    return gdal_metadata.wavelength_nm(dataset.tags(band)) or gdal_metadata.wavelength_nm(
        dataset.tags(band, ns="IMAGERY")
    )


def _georeference(dataset: Any) -> Georeference:
    crs = None
    if dataset.crs:
        code = dataset.crs.to_epsg()
        crs = f"EPSG:{code}" if code else dataset.crs.to_wkt()
    t = dataset.transform
    transform = None if t.is_identity else (t.a, t.b, t.c, t.d, t.e, t.f)
    return Georeference(crs, transform, bool(dataset.crs and dataset.crs.is_geographic))


def named_crs(text: str) -> tuple[str, bool]:
    """A CRS in any words as `Georeference` has it, and whether it counts degrees; as it is where GDAL is not installed."""
    if not installed():
        return text, text.upper() == "EPSG:4326"
    from rasterio.crs import CRS
    from rasterio.errors import CRSError

    try:
        found = CRS.from_user_input(text)
    except CRSError as error:
        raise UserError(f"expected a CRS, found {text[:60]!r}") from error
    code = found.to_epsg()
    return f"EPSG:{code}" if code else str(found.to_wkt()), bool(found.is_geographic)


def _tags(dataset: Any) -> tuple[tuple[int, int, int, Any], ...]:
    """TIFF tags for a CRS that no code names: those of a GeoTIFF that GDAL writes with it."""
    from rasterio.io import MemoryFile

    if not dataset.crs or dataset.crs.to_epsg():
        return ()
    with MemoryFile() as memory:
        options = {"driver": "GTiff", "width": 1, "height": 1, "count": 1, "dtype": "uint8"}
        with memory.open(crs=dataset.crs, transform=dataset.transform, **options):
            pass
        return tiff.carried_tags(io.BytesIO(memory.read()))


def _read(
    member: Member, samples: Sequence[int], kind: str, alpha: tuple[int, int] | None
) -> tuple[Planes, Mask | None]:
    with _opened(member) as dataset:
        planes = dataset.read([i + 1 for i in samples])
        mask: Any = None
        if alpha is not None:
            mask = dataset.read(alpha[0] + 1)
        elif kind in ("internal", "sidecar"):
            mask = dataset.read_masks(1)
    return planes, mask


class _Parts:
    """Parts of a file that stays open from one call to the next, since blocks may reach beyond the part of one call."""

    def __init__(self, member: Member, kind: str, alpha: tuple[int, int] | None) -> None:
        self._member, self._kind, self._alpha, self._dataset = member, kind, alpha, None

    def __call__(self, samples: Sequence[int], box: Box) -> tuple[Planes, Mask | None]:
        """See `RasterFacts.read_part`. Raises UserError."""
        import rasterio
        from rasterio.windows import Window

        top, stop, left, right = box
        try:
            with _surroundings():
                dataset: Any = self._dataset or rasterio.open(_path_of(self._member))
                self._dataset = dataset
                window = Window(left, top, right - left, stop - top)
                planes, mask = dataset.read([i + 1 for i in samples], window=window), None
                if self._alpha is not None:
                    mask = dataset.read(self._alpha[0] + 1, window=window)
                elif self._kind in ("internal", "sidecar"):
                    mask = dataset.read_masks(1, window=window)
        except (rasterio.errors.RasterioError, OSError, ValueError) as error:
            raise unreadable(self._member.path, box, error) from error
        return planes, mask

    def close(self) -> None:
        """Close the file; it is opened again when it is read."""
        if self._dataset is not None:
            self._dataset.close()
            self._dataset = None
