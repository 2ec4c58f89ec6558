"""Georeference in TIFF tags: read to a CRS and a transform, and made from them (OGC GeoTIFF 1.1, section 7)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from swathpack.tools.files.rasters.records import Georeference

SCALE, TIEPOINT, MATRIX, KEYS, DOUBLES, TEXTS = 33550, 33922, 34264, 34735, 34736, 34737
GEO_TAGS = (SCALE, TIEPOINT, MATRIX, KEYS, DOUBLES, TEXTS)
MODEL_TYPE, RASTER_TYPE, GEOGRAPHIC, PROJECTED = 1024, 1025, 2048, 3072
_PROJECTED_MODEL, _GEOGRAPHIC_MODEL = 1, 2
_PIXEL_IS_POINT = 2
_USER_DEFINED = 32767
_SHORT, _DOUBLE = 3, 12
Tag = tuple[int, int, int, Any]


def georeference_of(tags: Mapping[int, Any]) -> Georeference:
    """CRS (where the keys name a code) and transform of a TIFF's tags, {code: value}."""
    keys = _keys(tags.get(KEYS, ()))
    crs = None
    for key in (PROJECTED, GEOGRAPHIC) if keys.get(MODEL_TYPE) != _GEOGRAPHIC_MODEL else (GEOGRAPHIC,):
        code = keys.get(key, 0)
        if 0 < code < _USER_DEFINED:
            crs = f"EPSG:{code}"
            break
        if code == _USER_DEFINED:
            break  # described parameter by parameter: no code names it
    geographic = keys.get(MODEL_TYPE) == _GEOGRAPHIC_MODEL
    return Georeference(crs, _transform(tags, keys.get(RASTER_TYPE) == _PIXEL_IS_POINT), geographic)


def _keys(directory: Sequence[int]) -> dict[int, int]:
    """The short keys of a GeoKeyDirectory; keys whose values lie in other tags are left out."""
    rows = [directory[i : i + 4] for i in range(4, len(directory) - 3, 4)]
    return {int(row[0]): int(row[3]) for row in rows if int(row[1]) == 0}


def _transform(tags: Mapping[int, Any], of_centres: bool) -> tuple[float, float, float, float, float, float] | None:
    matrix, scale, tie = tags.get(MATRIX), tags.get(SCALE), tags.get(TIEPOINT)
    if matrix is not None and len(matrix) == 16:
        a, b, c, d, e, f = (float(matrix[i]) for i in (0, 1, 3, 4, 5, 7))
    elif scale is not None and tie is not None and len(tie) == 6:
        a, b, d, e = float(scale[0]), 0.0, 0.0, -float(scale[1])
        c, f = float(tie[3]) - a * float(tie[0]), float(tie[4]) - e * float(tie[1])
    else:
        return None
    if of_centres:
        c, f = c - 0.5 * (a + b), f - 0.5 * (d + e)
    return a, b, c, d, e, f


def tags_of(georeference: Georeference) -> list[Tag]:
    """Tags of a georeference whose CRS has an EPSG code; only the transform's for other ones."""
    tags: list[Tag] = []
    if georeference.transform is not None:
        a, b, c, d, e, f = georeference.transform
        if b == d == 0 and e < 0:
            tags += [(SCALE, _DOUBLE, 3, [a, -e, 0.0]), (TIEPOINT, _DOUBLE, 6, [0.0, 0.0, 0.0, c, f, 0.0])]
        else:
            tags.append((MATRIX, _DOUBLE, 16, [a, b, 0.0, c, d, e, 0.0, f, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0]))
    code = epsg_of(georeference.crs)
    if code is not None:
        model, key = (_GEOGRAPHIC_MODEL, GEOGRAPHIC) if georeference.geographic else (_PROJECTED_MODEL, PROJECTED)
        keys = [1, 1, 0, 3, MODEL_TYPE, 0, 1, model, RASTER_TYPE, 0, 1, 1, key, 0, 1, code]
        tags.append((KEYS, _SHORT, len(keys), keys))
    return tags


def epsg_of(crs: str | None) -> int | None:
    """The code of `EPSG:32632`, None for anything else."""
    word = (crs or "").upper().removeprefix("EPSG:")
    return int(word) if crs and word.isdigit() and int(word) < _USER_DEFINED else None
