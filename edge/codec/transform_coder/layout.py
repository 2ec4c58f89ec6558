"""Where the coefficients of a tile lie for the bit-plane coder, and who is related to whom.

Coefficients come as one matrix a raster: a row a component, columns the subbands one after another (wavelet.py). Bands
on a grid half as fine have no finest level: components beyond the fine bands have no subbands there.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder.wavelet import subband_shapes

CELL = 4
NONE = 0xFFFFFFFF
LL = 0
FIELDS = 14  # of subband_t in bitplane.h


@dataclass(frozen=True)
class Pyramid:
    """One raster's coefficients: height x width, split `levels` times. `fine` components have all levels, `all` of them
    all but the finest. scale: how many octaves coarser than the tile's finest raster.
    """

    height: int
    width: int
    levels: int
    fine: int
    all: int
    scale: int = 0

    def components(self, level: int) -> int:
        """Components that a level has (level 1 is the finest)."""
        return self.fine if level == 1 else self.all

    def columns(self) -> Iterator[tuple[int, int, int, int, int]]:
        """(kind, level, height, width, first column) of every subband, coarsest first."""
        at = 0
        for kind, level, height, width in subband_shapes(self.height, self.width, self.levels):
            yield kind, level, height, width, at
            at += height * width


@dataclass(frozen=True, eq=False)
class Layout:
    """`subbands` (B, 14) uint32 is the C side's table; `places[b]`: (pyramid, component, first column, height, width)."""

    subbands: NDArray[np.uint32]
    n_values: int
    n_cells: int
    places: tuple[tuple[int, int, int, int, int], ...]

    def scatter(self, matrices: Sequence[NDArray[Any]]) -> NDArray[Any]:
        """Coefficient matrices of one type, one a pyramid -> (n_values,) with borders of zeros."""
        values = np.zeros(self.n_values, matrices[0].dtype)
        for view, (pyramid, component, at, height, width) in zip(self.views(values), self.places):
            view[:] = matrices[pyramid][component, at : at + height * width].reshape(height, width)
        return values

    def gather(self, values: NDArray[np.float32], pyramids: Sequence[Pyramid]) -> list[NDArray[np.float32]]:
        """The way back; components without a level have zeros there."""
        matrices = [np.zeros((p.all, p.height * p.width), np.float32) for p in pyramids]
        for view, (pyramid, component, at, height, width) in zip(self.views(values), self.places):
            matrices[pyramid][component, at : at + height * width].reshape(height, width)[:] = view
        return matrices

    def views(self, values: NDArray[Any]) -> Iterator[NDArray[Any]]:
        """Every subband's height x width values within (n_values,), in order."""
        for row in self.subbands:
            start, stride, height, width = map(int, row[:4])
            rows = values[start : start + stride * height].reshape(height, stride)
            yield rows[:, :width]


@lru_cache(maxsize=16)
def layout_of(pyramids: tuple[Pyramid, ...]) -> Layout:
    """The layout; subbands in coding order: coarse to fine, within a level by orientation, then by component."""
    rows: list[list[int]] = []
    places: list[tuple[int, int, int, int, int]] = []
    values = cells = 0
    for number, pyramid in enumerate(pyramids):
        index: dict[tuple[int, int, int], int] = {}
        for kind, level, height, width, at in pyramid.columns():
            if height == 0 or width == 0:
                continue
            for component in range(pyramid.components(level)):
                cells_high, cells_wide = -(-height // CELL), -(-width // CELL)
                stride, cell_stride = CELL * cells_wide + 2, cells_wide + 2
                index[component, kind, level] = len(rows)
                fine = max(level - 1, 0) + pyramid.scale
                rows.append(
                    [
                        *(values + stride + 1, stride, height, width, cells + cell_stride + 1, cell_stride),
                        *_relatives(index, component, kind, level),
                        *(kind, min(fine, 2), min(component, 15)),
                    ]
                )
                places.append((number, component, at, height, width))
                values += stride * (CELL * cells_high + 2)
                cells += cell_stride * (cells_high + 2)
    table = np.array(rows, np.uint32).reshape(-1, FIELDS)
    return Layout(table, values + 1, cells + 1, tuple(places))


def _relatives(index: dict[tuple[int, int, int], int], component: int, kind: int, level: int) -> list[int]:
    wanted = [(component, kind, level + 1), (component - 1, kind, level), (component - 2, kind, level)]
    found = [index.get(key, NONE) if kind != LL or key[2] == level else NONE for key in wanted]
    found.append(index.get((component, 1, level), NONE) if kind in (2, 3) else NONE)
    found.append(index.get((component, 2, level), NONE) if kind == 3 else NONE)
    return found
