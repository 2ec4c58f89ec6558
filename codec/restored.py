"""The network over drawn frames (`swathpack.codec.restoration`) as the ground runs it: from its graph, in whole counts.

    models/restoration/restoration.onnx     `swathpack.export.restoration` makes it
    models/restoration/manifest.json        its digest, what it was trained on

Only the ground has it, and nothing is predicted from what it draws, so it needs no exactness: two machines may differ by a count.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.seams import REACH
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.model import ModelError
from swathpack.edge.codec.transform_coder.rasters import Grid, own_grid
from swathpack.edge.digests import MANIFEST, DigestError, check_file
from swathpack.edge.spoken import reason

DIRECTORY = Path(__file__).resolve().parent.parent / "models" / "restoration"
GRAPH = "restoration.onnx"
CELL = 4  # pixels: sides of what the graph takes are multiples of it
LEAST_BANDS = 9  # of Sentinel-2's twelve: it was trained with some of them missing
SHARP = frozenset(("B02", "B03", "B04", "B08"))  # of any sensor; six bands may be Landsat's, which lose
MOST = 1 / 4  # of a step that is added
Pixels = NDArray[np.float32]


def restorable(bands: Sequence[str]) -> bool:
    """Whether frames of these bands are restored."""
    return set(bands) == SHARP or (len(bands) >= LEAST_BANDS and set(bands) <= set(BANDS))


def evened(added: Pixels, counts: NDArray[np.uint16], known: NDArray[np.bool_]) -> Pixels:
    """What is added to a tile (C, h, w), of one value in each cell of bands that the transform coder had on a coarser grid:
    the tile's counts tell, but for those beside its seams.
    """
    inner = np.s_[REACH:-REACH, REACH:-REACH]
    return np.stack([_means(a, own_grid(c[inner], known[inner])) for a, c in zip(added, counts)])


def _means(plane: Pixels, grid: Grid) -> Pixels:
    """(H, W), each cell's mean. grid: of the pixels farther than REACH from the edges."""
    if grid.factor == 1:
        return plane
    starts, sizes = [], []
    for side, first in zip(plane.shape, (grid.top, grid.left)):
        begins = np.unique([0, *range((REACH - first) % grid.factor, side, grid.factor)])
        starts.append(begins)
        sizes.append(np.diff([*begins, side]))
    sums = np.add.reduceat(np.add.reduceat(plane, starts[0], axis=0), starts[1], axis=1)
    means = sums / (sizes[0][:, None] * sizes[1])
    return np.asarray(means.repeat(sizes[0], 0).repeat(sizes[1], 1), np.float32)


class Restorer:
    """The network from its folder. threads: of its session. Raises ModelError."""

    def __init__(self, directory: Path = DIRECTORY, threads: int = 1) -> None:
        from swathpack.edge.codec.engines.onnxruntime_engine import open_session

        self._graph = _checked(directory)
        try:
            self._session = open_session(self._graph, threads)
        except Exception as error:  # onnxruntime raises classes of its own for every cause
            raise ModelError(f"model in {directory}: {GRAPH}: {error}") from error

    @cached_property
    def digest(self) -> str:
        """Names the network, hexadecimal."""
        from swathpack.edge.digests import bytes_digest

        return bytes_digest(self._graph, 8).hex()

    def run(self, drawn: Pixels, steps: Pixels, learned: Pixels) -> Pixels:
        """The graph itself: (12, H, W), (12, H, W), (1, H, W) -> (12, H, W)."""
        feeds = {"drawn": drawn[None], "steps": steps[None], "learned": learned[None]}
        out: Pixels = self._session.run(None, feeds)[0][0]
        return out

    def added(self, counts: Pixels, steps: Pixels, learned: Pixels, bands: Sequence[str]) -> Pixels:
        """What is to be added, (C, H, W) counts, MOST of a step at the most. counts (C, H, W) of these bands, steps of every
        pixel and band in counts, learned (H, W) 0 or 1.
        """
        size, where = counts.shape[1:], [BANDS.index(name) for name in bands]
        more = [(0, 0), *((0, -side % CELL) for side in size)]
        planes, each = (np.full((len(BANDS), *size), value, np.float32) for value in (0, 1))
        planes[where], each[where] = counts, steps
        fed = (np.pad(plane, more, mode="edge") for plane in (planes, each, learned[None].astype(np.float32)))
        found = self.run(*fed)[where, : size[0], : size[1]]
        return np.clip(found, -MOST * steps, MOST * steps)


def _checked(directory: Path) -> bytes:
    """The graph that the manifest vouches for. Raises ModelError."""
    try:
        told: Any = json.loads((directory / MANIFEST).read_text())
        graph = (directory / GRAPH).read_bytes()
        check_file(GRAPH, graph, told if isinstance(told, dict) else {})
    except (OSError, ValueError, DigestError) as error:
        raise ModelError(f"model in {directory}: {reason(error, directory)}") from error
    return graph
