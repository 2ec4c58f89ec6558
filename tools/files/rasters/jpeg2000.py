"""JPEG2000 files read with imagecodecs, the light reader: samples, and the georeference in their boxes.

Boxes: ISO/IEC 15444-1, annex I. GeoJP2: a UUID box that holds a one-pixel GeoTIFF. GMLJP2: OGC 08-085, a rectified
grid in GML, which is what Sentinel-2 products carry.
"""

from __future__ import annotations

import io
import re
from collections.abc import Iterator, Sequence
from typing import Any
from uuid import UUID

import numpy as np

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.facts import Mask, Planes, RasterFacts, check_type
from swathpack.tools.files.rasters.geokeys import georeference_of
from swathpack.tools.files.rasters.records import Georeference
from swathpack.tools.files.rasters.scratch_parts import ScratchParts
from swathpack.tools.files.rasters.tiff import open_bytes
from swathpack.tools.files.rasters.trees import Member

SUFFIXES = (".jp2", ".j2k", ".j2c", ".jpx")
_GEOJP2 = UUID("b14bf8bd-083d-4b43-a5ae-8cd7d5a6ce03").bytes
_SIGNATURE = b"\x00\x00\x00\x0cjP  "
_CODESTREAM = b"\xff\x4f\xff\x51"
_GEOGRAPHIC = range(4001, 5000)  # EPSG's codes of most geographic CRS
_NUMBER = r"([-+0-9.eE]+)"
_CRS = re.compile(r"<gml:Point[^>]*srsName=\"[^\"]*EPSG:[^\":]*:(\d+)\"|srsName=\"[^\"]*EPSG:[^\":]*:(\d+)\"")
_POINT = re.compile(rf"<gml:pos>\s*{_NUMBER}\s+{_NUMBER}\s*</gml:pos>")
_VECTOR = re.compile(rf"<gml:offsetVector[^>]*>\s*{_NUMBER}\s+{_NUMBER}\s*</gml:offsetVector>")


def _imagecodecs() -> Any:
    try:
        import imagecodecs
    except ImportError as error:
        raise UserError("JPEG2000 files need the extra 'geo': pip install 'swathpack[geo]'") from error
    return imagecodecs


def describe(member: Member) -> RasterFacts:
    """What a JPEG2000 file says. Raises UserError for one that is cut, damaged or none."""
    data = member.read()
    if not (data.startswith(_SIGNATURE) or data.startswith(_CODESTREAM)):
        raise UserError(f"{member.path}: not a JPEG2000 file")
    count, shape, dtype = _sizes(member.path, data)
    return RasterFacts(
        name=member.name,
        path=member.path,
        shape=shape,
        dtype=check_type(member.path, dtype),
        descriptions=("",) * count,
        read=lambda samples: _read(member, samples),
        read_part=ScratchParts(lambda samples: _read(member, samples), count, shape, dtype),
        colours=("gray", *[""] * (count - 1)) if count != 3 else ("red", "green", "blue"),
        georeference=georeference(data),
        source="JP2",
    )


def _sizes(path: str, data: bytes) -> tuple[int, tuple[int, int], str]:
    """Components, (rows, columns) and type from the codestream's SIZ marker (ISO/IEC 15444-1, A.5.1)."""
    at = data.find(_CODESTREAM)
    siz = data[at + 4 :] if at >= 0 else b""
    if len(siz) < 41:
        raise UserError(f"{path}: not a readable JPEG2000 file, cut short or damaged")
    width, height, left, top = (int.from_bytes(siz[i : i + 4], "big") for i in (4, 8, 12, 16))
    depth = siz[38]
    bits, kind = (depth & 0x7F) + 1, "int" if depth & 0x80 else "uint"
    dtype = f"{kind}{8 if bits <= 8 else 16 if bits <= 16 else 32}"
    return int.from_bytes(siz[36:38], "big"), (height - top, width - left), dtype


def _read(member: Member, samples: Sequence[int]) -> tuple[Planes, Mask | None]:
    codecs = _imagecodecs()
    try:
        image = np.asarray(codecs.jpeg2k_decode(member.read()))
    except Exception as error:  # the codec's own error class, and MemoryError for sizes that lie
        raise UserError(f"{member.path}: not a readable JPEG2000 file, cut short or damaged ({error})") from error
    planes = image[None] if image.ndim == 2 else np.moveaxis(image, -1, 0)
    return planes[list(samples)], None


def georeference(data: bytes) -> Georeference:
    """Where the image lies: of the GeoJP2 box, else of the GML; nothing known where there is neither."""
    gml = Georeference()
    for kind, content in _boxes(data):
        if kind == b"uuid" and content.startswith(_GEOJP2):
            try:
                return georeference_of(open_bytes(io.BytesIO(content[16:])))
            except Exception:  # a damaged box says nothing
                continue
        if kind == b"asoc" and b"RectifiedGrid" in content:
            gml = _of_gml(content.decode("utf-8", "replace"))
    return gml


def _boxes(data: bytes) -> Iterator[tuple[bytes, bytes]]:
    """The boxes before and behind the codestream."""
    at = 0
    while at + 8 <= len(data) and data.startswith(_SIGNATURE):
        size, kind, head = int.from_bytes(data[at : at + 4], "big"), data[at + 4 : at + 8], 8
        if size == 1:
            size, head = int.from_bytes(data[at + 8 : at + 16], "big"), 16
        size = size or len(data) - at
        if size < head:
            return
        if kind != b"jp2c":
            yield kind, data[at + head : at + size]
        at += size


def _of_gml(text: str) -> Georeference:
    """A rectified grid: origin at the centre of the first pixel, two vectors along columns and rows."""
    code, point, vectors = _CRS.search(text), _POINT.search(text), _VECTOR.findall(text)
    crs = f"EPSG:{code.group(1) or code.group(2)}" if code else None
    if point is None or len(vectors) < 2:
        return Georeference(crs)
    try:
        (a, d), (b, e) = ((float(x), float(y)) for x, y in vectors[:2])
        x, y = float(point.group(1)), float(point.group(2))
    except ValueError:
        return Georeference(crs)
    geographic = code is not None and int(code.group(1) or code.group(2)) in _GEOGRAPHIC
    if geographic:  # latitude stands first
        a, b, d, e, x, y = d, e, a, b, y, x
    return Georeference(crs, (a, b, x - 0.5 * (a + b), d, e, y - 0.5 * (d + e)), geographic)
