"""Tags beside pixels and place: resolution, which tifffile writes unasked, and texts of TIFF's own."""

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
FREE = {**TEXTS, X_RESOLUTION: "XResolution", Y_RESOLUTION: "YResolution", RESOLUTION_UNIT: "ResolutionUnit"}
_MOST_PAGES = 64


def resolution_of(tags: Mapping[int, tuple[Any, ...]]) -> dict[str, Any]:
    """tifffile's options for the resolution that tags (code, type, count, value, ...) say; empty where they say none."""
    if X_RESOLUTION not in tags or Y_RESOLUTION not in tags:
        return {}
    unit = int(tags[RESOLUTION_UNIT][3]) if RESOLUTION_UNIT in tags else 2  # TIFF's default: inches
    return {"resolution": (tuple(tags[X_RESOLUTION][3]), tuple(tags[Y_RESOLUTION][3])), "resolutionunit": unit}


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
