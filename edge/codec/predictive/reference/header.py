"""The plan of a tile in the payload, for both directions: header.c in plain Python."""

from __future__ import annotations

from collections import defaultdict

from swathpack.edge.codec.predictive.reference.coder import Bit, Coder, numbers, refuse_unless
from swathpack.edge.codec.predictive.reference.tile import (
    FINE_LIMIT,
    LEAST_WEIGHT_BITS,
    MAP_BLOCK,
    MAP_LIMIT,
    MAX_REFS,
    SHARED_LIMIT,
    TAP_SETS,
    WEIGHT_BITS,
    WEIGHT_LIMIT,
    Band,
    Grid,
    Tile,
)

_ONE_PIXEL, _AS_BEFORE, _OTHER = range(3)
_OFFSET, _LIMIT = 1 << 15, 1 << 16


class _Header:
    def __init__(self, coder: Coder, tile: Tile) -> None:
        self.coder, self.tile = coder, tile
        self.numbers: dict[str, list[Bit]] = defaultdict(numbers)
        self.bits: dict[str | int, Bit] = defaultdict(Bit)
        self.before = Grid()

    def _limited(self, name: str, value: int, limit: int) -> int:
        return self.coder.limited(self.numbers[name], value, limit)

    def range(self, band: Band) -> None:
        band.low = self._limited("low", band.low + _OFFSET, _OFFSET + _LIMIT - 1) - _OFFSET
        band.last = self._limited("last", band.last, _LIMIT - 1)
        band.gcd = self._limited("gcd", band.gcd - 1, _LIMIT - 1) + 1 if band.last else 1
        refuse_unless(band.gcd * band.last + band.low < _LIMIT)
        band.shift = int(band.last >= 1 << 15)

    def grid(self, band: Band) -> None:
        kind = _OTHER if band.grid != self.before else _AS_BEFORE
        kind = self._limited("kind", _ONE_PIXEL if band.grid == Grid() else kind, _OTHER)
        if kind == _OTHER:
            fy = self._limited("grid", band.grid.fy - 1, self.tile.height - 1) + 1
            fx = self._limited("grid", band.grid.fx - 1, self.tile.width - 1) + 1
            oy = self._limited("grid", band.grid.oy, fy - 1)
            self.before = Grid(fy, fx, oy, self._limited("grid", band.grid.ox, fx - 1))
        band.grid = Grid() if kind == _ONE_PIXEL else self.before

    def list(self, band: Band) -> None:
        """Which codes pixels have, block by block where that is worth it, and how the lowest bits are coded."""
        small = band.last < MAP_LIMIT
        band.listed = self.coder.bit(self.bits["listed"], band.listed) if small else 0
        band.fine = self._limited("fine", band.fine, FINE_LIMIT) if small else 0
        band.shared = self._limited("fine", band.shared, SHARED_LIMIT) if band.fine else 0
        if not band.listed:
            band.used = []
            return
        given, band.used, history = band.used, [], 31
        for start in range(0, band.last + 1, MAP_BLOCK):
            block = given[start : start + MAP_BLOCK]
            some = self.coder.bit(self.bits["block"], int(0 in block))
            for i in range(start, min(start + MAP_BLOCK, band.last + 1)):
                used = self.coder.bit(self.bits[history], given[i] if given else 0) if some else 1
                band.used.append(used)
                history = 2 * history + used & 31
        refuse_unless(1 in band.used)

    def order(self) -> None:
        left = list(range(self.tile.n_bands))
        for i, band in enumerate(self.tile.order):
            place = left.index(band) if self.coder.encoding else 0
            self.tile.order[i] = left.pop(self._limited("order", place, len(left) - 1))

    def references(self, i: int, band: Band) -> None:
        earlier = self.tile.order[:i]
        count = self._limited("n_refs", len(band.refs), min(i, MAX_REFS))
        given, band.refs = band.refs, []
        for k in range(count):
            back = i - earlier.index(given[k]) if self.coder.encoding else 1
            band.refs.append(earlier[i - 1 - self._limited("refs", back - 1, i - 1)])
            refuse_unless(self.tile.bands[band.refs[-1]].last > 0)

    def copies(self, i: int, band: Band) -> None:
        band.copies = self.coder.bit(self.bits["copies"], band.copies)
        if not band.copies:
            return
        back = i - self.tile.order.index(band.cells_from) if band.cells_from >= 0 else 0
        back = self._limited("cells", back, i)
        band.cells_from = self.tile.order[i - back] if back else -1
        if back:
            other = self.tile.bands[band.cells_from]
            refuse_unless(other.copies == 1 and other.grid == band.grid)

    def predictor(self, band: Band) -> None:
        band.start = self._limited("start", band.start, band.last >> band.shift)
        band.scale = self._limited("scale", band.scale, 15)
        band.tap_set = self._limited("tap_set", band.tap_set, TAP_SETS - 1)
        band.classes = 1 << self._limited("classes", band.classes.bit_length() - 1, 2)
        band.phased = self.coder.bit(self.bits["phased"], band.phased) if band.classes > 1 else 0
        count = 0 if band.phased else band.classes - 1
        given = band.threshold or [0] * count
        band.threshold = [self._limited("threshold", given[i], 127) for i in range(count)]
        drop = self._limited("weight_bits", WEIGHT_BITS - band.weight_bits, WEIGHT_BITS - LEAST_WEIGHT_BITS)
        band.weight_bits = WEIGHT_BITS - drop
        units = band.exponent + [0] * (1 + len(band.refs) - len(band.exponent))
        band.exponent = [self._limited("exponent", e, WEIGHT_BITS) for e in units]

    def weights(self, band: Band) -> None:
        """Sets of weights; those of the second class on as differences from the class before."""
        given, band.weight = band.weight, []
        for c in range(band.classes):
            weights, before = {}, band.weight[c - 1] if c else {}
            for tap in band.taps():
                unit, old = 1 << band.exponent[tap[0]], before.get(tap, 0)
                wanted = given[c].get(tap, 0) if self.coder.encoding else 0
                step = self.coder.signed(self.numbers["ref" if tap[0] else "own"], (wanted - old) // unit)
                weights[tap] = old + step * unit
                refuse_unless(abs(weights[tap]) <= 32767)
            refuse_unless(sum(map(abs, weights.values())) <= WEIGHT_LIMIT)
            band.weight.append(weights)


def code_plan(coder: Coder, tile: Tile) -> None:
    """Ranges and grids of all bands, their order, then a predictor for each."""
    header = _Header(coder, tile)
    for band in tile.bands:
        header.range(band)
        if band.last:
            header.grid(band)
            header.list(band)
    header.order()
    for i, b in enumerate(tile.order):
        if tile.bands[b].last:
            header.references(i, tile.bands[b])
            header.copies(i, tile.bands[b])
            header.predictor(tile.bands[b])
            header.weights(tile.bands[b])
