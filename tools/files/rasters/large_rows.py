"""Large decoded dates to GeoTIFFs tile by tile: a file's pixels are never all in memory."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeGuard

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import Frame
from swathpack.tools.files.frame_store import Dates, FrameStore
from swathpack.tools.files.rasters.records import FileRecord
from swathpack.tools.files.rasters.tiff import tifffile
from swathpack.tools.files.rasters.tiff_layout import (
    file_radiometry,
    layout_of,
    new_records,
    resolution_in,
    tags_with,
    write_mask,
    write_sidecar,
)
from swathpack.tools.files.rasters.tiff_tags import without_resolution

LARGE_SAMPLES = 1 << 23  # of a date
STRIPS_SAMPLES = 1 << 26  # of a file in strips, which tifffile takes at once: larger ones get tiles
TILE = (256, 256)
BIGTIFF_BYTES = 3 << 30


def wanted(frames: Sequence[Any]) -> TypeGuard[FrameStore | Dates]:
    """Whether dates are large and can be read by rows."""
    if not isinstance(frames, (FrameStore, Dates)) or not len(frames):
        return False
    return len(frames.outline(0).bands) * frames.size[0] * frames.size[1] >= LARGE_SAMPLES


@dataclass(frozen=True)
class _Date:
    """One date of a store and one file of it."""

    frames: FrameStore | Dates
    index: int
    record: FileRecord
    kept: list[int]

    @property
    def outline(self) -> Frame:
        return self.frames.outline(self.index)

    @property
    def bands(self) -> list[int]:
        """Of the frame, for the bands of the file."""
        return [self.outline.bands.index(self.record.bands[i].frame) for i in self.kept]

    @property
    def factor(self) -> int:
        return self.outline.grid[self.bands[0]]

    @property
    def shape(self) -> tuple[int, int]:
        if all(self.record.shape):
            return self.record.shape
        height, width = self.frames.size
        return -(-height // self.factor), -(-width // self.factor)

    def rows(self, bands: Sequence[int], top: int, stop: int) -> tuple[NDArray[Any], NDArray[np.bool_]]:
        """Samples (n, stop - top, w) of the file's rows in its type, and where each band has data."""
        f, width = self.factor, self.shape[1]
        part = self.frames.part(self.index, bands, top * f, min(stop * f, self.frames.size[0]))
        names = part.bands
        counts, valid = part.to_native(), part.native_valid()
        held = np.stack([valid[n][: stop - top, :width] for n in names])
        stack = np.stack([counts[n][: stop - top, :width] for n in names])
        return file_radiometry(part.radiometry, self.record).to_values(stack, held), held


def write_date(frames: FrameStore | Dates, index: int, files: Any, folder: Path, synthesis: str = "") -> list[Path]:
    """The files of a date; see `swathpack.tools.files.rasters.geotiff.write_geotiffs`."""
    outline = frames.outline(index)
    records = [FileRecord.from_json(f) for f in files] if files else _new_records(frames, index)
    written = []
    for record in records:
        kept = [i for i, b in enumerate(record.bands) if b.frame in outline.bands]
        if kept:
            path = folder / Path(record.name).name
            written.append(_write(_Date(frames, index, record, kept), path, synthesis))
    return written


def _new_records(frames: FrameStore | Dates, index: int) -> list[FileRecord]:
    outline = frames.outline(index)
    everything, (height, _) = range(len(outline.bands)), frames.size
    step = TILE[0] * 6  # whole pixels of every grid
    parts = (frames.part(index, everything, top, min(top + step, height)) for top in range(0, height, step))
    return new_records(outline, index, parts)


def _write(date: _Date, path: Path, synthesis: str) -> Path:
    record, count = date.record, len(date.kept) + (date.record.alpha is not None)
    layout = layout_of(record, count, len(date.kept) == len(record.bands))
    separate = count == 1 or layout["planarconfig"] == "separate"
    height, width = date.shape
    if count * height * width >= STRIPS_SAMPLES:
        layout.setdefault("tile", TILE)
    shape = (height, width) if count == 1 else (count, height, width) if separate else (height, width, count)
    big = bool(record.layout.get("bigtiff")) or count * height * width * np.dtype(record.dtype).itemsize > BIGTIFF_BYTES
    tags = tags_with(record, date.kept, synthesis)
    options = {"extratags": tags, "metadata": None, "software": False, **layout}
    options |= resolution_in(record)
    with tifffile().TiffWriter(path, bigtiff=big) as writer:
        parts = (
            _tiles(date, count, separate, layout["tile"]) if "tile" in layout else iter([_whole(date, count, separate)])
        )
        writer.write(parts, shape=shape, dtype=record.dtype, **options)
        held = _held(date) if record.mask in ("internal", "sidecar") else np.zeros((0, 0), np.bool_)
        write_mask(writer, record, held, layout)
    without_resolution(path, keep_first="resolution" in options)
    write_sidecar(path, record, held)
    return path


def _tiles(date: _Date, count: int, separate: bool, tile: tuple[int, int]) -> Iterator[NDArray[Any]]:
    """Tiles in the order that a TIFF has them."""
    for rows in _rows(date, count, separate, tile[0]):
        yield from _cut(rows, tile)


def _whole(date: _Date, count: int, separate: bool) -> NDArray[Any]:
    """All at once, in the type of the file: (h, w), (bands, h, w) or (h, w, bands)."""
    height, width = date.shape
    found = np.concatenate(list(_rows(date, count, separate, TILE[0])))
    return found.reshape(count, height, width) if separate and count > 1 else found


def _rows(date: _Date, count: int, separate: bool, step: int) -> Iterator[NDArray[Any]]:
    """Rows of the file from the top, (n, w, bands) of all bands, or (n, w) band after band."""
    if not separate:
        for top in range(0, date.shape[0], step):
            data, held = date.rows(date.bands, top, min(top + step, date.shape[0]))
            yield np.moveaxis(_with_alpha(date, data, held), 0, -1)
        return
    alpha = min(date.record.alpha[0], count - 1) if date.record.alpha is not None else count
    for plane in range(count):
        bands = date.bands if plane == alpha else [date.bands[plane - (plane > alpha)]]
        for top in range(0, date.shape[0], step):
            data, held = date.rows(bands, top, min(top + step, date.shape[0]))
            yield _with_alpha(date, data, held)[alpha] if plane == alpha else data[0]


def _with_alpha(date: _Date, data: NDArray[Any], held: NDArray[np.bool_]) -> NDArray[Any]:
    if date.record.alpha is None:
        return data
    at, _, value = date.record.alpha
    alpha = np.where(held.any(axis=0), value, 0).astype(data.dtype)
    found: NDArray[Any] = np.insert(data, min(at, len(data)), alpha, axis=0)
    return found


def _cut(rows: NDArray[Any], tile: tuple[int, int]) -> Iterator[NDArray[Any]]:
    """(h, w) or (h, w, n) of a row of tiles, each filled up with zeros."""
    for left in range(0, rows.shape[1], tile[1]):
        out = np.zeros((*tile, *rows.shape[2:]), rows.dtype)
        part = rows[:, left : left + tile[1]]
        out[: part.shape[0], : part.shape[1]] = part
        yield out


def _held(date: _Date) -> NDArray[np.bool_]:
    """(h, w) where any band has data."""
    tops = range(0, date.shape[0], TILE[0])
    return np.concatenate([date.rows(date.bands, t, min(t + TILE[0], date.shape[0]))[1].any(axis=0) for t in tops])
