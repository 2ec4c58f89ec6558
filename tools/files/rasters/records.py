"""What a raster file said beside its pixels: one record a file, plain JSON on the wire, read by every writer.

    FileRecord   name, shape, type, nodata, mask, bands, georeference, time; TIFF tags and layout where it was a TIFF
    BandRecord   the band's own name, the name it has in frames, its centre wavelength
    Georeference CRS and affine transform

`to_json` leaves out what has its usual value; `from_json` takes that back.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field
from typing import Any

from swathpack.edge.bands import CENTRE_NM, DROPPED
from swathpack.tools.errors import UserError

# How a file says which pixels hold data. "zeros": it does not, and pixels that are 0 in all bands hold none.
# "nan": nor does it, but some pixels are NaN.
CENTRES = CENTRE_NM | {DROPPED: 1375}  # Sentinel-2's bands, nm
SAME_GRID = 1e-3  # of a pixel: grids whose corners and sizes differ by less are the same


@dataclass(frozen=True)
class Georeference:
    """crs: `EPSG:32632`, or WKT for one without a code, None if unknown. transform: (a, b, c, d, e, f) with
    x = a column + b row + c and y = d column + e row + f of pixel corners, None if unknown. geographic: the CRS counts degrees.
    """

    crs: str | None = None
    transform: tuple[float, float, float, float, float, float] | None = None
    geographic: bool = False

    @property
    def known(self) -> bool:
        """Whether anything is known."""
        return self.crs is not None or self.transform is not None

    @property
    def pixel_size(self) -> tuple[float, float] | None:
        """Width and height of a pixel in units of the CRS."""
        if self.transform is None:
            return None
        a, b, _, d, e, _ = self.transform
        return math.hypot(a, d), math.hypot(b, e)

    def difference(self, other: Georeference) -> str:
        """How another grid of as many pixels differs, in words; empty where it does not, as far as both are known."""
        if self.crs and other.crs and self.crs != other.crs:
            return f"its CRS is {_short(other.crs)}, not {_short(self.crs)}"
        sizes = self.pixel_size, other.pixel_size
        if self.transform is None or other.transform is None or sizes[0] is None or sizes[1] is None:
            return ""
        limit = SAME_GRID * min(sizes[0])
        if any(abs(x - y) > limit for x, y in zip(sizes[0], sizes[1])):
            return f"its pixels are {sizes[1][0]:g} x {sizes[1][1]:g}, not {sizes[0][0]:g} x {sizes[0][1]:g}"
        shift = [other.transform[i] - self.transform[i] for i in (2, 5)]
        if any(abs(s) > limit for s in shift):
            return (
                f"its corner lies {shift[0]:+g}, {shift[1]:+g} away ({shift[0] / sizes[0][0]:+.3g}, "
                f"{shift[1] / sizes[0][1]:+.3g} pixels)"
            )
        turned = any(abs(self.transform[i] - other.transform[i]) > SAME_GRID * sizes[0][0] for i in (0, 1, 3, 4))
        return "it is turned or mirrored" if turned else ""

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        found: dict[str, Any] = {"crs": self.crs} if self.crs else {}
        found |= {"geographic": True} if self.geographic else {}
        return found | ({"transform": list(self.transform)} if self.transform else {})

    @classmethod
    def from_json(cls, item: dict[str, Any]) -> Georeference:
        """The inverse of to_json."""
        numbers = item.get("transform")
        transform = tuple(float(n) for n in numbers) if numbers else None
        if transform is not None and len(transform) != 6:
            raise UserError(f"metadata is damaged: a transform of {len(transform)} numbers")
        return cls(item.get("crs"), transform, bool(item.get("geographic")))


def _short(crs: str) -> str:
    return crs if len(crs) <= 40 else f"{crs[:37]}..."


@dataclass(frozen=True)
class BandRecord:
    """name: as the file has it, maybe empty. frame: the name in frames, Sentinel-2's for what the codec codes.
    wavelength_nm: centre, 0 if unknown. spectral: False for masks, classes, angles and the like.
    """

    name: str
    frame: str
    wavelength_nm: float = 0.0
    spectral: bool = True

    @classmethod
    def usual(cls, name: str) -> BandRecord:
        """A band whose frame name is its own, and its wavelength Sentinel-2's where it is one of its bands."""
        return cls(name, name, float(CENTRES.get(name, 0)))

    def to_json(self) -> Any:
        """The name alone where the frame's is the same and nothing more is known."""
        if self == BandRecord.usual(self.name):
            return self.name
        return [self.name, self.frame, self.wavelength_nm] + ([] if self.spectral else [False])

    @classmethod
    def from_json(cls, item: Any) -> BandRecord:
        """The inverse of to_json."""
        if isinstance(item, str):
            return cls.usual(item)
        return cls(str(item[0]), str(item[1]), float(item[2]), len(item) < 4)


