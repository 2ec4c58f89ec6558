"""Parts of TIFFs with tifffile: the strips and tiles that a box touches are decoded, no others."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.facts import Box, Mask, Planes, unreadable


@dataclass
class TiffParts:
    """`swathpack.tools.files.rasters.facts.ReadPart` of a file that stays open. count: its samples; alpha: index of that one;
    masks: gives the mask pages of an open file. sidecar: the file that holds its mask.
    """

    package: Any
    path: Path
    count: int
    alpha: int | None
    masks: Any
    sidecar: Path | None

    def __post_init__(self) -> None:
        self._open: dict[Path, Any] = {}

    def __call__(self, samples: Sequence[int], box: Box) -> tuple[Planes, Mask | None]:
        """Raises UserError."""
        try:
            tiff = self._opened(self.path)
            wanted = [*samples] if self.alpha is None else [*samples, self.alpha]
            planes = self._planes(tiff, wanted, box)
            if self.alpha is not None:
                return planes[:-1], planes[-1]
            return planes, self._mask(tiff, box)
        except UserError:
            raise
        except Exception as error:  # on damaged files tifffile raises nearly anything
            raise unreadable(str(self.path), box, error) from error

    def close(self) -> None:
        """Close the files; they are opened again when they are read."""
        for tiff in self._open.values():
            tiff.close()
        self._open.clear()

    def _opened(self, path: Path) -> Any:
        if path not in self._open:
            self._open[path] = self.package.TiffFile(path)
        return self._open[path]

    def _planes(self, tiff: Any, samples: Sequence[int], box: Box) -> NDArray[Any]:
        """(n, h, w) of some samples, which are of one page or a page each."""
        first = tiff.pages.first
        if first.samplesperpixel > 1 or self.count == 1:
            return _part_of(first, samples, box)
        pages = tiff.series[0].pages
        return np.concatenate([_part_of(pages[i], [0], box) for i in samples])

    def _mask(self, tiff: Any, box: Box) -> Mask | None:
        pages = self.masks(tiff)
        if self.sidecar is not None and not pages:
            pages = [self._opened(self.sidecar).pages.first]
        if not pages:
            return None
        found: Mask = np.logical_or.reduce(_part_of(pages[0], range(pages[0].samplesperpixel), box) != 0)
        return found


def _part_of(page: Any, samples: Sequence[int], box: Box) -> NDArray[Any]:
    """(n, h, w) of some samples of a page."""
    top, stop, left, right = box
    out = np.zeros((len(samples), stop - top, right - left), page.dtype)
    apart, file = int(page.planarconfig) == 2 and page.samplesperpixel > 1, page.parent.filehandle
    for index, row, column, sample in _segments(page, box):
        if apart and sample not in samples:
            continue
        file.seek(page.dataoffsets[index])
        data = file.read(page.databytecounts[index]) if page.databytecounts[index] else None
        tables = {} if page.jpegtables is None else {"jpegtables": page.jpegtables}
        block = page.keyframe.decode(data, index, **tables)[0]
        if block is None:
            continue  # a sparse file's hole
        block = np.moveaxis(np.asarray(block)[0], -1, 0)  # (samples, rows, columns)
        y, x = max(row, top), max(column, left)
        below, beyond = min(row + block.shape[1], stop), min(column + block.shape[2], right)
        inner = block[:, y - row : below - row, x - column : beyond - column]
        goal = np.s_[y - top : below - top, x - left : beyond - left]
        for place, wanted in enumerate(samples):
            if not apart or wanted == sample:
                out[place][goal] = inner[0 if apart else wanted]
    return out


def _segments(page: Any, box: Box) -> Iterator[tuple[int, int, int, int]]:
    """Index, first row, first column and (of samples stored apart) sample of the strips or tiles that a box touches."""
    high = page.tilelength if page.is_tiled else page.rowsperstrip or page.imagelength
    wide = page.tilewidth if page.is_tiled else page.imagewidth
    high = min(high, page.imagelength) if not page.is_tiled else high
    down, across = -(-page.imagelength // high), -(-page.imagewidth // wide)
    for index in range(len(page.dataoffsets)):
        plane, at = divmod(index, down * across)
        row, column = at // across * high, at % across * wide
        if row < box[1] and row + high > box[0] and column < box[3] and column + wide > box[2]:
            yield index, row, column, plane
