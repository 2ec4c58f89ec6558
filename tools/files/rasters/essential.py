"""What of a series' metadata travels at every budget, and what may stay behind.

Essential: names, bands, shapes, types, nodata, masks, CRS, transform, RPCs, scale and offset, dates, layout; of an `.npz`
what writes its keys again, its source, its georeference, and what is short. TIFF tags that say the same as a record's CRS,
transform, nodata and band names are made anew by the writer. Left out is free text, by name.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from xml.etree import ElementTree

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import gdal_metadata
from swathpack.tools.files.rasters.facts import number
from swathpack.tools.files.rasters.geokeys import GEO_TAGS, KEYS, RASTER_TYPE, epsg_of, georeference_of, tags_of
from swathpack.tools.files.rasters.packing import pack
from swathpack.tools.files.rasters.records import Georeference
from swathpack.tools.files.rasters.tiff import GDAL_METADATA, GDAL_NODATA
from swathpack.tools.files.rasters.tiff_tags import FREE

_ROLES = ("scale", "offset", "unittype", "colorinterp")
_KEPT_KEYS = (
    "source",
    "crs",
    "epsg",
    "wkt",
    "proj",
    "spatial_ref",
    "transform",
    "geotransform",
    "bounds",
    "bbox",
    "nodata",
)
_SHORT_TEXT = 96  # characters of JSON
_IS_AREA, _VERTICAL = 1, 4096
MOST_NAMED = 8


@dataclass(frozen=True)
class Carried:
    """A series' metadata as a stream may hold them: at least `essential`, without what `left_out` names; `whole` where that
    is more and can be packed.
    """

    whole: bytes | None = None
    essential: bytes = b""
    left_out: tuple[str, ...] = ()

    @classmethod
    def of(cls, metadata: dict[str, Any]) -> Carried:
        """Of plain JSON types. Raises UserError where even what is essential is too much."""
        reduced, left_out = essential(metadata)
        packed = pack(reduced)
        try:
            return cls(None if reduced == metadata else pack(metadata), packed, tuple(left_out))
        except UserError:
            return cls(None, packed, tuple(left_out))


def essential(metadata: Mapping[str, Any]) -> tuple[dict[str, Any], list[str]]:
    """The metadata without what may stay behind, and the names of that."""
    found, left_out = dict(metadata), dict[str, None]()
    if isinstance(metadata.get("files"), list):
        found["files"] = [[_file(f, left_out) for f in files] if files else files for files in metadata["files"]]
    if "extra" in metadata:
        extra = metadata["extra"]
        found["extra"] = {k: v for k, v in extra.items() if _short(k, v)}
        left_out |= dict.fromkeys(f"key {k!r}" for k in extra if k not in found["extra"])
    names = list(left_out)
    if len(names) > MOST_NAMED:
        names = [*names[:MOST_NAMED], f"and {len(names) - MOST_NAMED} more"]
    return found, names


def _short(key: str, value: Any) -> bool:
    return key.lower() in _KEPT_KEYS or len(json.dumps(value)) <= _SHORT_TEXT


def _file(file: Mapping[str, Any], left_out: dict[str, None]) -> dict[str, Any]:
    """A `FileRecord` as JSON with the tags only that nothing else tells."""
    place, tags = Georeference.from_json(file.get("georeference", {})), {t[0]: t for t in file.get("tags", ())}
    if _retold(place, {code: tag[3] for code, tag in tags.items()}):
        tags = {code: tag for code, tag in tags.items() if code not in GEO_TAGS}
    for code in [code for code in tags if code in FREE]:
        del tags[code]
        left_out[f"TIFF {FREE[code]}"] = None
    if GDAL_NODATA in tags and number(str(tags[GDAL_NODATA][3])) == number(str(file.get("nodata"))):
        del tags[GDAL_NODATA]
    if GDAL_METADATA in tags:
        text = _items(str(tags.pop(GDAL_METADATA)[3]), _names(file), left_out)
        if text:
            tags[GDAL_METADATA] = [GDAL_METADATA, 2, len(text.encode()) + 1, text]
    found = {k: v for k, v in file.items() if k != "tags"}
    return found | ({"tags": [tags[code] for code in sorted(tags)]} if tags else {})


def _names(file: Mapping[str, Any]) -> dict[int, str]:
    """Per sample the name that the writer gives it."""
    names = [b if isinstance(b, str) else str(b[0] or b[1]) for b in file["bands"]]
    at = file["alpha"][0] if file.get("alpha") else len(names)
    return {i + (i >= at): name for i, name in enumerate(names)}


def _retold(place: Georeference, tags: Mapping[int, Any]) -> bool:
    """Whether the CRS's code and the transform say all that the tags say of the grid."""
    keys = list(tags.get(KEYS, ()))
    short = {keys[i]: keys[i + 3] for i in range(4, len(keys) - 3, 4) if keys[i + 1] == 0}
    coded = epsg_of(place.crs) is not None or (place.crs is None and KEYS not in tags)
    plain = short.get(RASTER_TYPE, _IS_AREA) == _IS_AREA and not any(key >= _VERTICAL for key in keys[4::4])
    return coded and plain and georeference_of({t[0]: t[3] for t in tags_of(place)}) == place


def _items(xml: str, names: Mapping[int, str], left_out: dict[str, None]) -> str:
    """GDAL's XML with scales, offsets, units, colours and wavelengths only; empty where it has none."""
    root = ElementTree.Element("GDALMetadata")
    described = gdal_metadata.parse(xml).description
    try:
        given = list(ElementTree.fromstring(xml.strip().strip("\0")).iter("Item"))
    except ElementTree.ParseError:
        given = []
    for item in given:
        role = (item.get("role") or "").lower()
        if role in _ROLES or "WAVELENGTH" in (item.get("name") or "").upper():
            item.tail = None
            root.append(item)
        elif role != "description":
            left_out[f"TIFF metadata {item.get('name')}"] = None
    if any(described.get(sample) not in (None, name) for sample, name in names.items()):
        left_out["TIFF metadata DESCRIPTION"] = None
    return ElementTree.tostring(root, encoding="unicode") if len(root) else ""
