"""Tags beside pixels and place: resolution, which tifffile writes unasked, texts of TIFF's own, and a colour map."""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT = 282, 283, 296
RESOLUTION = (X_RESOLUTION, Y_RESOLUTION, RESOLUTION_UNIT)
# Texts that say what no other tag does; they go along where a budget has room.
TEXTS = {
    269: "DocumentName",
    270: "ImageDescription",
    305: "Software",
    315: "Artist",
    316: "HostComputer",
    33432: "Copyright",
}
COLOUR_MAP = 320  # of one band whose values are numbers of colours
_ASCII = 2
FREE = {
    **TEXTS,
    COLOUR_MAP: "ColorMap",
    X_RESOLUTION: "XResolution",
    Y_RESOLUTION: "YResolution",
    RESOLUTION_UNIT: "ResolutionUnit",
}
_MOST_PAGES = 64


def says_nothing(values: Mapping[int, Any]) -> set[int]:
    """Of FREE tags those that writers put into every file: a resolution of 1 without a unit, and tifffile's description of shapes."""
    found = {270} if str(values.get(270, "")).startswith('{"shape"') else set()
    plain = all(_ratio(values.get(code)) == (1, 1) for code in (X_RESOLUTION, Y_RESOLUTION))
    return found | set(RESOLUTION) if plain and values.get(RESOLUTION_UNIT) == 1 else found


def in_bytes(tag: tuple[int, int, int, Any, bool]) -> tuple[int, int, int, Any, bool]:
    """A tag (code, type, count, value, first page) whose text tifffile can write: it refuses what is not ASCII. UTF-8, as GDAL
    has it, unless Latin text in the old code page is what had as many bytes: keys of a CRS count bytes of such texts.
    """
    code, kind, count, value, first = tag
    if kind != _ASCII or not isinstance(value, str):
        return tag
    text = value.encode("utf-8", "replace")
    latin = value.encode("cp1252", "ignore")
    if count != len(text) + 1 and count == len(latin) + 1:
        text = latin
    return code, kind, len(text) + 1, text, first


def _ratio(value: Any) -> tuple[int, int] | None:
    """A rational as tifffile has it; None of anything else that a file may say."""
    good = isinstance(value, (tuple, list)) and len(value) == 2 and all(isinstance(n, int) for n in value)
    return (value[0], value[1]) if good and value[1] > 0 <= value[0] else None


def resolution_of(tags: Mapping[int, tuple[Any, ...]]) -> dict[str, Any]:
    """tifffile's options for the resolution that tags (code, type, count, value, ...) say; empty where they say none."""
    across, down = (_ratio(tags[code][3]) if code in tags else None for code in (X_RESOLUTION, Y_RESOLUTION))
    if across is None or down is None:
        return {}
    unit = tags[RESOLUTION_UNIT][3] if RESOLUTION_UNIT in tags else 2  # TIFF's default: inches
    return {"resolution": (across, down), "resolutionunit": unit if unit in (1, 2, 3) else 1}


def without_resolution(path: Path, keep_first: bool = False) -> None:
    """Take resolution out of the pages of a TIFF, those behind the first only where that has one. Their entries go; every other
    byte stays where it is.
    """
    with open(path, "r+b") as file:
        head = file.read(16)
        order, big = "<" if head[:2] == b"II" else ">", head[2:4] in (b"+\0", b"\0+")
        count, entry, pointer = (f"{order}Q", 20, f"{order}Q") if big else (f"{order}H", 12, f"{order}I")
        at = struct.unpack_from(pointer, head, 8 if big else 4)[0]
        for page in range(_MOST_PAGES):
            if not at:
                return
            file.seek(at)
            (number,) = struct.unpack(count, file.read(struct.calcsize(count)))
            entries, after = file.read(number * entry), file.read(struct.calcsize(pointer))
            if page or not keep_first:
                kept = list(_others(entries, entry, order))
                file.seek(at)
                file.write(struct.pack(count, len(kept)) + b"".join(kept) + after)
            (at,) = struct.unpack(pointer, after)


def _others(entries: bytes, size: int, order: str) -> Iterable[bytes]:
    for start in range(0, len(entries), size):
        if struct.unpack_from(f"{order}H", entries, start)[0] not in RESOLUTION:
            yield entries[start : start + size]
