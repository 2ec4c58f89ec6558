"""A part of a stream: which pixels, bands and dates, and how coarse."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.frame import Frame, FrameError
from swathpack.edge.stream import Header
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.rasters.geokeys import tags_of
from swathpack.tools.files.rasters.records import FileRecord, Georeference

PREVIEWS = (4, 8, 16)
HEAD_BYTES = 900  # of the transform coder's payload, at the most usual
_PLACE_TAGS = (33550, 33922, 34264)  # pixel scale, tie point, transformation


@dataclass(frozen=True)
class Part:
    """full: rows and columns of the frames. rows, columns: (first, behind the last). bands: names, dates: numbers,
    empty for all. preview: pixels, each
    way, that one pixel stands for. factors: pixels, each way, of the frames that one of a band makes on its own grid.
    """

    full: tuple[int, int]
    rows: tuple[int, int]
    columns: tuple[int, int]
    bands: tuple[str, ...] = ()
    dates: tuple[int, ...] = ()
    preview: int = 1
    factors: Mapping[str, int] = field(default_factory=dict)

    @property
    def layers(self) -> int:
        """How many a preview is made of. Payloads go by error saved a byte, not by scale, so what a preview shows comes among what it
        does not: these bring it near to the means of what the whole file gives (docs/commands.md has by how much).
        """
        return {1: LAYERS, 4: 10, 8: 8, 16: 6}[self.preview]

    def prefix_bytes(self, samples: int) -> tuple[int, int] | None:
        """Bytes of a payload that these layers of a tile of so many samples take, of the transform coder's (exactly) and of
        the learned codec's (mostly); None for all.
        """
        if self.preview == 1:
            return None
        exactly = int(0.01 * 1.5 ** (self.layers - 1) * samples / 8)
        return exactly + HEAD_BYTES, exactly

    @property
    def size(self) -> tuple[int, int]:
        """Rows and columns of the result."""
        return tuple(-(-(b - a) // self.preview) for a, b in (self.rows, self.columns))  # type: ignore[return-value]

    def meets(self, w: TileWindow, within: int = 0) -> bool:
        """Whether a tile holds any of its pixels, or any within so many pixels of them."""
        down = self.rows[0] < w.top + w.height + within and w.top - within < self.rows[1]
        return down and self.columns[0] < w.left + w.width + within and w.left - within < self.columns[1]

    def of_tiles(self, side: int) -> Part:
        """Grown to whole tiles of so many pixels a side."""
        rows, columns = (
            (first // side * side, min(-(-last // side) * side, most))
            for (first, last), most in zip((self.rows, self.columns), self.full)
        )
        return replace(self, rows=rows, columns=columns)

    def outline(self, frame: Frame) -> Frame:
        """What is said of a frame, said of its part. Raises UserError for bands that are not there."""
        try:
            found = frame.select(self.bands) if self.bands else frame
        except FrameError as error:
            raise UserError(f"--bands: {error}") from error
        return replace(found, grid=()) if self.preview > 1 else found

    def of(self, w: TileWindow, tile: Frame) -> tuple[TileWindow, Frame]:
        """The part of a tile, and where it lies in the result."""
        if self.bands:
            tile = tile.select(self.bands)
        top, left = max(w.top, self.rows[0]), max(w.left, self.columns[0])
        bottom, right = min(w.top + w.height, self.rows[1]), min(w.left + w.width, self.columns[1])
        cut = np.s_[..., top - w.top : bottom - w.top, left - w.left : right - w.left]
        holes = tile.holes[cut] if tile.holes.size else tile.holes
        found = replace(tile, data=tile.data[cut], valid=tile.valid[cut], holes=holes)
        y, x = top - self.rows[0], left - self.columns[0]
        if self.preview > 1:
            found = replace(_shrunk(found, self.preview), grid=())
            y, x = y // self.preview, x // self.preview
        return TileWindow(w.index, y, x, found.height, found.width), found

    def metadata(self, given: dict[str, Any], frames: int) -> dict[str, Any]:
        """The metadata of a stream's files for files of the part."""
        files = given.get("files")
        if not isinstance(files, list) or len(files) != frames:
            return given
        kept = [files[i] for i in self.dates] if self.dates else files
        return given | {"files": [[self._record(f) for f in date] for date in kept]}

    def _native(self, factor: int) -> tuple[int, int]:
        """Rows and columns on a grid of that many pixels."""
        rows, columns = (-(-b // factor) - a // factor for a, b in (self.rows, self.columns))
        return rows, columns

    def _record(self, item: dict[str, Any]) -> dict[str, Any]:
        record = FileRecord.from_json(item)
        factor = max((self.factors.get(band.frame, 1) for band in record.bands), default=1)
        if self.preview > 1:
            shape, step = self.size, self.preview / factor
        else:
            shape, step = self._native(factor), 1.0
        top, left, place = self.rows[0] / factor, self.columns[0] / factor, record.georeference
        if place.transform is not None:
            a, b, c, d, e, f = place.transform
            moved = (a * step, b * step, c + a * left + b * top, d * step, e * step, f + d * left + e * top)
            place = Georeference(place.crs, moved, place.geographic)
        tags = [t for t in record.tags if t[0] not in _PLACE_TAGS]
        if record.tags:
            tags += [t for t in tags_of(place) if t[0] in _PLACE_TAGS]
        return replace(record, shape=shape, georeference=place, tags=tuple(tags)).to_json()


def _shrunk(frame: Frame, n: int) -> Frame:
    """Means of n x n pixels with data."""
    rows, columns = np.arange(0, frame.height, n), np.arange(0, frame.width, n)

    def total(a: Any) -> Any:
        return np.add.reduceat(np.add.reduceat(a.astype(np.int64), rows, axis=-2), columns, axis=-1)

    held = np.broadcast_to(frame.valid, frame.data.shape) & (~frame.holes if frame.holes.size else True)
    count = total(held)
    data = ((total(frame.data * held) + count // 2) // np.maximum(count, 1)).astype(np.uint16)
    valid = count.any(axis=0)
    holes = (count == 0) & valid if frame.holes.size else frame.holes
    return replace(frame, data=data, valid=valid, holes=holes)


def check_dates(dates: Sequence[int], frames: int, given: object) -> None:
    """Refuse dates that a stream of so many frames has not, or that come twice; given: as they were asked for. Raises UserError."""
    numbers = all(isinstance(d, (int, np.integer)) and 0 <= d < frames for d in dates)
    if not numbers or len(set(dates)) != len(dates):
        raise UserError(f"--dates: expected different numbers of 0 to {frames - 1}, found {given!r}")


def part_of(
    header: Header,
    window: Sequence[int] | None = None,
    bands: Sequence[str] = (),
    dates: Sequence[int] = (),
    preview: int = 1,
) -> Part:
    """The part that is asked for. window: row, column, height, width; where bands lie on coarser grids it grows to whole
    pixels of these, with a preview to whole pixels of that. Raises UserError.
    """
    if preview not in (1, *PREVIEWS):
        raise UsageError(f"--preview: expected one of {', '.join(map(str, PREVIEWS))}, found {preview}")
    check_dates(dates, header.frames, list(dates))
    row, column, height, width = window or (0, 0, header.height, header.width)
    inside = 0 <= row < row + height <= header.height and 0 <= column < column + width <= header.width
    if not inside:
        raise UserError(
            f"--window: expected a part of {header.height} x {header.width} pixels as ROW COL HEIGHT WIDTH, found "
            f"{row} {column} {height} {width}"
        )
    unit = int(np.lcm.reduce([preview, *(header.grid or (1,))]))
    rows, columns = (
        (first // unit * unit, min(-(-(first + n) // unit) * unit, side))
        for first, n, side in ((row, height, header.height), (column, width, header.width))
    )
    factors = dict(zip(header.bands, header.grid))
    return Part((header.height, header.width), rows, columns, tuple(bands), tuple(sorted(dates)), preview, factors)


def window_of_bbox(
    georeference: Georeference,
    bbox: Sequence[float],
    size: tuple[int, int],
    option: str = "--bbox",
    pixels: str = "--window",
) -> tuple[int, int, int, int]:
    """Row, column, height, width of the pixels that a box (left, bottom, right, top) in the file's own CRS touches. size: rows and
    columns of the frames. option: what the box was given by; pixels: what else could be. Raises UserError.
    """
    if georeference.transform is None or georeference.transform[1] or georeference.transform[3]:
        raise UserError(f"{option}: there is no georeference along rows and columns: give {pixels}")
    if not np.isfinite(bbox).all():
        raise UserError(f"{option}: expected finite numbers, found {tuple(bbox)}")
    a, _, c, _, e, f = georeference.transform
    xs, ys = sorted((x - c) / a for x in (bbox[0], bbox[2])), sorted((y - f) / e for y in (bbox[1], bbox[3]))
    left, right = max(int(np.floor(xs[0] + 1e-6)), 0), min(int(np.ceil(xs[1] - 1e-6)), size[1])
    top, bottom = max(int(np.floor(ys[0] + 1e-6)), 0), min(int(np.ceil(ys[1] - 1e-6)), size[0])
    if left >= right or top >= bottom:
        here = (c, f + e * size[0], c + a * size[1], f)
        raise UserError(f"{option}: expected a box that meets {here} (left, bottom, right, top), found {tuple(bbox)}")
    return top, left, bottom - top, right - left


def georeference_of(metadata: Mapping[str, Any]) -> Georeference:
    """Of the finest file of the first date, nothing where the files did not say it."""
    for date in metadata.get("files") or ():
        records = sorted((f for f in date or ()), key=lambda f: -int((f.get("shape") or [0])[0]))
        return Georeference.from_json(records[0].get("georeference", {})) if records else Georeference()
    return Georeference()
