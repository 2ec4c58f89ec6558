"""Files that GDAL reads beside a raster: its mask, what it cannot say itself, overviews, where it lies.

They belong to an input as its own bytes do: nothing is written over them, and a change of them is a change of the input.
"""

from __future__ import annotations

from pathlib import Path

BEHIND = (".msk", ".aux.xml", ".ovr")  # behind the whole name
INSTEAD = (".tfw", ".tifw", ".tiffw", ".j2w", ".jp2w", ".wld", ".tab", ".aux")  # in the place of the suffix


def sidecars(path: Path) -> list[Path]:
    """Those of a file that are there."""
    if path.is_dir():
        return []
    stem = path.name[: len(path.name) - len(path.suffix)]
    names = [path.name + end for end in BEHIND] + [stem + end for end in INSTEAD if end != path.suffix]
    return [found for name in names if (found := path.with_name(name)).is_file()]
