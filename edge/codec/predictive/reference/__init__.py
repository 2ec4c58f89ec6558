"""The predictive coder in plain Python: slow and obvious, the same bytes as the C (tests compare them).

Where the C library is not built, it takes its place. Each module says which C file it follows.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.predictive.interface import LAYERS, CodedTile, Decoded, either, smallest
from swathpack.edge.codec.predictive.reference.coder import Coder, Mark, PayloadEnded, prefix
from swathpack.edge.codec.predictive.reference.fit import choose_predictor
from swathpack.edge.codec.predictive.reference.header import code_plan
from swathpack.edge.codec.predictive.reference.plan import (
    cell_code,
    choose_structure,
    choose_values,
    fill_plane,
    find_grid,
    find_range,
)
from swathpack.edge.codec.predictive.reference.refine import Refiner
from swathpack.edge.codec.predictive.reference.rows import Model, Row
from swathpack.edge.codec.predictive.reference.tile import HOLE, Tile

Samples = NDArray[np.int32]
TRIED_LAYERS = 2
TRIED_HEIGHT = 64


def make_plan(tile: Tile, samples: Samples, max_error: list[int]) -> None:
    """All of the encoder's choices."""
    for b, band in enumerate(tile.bands):
        find_range(band, samples[b], tile.valid, max_error[b])
        if band.last:
            band.grid = find_grid(samples[b], tile.valid)
    tile.make_planes()
    for b in range(tile.n_bands):
        fill_plane(tile, b, samples[b])
    choose_structure(tile, max_error)
    for b, band in enumerate(tile.bands):
        if band.last:
            tile.build_refs(b, 0, tile.planes[b].height)
            choose_predictor(tile, b, max_error)
            if band.step(max_error[b]) == 1:
                choose_values(tile, b)


class Strips:
    """Strips of rows, band by band, as layers."""

    def __init__(self, tile: Tile, coder: Coder, max_error: list[int]) -> None:
        self.tile, self.coder, self.models = tile, coder, []
        for b, band in enumerate(tile.bands):
            tile.planes[b].start = band.start
            self.models.append(Model(band, tile.planes[b].width, band.step(max_error[b])))
            if tile.refined and not band.shift:
                place = tile.planes[b], tile.planes[b].width, band.scale, bool(band.refs)
                self.models[b].refiner = Refiner(*place)
            if band.copies:
                tile.cells[b] = np.full((tile.planes[b].height, tile.planes[b].width), HOLE, np.int8)

    def layer(self, number: int, given: Samples | None, out: Samples | None, since: NDArray[np.uint8] | None) -> None:
        """Codes one layer; decoding, what it wholly holds goes to `out`, and to `since` the layer, also before PayloadEnded."""
        tile = self.tile
        top, bottom = (tile.height * n // LAYERS for n in (number, number + 1))
        for b in tile.order:
            grid = tile.bands[b].grid
            first, end = grid.rows(tile.height, top), grid.rows(tile.height, bottom)
            tile.build_refs(b, first, end)
            for y in range(first, end):
                codes = self._codes(b, y, None if given is None else given[b])
                done = 0 if tile.bands[b].last else len(codes)
                try:
                    if tile.bands[b].last:
                        row = Row(tile, b, self.models[b], y, end)
                        row.code(self.coder, codes)
                        done = len(codes)
                except PayloadEnded:
                    done = row.done
                    raise
                finally:
                    if out is not None and since is not None:
                        self._store(b, y, codes[:done], out[b], since[b], number + 1)

    def _codes(self, b: int, y: int, samples: Samples | None) -> list[int | None]:
        columns = range(self.tile.planes[b].width)
        if samples is not None:
            return [cell_code(self.tile, b, samples, y, x) for x in columns]
        return [0 if self.tile.cell_is_valid(b, y, x) else None for x in columns]

    def _store(
        self, b: int, y: int, codes: list[int | None], out: Samples, since: NDArray[np.uint8], layer: int
    ) -> None:
        tile, band = self.tile, self.tile.bands[b]
        for x, code in enumerate(codes):
            for pixel in band.grid.pixels(y, x, tile.height, tile.width):
                since[pixel] = layer
                if code is not None and tile.valid[pixel]:
                    out[pixel] = band.low + band.gcd * code


def encode(
    samples: Samples, valid: NDArray[np.uint8], max_error: NDArray[np.int32], refined: bool = False
) -> CodedTile:
    """As Workspace.encode of predictive.native."""
    return smallest(
        lambda simple: _encode(samples, valid, max_error.tolist(), simple, refined), samples.size, max_error
    )


def encode_either(samples: Samples, valid: NDArray[np.uint8], max_error: NDArray[np.int32]) -> CodedTile:
    """As Workspace.encode_either of predictive.native."""
    return smallest(
        lambda simple: either(lambda refined: _encode(samples, valid, max_error.tolist(), simple, refined)),
        samples.size,
        max_error,
    )


def _encode(samples: Samples, valid: NDArray[np.uint8], errors: list[int], simple: bool, refined: bool) -> CodedTile:
    marks, payload = _coded(samples, valid, errors, simple, refined, LAYERS)
    tried = (0, 0)
    if refined and samples.shape[1] >= TRIED_HEIGHT:
        plain = _coded(samples, valid, errors, simple, False, TRIED_LAYERS)[0]
        tried = (plain[-1].settled, marks[TRIED_LAYERS - 1].settled)
    sizes = np.array([0, *(prefix(m, payload) for m in marks)], np.int64)
    return CodedTile(payload, sizes, refined, tried)


def _coded(
    samples: Samples, valid: NDArray[np.uint8], errors: list[int], simple: bool, refined: bool, layers: int
) -> tuple[list[Mark], bytes]:
    tile, coder = Tile(samples.shape, valid), Coder()
    tile.simple, tile.refined = simple, refined
    make_plan(tile, samples, errors)
    code_plan(coder, tile)
    strips = Strips(tile, coder, errors)
    marks: list[Mark] = []
    for number in range(layers):
        strips.layer(number, samples, None, None)
        marks.append(coder.mark())
    return marks, coder.finish()


def decode(
    payload: bytes,
    shape: tuple[int, int, int],
    valid: NDArray[np.uint8],
    max_error: NDArray[np.int32],
    refined: bool = False,
) -> Decoded:
    """As Workspace.decode of predictive.native."""
    tile, coder, layers = Tile(shape, valid), Coder(payload), 0
    tile.refined = refined
    samples, since = np.zeros(shape, np.int32), np.zeros(shape, np.uint8)
    try:
        code_plan(coder, tile)
        tile.make_planes()
        strips = Strips(tile, coder, max_error.tolist())
        for number in range(LAYERS):
            strips.layer(number, None, samples, since)
            layers += 1
    except PayloadEnded:
        pass
    return Decoded(samples, since, layers)
