"""What bit planes start from beside an earlier date: training cubes of several dates, each date beside one as a decoder has it.

Windows of two dates of a cube in several band sets and at several rates: the earlier one coded alone and decoded, the later one with and
without gains, up to the length aimed at, and once more with a trellis of about that length.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder import counts_of, decode_tile, encode_tile, native
from swathpack.edge.codec.transform_coder.against import beside_of
from swathpack.edge.codec.transform_coder.bitplane import FRACTION
from swathpack.edge.codec.transform_coder.date_values import Beside
from swathpack.edge.codec.transform_coder.layout import Layout
from swathpack.edge.codec.transform_coder.reference_contexts import MAX_INPUTS
from swathpack.edge.codec.transform_coder.trellis import WORTH, scaled_indices

SETS = (("B02", "B03", "B04", "B08"), ("B02", "B03", "B04"))
SIDES = (256, 192, 128, 96, 64)
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0)  # bits a sample
PICKS = 4  # of dates, windows and rates a cube and band set
LEAST_BYTES, MOST_BANDS = 30, 16
STEP_ERRORS = 2.0  # finest step over the date's error at the same rate: all planes take about the length aimed at
TRELLIS_STEP = 0.6  # of the finest step: about as many bytes

Model = tuple[NDArray[np.uint16], NDArray[np.int32]]


@dataclass(frozen=True, eq=False)
class Dated:
    """Coefficients of a crop as the bit-plane coder takes them, beside a date."""

    layout: Layout
    planes: int
    values: NDArray[np.int32]
    beside: Beside

    def ends(self, model: Model, costs: NDArray[np.float32]) -> Iterator[Model]:
        """What a model had become behind the crop, and behind it with a trellis."""
        given = self.layout.subbands, self.layout.n_values, self.layout.n_cells
        yield native.learned(*given, self.planes, model, self.values, False, self.beside)
        sizes = (self.values / (1 << FRACTION)).astype(np.float32)
        indices = native.choose_indices(self.layout.subbands, sizes, TRELLIS_STEP, WORTH, costs)
        values, planes = scaled_indices(indices)
        date = np.rint(self.beside.values / (2 * TRELLIS_STEP)).astype(np.int32)
        yield native.learned(*given, planes, model, values, True, Beside(date, self.beside.predicted))

    def bytes(self, model: Model) -> int:
        """All planes."""
        given = self.layout.subbands, self.layout.n_values, self.layout.n_cells, self.planes, model, self.values
        none = np.zeros(0, np.uint64)
        return len(native.encode(*given, 4 * len(self.values) + 4096, none, None, False, self.beside)[0])


def dated_crops(folder: Path, seed: int = 2) -> Iterator[Dated]:
    """Of every training cube with several dates."""
    rng = np.random.default_rng(seed)
    for entry in json.loads((folder / "catalog.json").read_text()):
        if entry["split"] != "train":
            continue
        with np.load(folder / entry["file"]) as archive:
            if len(archive["data"]) < 2:
                continue
            names, data = [str(b) for b in archive["bands"]], archive["data"]
        sets = [*(s for s in SETS if set(s) <= set(names)), tuple(b for b in names if b != "B10")]
        for bands in dict.fromkeys([*sets, (names[rng.integers(len(names))],)]):
            if len(bands) <= MOST_BANDS:
                index = [names.index(b) for b in bands]
                known = bands if set(bands) <= set(BANDS) else None
                for _ in range(PICKS):
                    yield from _picked(data[:, index], known, rng)


def _picked(data: NDArray[np.uint16], names: tuple[str, ...] | None, rng: np.random.Generator) -> Iterator[Dated]:
    side, rate = int(rng.choice(SIDES)), float(rng.choice(RATES))
    top, left = (int(rng.integers(max(1, n - side + 1))) for n in data.shape[2:])
    later = int(rng.integers(1, len(data)))
    first, tile = (data[n, :, top : top + side, left : left + side] for n in (later - 1, later))
    aim = max(int(rate * tile.size / 8), LEAST_BYTES)
    if (tile == 0).mean() > 0.02 or (first == 0).mean() > 0.5:
        return
    coded = encode_tile(first, names=names, max_bytes=aim)
    date = counts_of(decode_tile(coded.payload, first.shape, names).samples)
    error = float(np.sqrt(((date.astype(np.float64) - first) ** 2).mean()))
    for found in beside_of(tile, names, max(STEP_ERRORS * error, 1.0), aim, date):
        yield Dated(*found)


def evened(model: Model) -> Model:
    """A model with even chances beside a date, and with the weights that bit planes have without one, of its own inputs none."""
    states, weights = model[0].copy(), model[1].copy()
    first_state, first_weight = native.constants()[5:]
    states[first_state:] = 32768, 0
    sets = weights.reshape(3, first_weight // MAX_INPUTS, MAX_INPUTS)
    sets[1:] = sets[0]
    return states, weights