@dataclass(frozen=True)
class FileRecord:
    """One raster file of a date.

    shape: rows and columns of its own grid. dtype: numpy's name. nodata: as declared, None if not. mask: zeros, nan, nodata,
    internal, sidecar or alpha. alpha: index of the alpha sample, its TIFF kind (1 associated, 2 not), its value where there are
    data. tags: TIFF
    tags to write back as they were, [code, type, count, value]. layout: how the TIFF was written. source: the file was
    no TIFF but this. unnamed: indexes of bands of which the file itself said no name, and is written without.
    """

    name: str
    bands: tuple[BandRecord, ...]
    shape: tuple[int, int] = (0, 0)
    dtype: str = "uint16"
    nodata: float | None = None
    mask: str = "zeros"
    georeference: Georeference = Georeference()
    alpha: tuple[int, int, float] | None = None
    tags: tuple[tuple[int, int, int, Any], ...] = ()
    layout: dict[str, Any] = field(default_factory=dict)
    datetime: str | None = None
    source: str = ""
    unnamed: tuple[int, ...] = ()

    def to_json(self) -> dict[str, Any]:
        """Plain JSON types."""
        found: dict[str, Any] = {"name": self.name, "bands": [b.to_json() for b in self.bands], "dtype": self.dtype}
        found["shape"] = list(self.shape)
        if self.nodata is not None:
            found["nodata"] = self.nodata if math.isfinite(self.nodata) else str(self.nodata)
        for key in ("mask", "datetime", "source"):
            if getattr(self, key) not in ("", None, "zeros"):
                found[key] = getattr(self, key)
        if self.georeference.known:
            found["georeference"] = self.georeference.to_json()
        if self.alpha:
            found["alpha"] = list(self.alpha)
        if self.tags:
            found["tags"] = [list(t) for t in self.tags]
        if self.unnamed:  # mostly all are
            found["unnamed"] = len(self.unnamed) == len(self.bands) or list(self.unnamed)
        return found | ({"layout": self.layout} if self.layout else {})

    @classmethod
    def from_json(cls, item: dict[str, Any]) -> FileRecord:
        """The inverse of to_json. Raises UserError when it is not one."""
        try:
            alpha, shape, unnamed = item.get("alpha"), item.get("shape", (0, 0)), item.get("unnamed", ())
            return cls(
                name=str(item["name"]),
                bands=tuple(BandRecord.from_json(b) for b in item["bands"]),
                shape=(int(shape[0]), int(shape[1])),
                dtype=str(item.get("dtype", "uint16")),
                nodata=None if item.get("nodata") is None else float(item["nodata"]),
                mask=str(item.get("mask", "zeros")),
                georeference=Georeference.from_json(item.get("georeference", {})),
                alpha=(int(alpha[0]), int(alpha[1]), float(alpha[2])) if alpha else None,
                tags=tuple((int(t[0]), int(t[1]), int(t[2]), t[3]) for t in item.get("tags", ())),
                layout=dict(item.get("layout", {})),
                datetime=item.get("datetime"),
                source=str(item.get("source", "")),
                unnamed=tuple(range(len(item["bands"])) if unnamed is True else map(int, unnamed)),
            )
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise UserError(f"metadata is damaged: {error!r}") from error
