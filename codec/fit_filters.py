"""Least squares over training crops: what `swathpack.codec.filters` adds to the pixels of transform tiles.

    python -m swathpack.codec.fit_filters ../shared/data --out codec/filters.npz

Crops of training cubes, one band and four or twelve, are coded at 0.02 to 2 bits a sample as files have it (with the trellis where
that has less error, and some without, as flies), half of them by weights of the bands. A class of tiles gets what is fitted to all of
them, drawn towards its own. Then places are split in FOLDS parts, each judged by filters that are fitted to the others: classes
keep as much of their filters as helps there, where a part that loses counts more than one that gains. Prints the change of
squared error that this tells of. Some ten minutes of one core.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from zlib import crc32

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.atomic import replaced
from swathpack.codec.filters import (
    CLASSES,
    DIRECTIONS,
    LEAST_STEP,
    MOST_STEP,
    SHAPE,
    TAPS,
    TILES,
    UNIT,
    WEIGHT_BITS,
    Cells,
    Pixels,
    classes_of,
    taken,
    taps_of,
)
from swathpack.codec.seams import power_of_two
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder import DecodedTile, decode_tile, encode_tile, refine_payload, weights_for

SETS: tuple[tuple[str, ...], ...] = (("B08",), ("B02", "B03", "B04", "B08"), BANDS)
RATES = ((0.02, 0.05, 0.1, 0.2), (0.5, 1.0), (2.0,))  # bits a sample, where weights of bands are chosen alike
SIDE, LEAST_SIDE = 256, 96
CROWD, CROWDED = 3, ("rome146", "oriolac_cr", "eotdl-ships")  # every third of many and alike
PLAIN = 3  # every third example has no trellis
BANDS_SEEN = 4  # of an example, by chance
FOLDS = 8
DAMPING, SHARED_ALL, SHARED = 1e-3, 300, 20_000  # of the mean energy; places as many as the class above counts for
LEAST_SEEN = 50
LEAST_PLACES = 5  # that a class of tiles was seen at; below that nothing is added
KEPT = (0.0, 0.25, 0.5, 0.75, 1.0)  # of what is fitted
LOSS = 4.0  # times what a part of the places loses counts
MOST_WEIGHT = 32767


@dataclass(frozen=True, eq=False)
class Example:
    """A crop (C, H, W) and what is decoded of it, samples and steps. place: what it is held out with."""

    place: str
    original: NDArray[np.uint16]
    samples: Pixels
    steps: tuple[int, ...]


class Squares:
    """Normal equations by fold, class of tile and class of place."""

    def __init__(self, folds: int = FOLDS) -> None:
        shape = (folds, TILES, CLASSES)
        self.energy, self.wanted = np.zeros((*shape, TAPS, TAPS)), np.zeros((*shape, TAPS))
        self.seen = np.zeros(shape, np.int64)
        self.places: list[set[str]] = [set() for _ in range(TILES)]

    def add(self, one: Example, bands: Sequence[int]) -> None:
        """Bands of an example; each counts by the inverse of its error."""
        fold = crc32(one.place.encode()) % len(self.seen)
        valid = np.ones(one.original.shape[1:], np.bool_)
        for band in bands:
            step = one.steps[band]
            cells = Cells.of(one.samples[band], valid, step) if LEAST_STEP <= step <= MOST_STEP else None
            if cells is not None:
                missed = np.asarray(one.original[band] - one.samples[band], np.float32)
                tile, classes = classes_of(cells)
                self.places[tile].add(one.place)
                found = taken(cells.grid, missed) * np.float32(UNIT * power_of_two(-2 * cells.step))
                self._band(fold, tile, classes, cells, found)

    def _band(self, fold: int, tile: int, classes: NDArray[np.intp], cells: Cells, missed: Pixels) -> None:
        """missed (h, w) units."""
        weight = UNIT * UNIT / max(float(np.square(missed, dtype=np.float64).sum()), 1.0)
        rows = np.stack([tap.ravel() for tap in taps_of(cells)]).astype(np.float32) / UNIT
        order = np.argsort(classes, axis=None, kind="stable")
        rows, target, found = rows[:, order], missed.ravel()[order] / UNIT, classes.ravel()[order]
        for start, stop in _runs(found):
            place, part = (fold, tile, found[start]), rows[:, start:stop].astype(np.float64)
            self.energy[place] += weight * (part @ part.T)
            self.wanted[place] += weight * (part @ target[start:stop])
            self.seen[place] += stop - start

    def without(self, fold: int) -> Squares:
        """All but one fold, as one."""
        out = Squares(1)
        for own, all_folds in ((out.energy, self.energy), (out.wanted, self.wanted), (out.seen, self.seen)):
            own[0] = all_folds[:fold].sum(0) + all_folds[fold + 1 :].sum(0)
        return out

    def solved(self) -> NDArray[np.float64]:
        """SHAPE, of all folds."""
        energy, wanted, seen = self.energy.sum(0), self.wanted.sum(0), self.seen.sum(0)
        everywhere = _least(energy.sum((0, 1)), wanted.sum((0, 1)), DAMPING, np.zeros(TAPS))
        out = np.zeros(SHAPE)
        for c in np.flatnonzero(seen.sum(0) >= LEAST_SEEN):
            share = DAMPING + SHARED_ALL / seen[:, c].sum()
            common = _least(energy[:, c].sum(0), wanted[:, c].sum(0), share, everywhere)
            for tile in np.flatnonzero(seen[:, c]):
                share = DAMPING + SHARED / seen[tile, c]
                out[tile, c] = _least(energy[tile, c], wanted[tile, c], share, common)
        return out


def _runs(values: NDArray[np.intp]) -> list[tuple[int, int]]:
    """Starts and ends of equal values in a sorted array."""
    ends = [*(np.flatnonzero(np.diff(values)) + 1).tolist(), len(values)]
    return list(zip([0, *ends], ends))


def _least(
    energy: NDArray[np.float64], wanted: NDArray[np.float64], share: float, near: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Least squares, drawn towards `near` by a share of the mean energy."""
    pull = share * np.trace(energy) / TAPS
    return np.asarray(np.linalg.solve(energy + pull * np.eye(TAPS), wanted + pull * near)) if pull else near


def fit_filters(sums: Squares) -> tuple[NDArray[np.int16], float]:
    """The weights, SHAPE, in 1 / 2^WEIGHT_BITS; by how much the squared error falls on places that are held out, with what
    is kept, where that of an example's band is 1.
    """
    groups, helped, spent = (TILES, CLASSES // DIRECTIONS, DIRECTIONS), [], []
    for fold in range(len(sums.seen)):
        found = sums.without(fold).solved()
        helped.append(np.einsum("tcx,tcx->tc", found, sums.wanted[fold]).reshape(groups).sum(2))
        spent.append(np.einsum("tcx,tcxy,tcy->tc", found, sums.energy[fold], found).reshape(groups).sum(2))
    gains = np.stack([2 * k * np.array(helped) - k * k * np.array(spent) for k in KEPT])  # (KEPT, folds, tiles, lively)
    best = np.where(gains < 0, LOSS * gains, gains).sum(1).argmax(0)
    best[[len(places) < LEAST_PLACES for places in sums.places]] = 0
    weights = sums.solved() * np.repeat(np.array(KEPT)[best], DIRECTIONS, axis=1)[..., None]
    gain = float(np.take_along_axis(gains.sum(1), best[None], axis=0).sum())
    return np.clip(np.rint(weights * (1 << WEIGHT_BITS)), -MOST_WEIGHT, MOST_WEIGHT).astype(np.int16), gain


def examples(folder: Path) -> Iterator[tuple[Example, list[int]]]:
    """Of all training cubes of a folder with catalog.json, and the bands of each that count."""
    entries = [e for e in json.loads((folder / "catalog.json").read_text()) if e["split"] == "train"]
    for entry in entries:
        name, number = Path(entry["file"]).stem, crc32(entry["file"].encode())
        if min(entry["H"], entry["W"]) < LEAST_SIDE or (any(c in name for c in CROWDED) and number % CROWD):
            continue
        with np.load(folder / entry["file"]) as archive:
            data, bands = archive["data"], [str(b) for b in archive["bands"]]
        rng = np.random.default_rng(number)
        for _ in range(_crops_of(entry)):
            crop = _crop(data, rng)
            sets = (SETS[0], SETS[1 + int(rng.integers(2))])
            for names in sets if crop.any(axis=0).all() else ():
                if set(names) <= set(bands):
                    part = np.ascontiguousarray(crop[[bands.index(n) for n in names]])
                    place = "rome146" if "rome146" in name else str(entry["group"])  # 40 km, in many patches
                    for one in drawn(place, part, names, rng):
                        yield one, rng.permutation(len(names))[:BANDS_SEEN].tolist()


def _crops_of(entry: dict[str, int]) -> int:
    """More of what is large or a series."""
    area = entry["H"] * entry["W"]
    return 3 if area > 400_000 else 2 if area > 120_000 or entry["T"] > 4 else 1


def _crop(data: NDArray[np.uint16], rng: np.random.Generator) -> NDArray[np.uint16]:
    """(C, h, w) of any date of (T, C, H, W)."""
    date = int(rng.integers(len(data)))
    tops = [int(rng.integers(max(side - SIDE, 0) + 1)) for side in data.shape[2:]]
    return np.asarray(data[date][:, tops[0] : tops[0] + SIDE, tops[1] : tops[1] + SIDE])


def drawn(place: str, part: NDArray[np.uint16], names: Sequence[str], rng: np.random.Generator) -> Iterator[Example]:
    """A crop (C, H, W) at all rates that it reaches."""
    valid, choice = np.ones(part.shape[1:], np.bool_), str(rng.choice(("auto", "equal")))
    for rates in RATES:
        weights = weights_for(choice, names, rates[-1], part, valid)
        coded = encode_tile(part, valid, names, max_bytes=int(1.2 * rates[-1] * part.size / 8), weights=weights)
        for rate in rates:
            payload = coded.payload[: int(rate * part.size / 8)]
            found = _best(payload, part, names, bool(rng.integers(PLAIN)))
            if len(payload) == int(rate * part.size / 8) and found.started:
                yield Example(place, part, found.samples, found.steps)


def _best(payload: bytes, part: NDArray[np.uint16], names: Sequence[str], trellis: bool) -> DecodedTile:
    shape = (part.shape[0], part.shape[1], part.shape[2])
    found = [decode_tile(payload, shape, names)]
    refined = refine_payload(payload, part, np.ones(shape[1:], np.bool_), names) if trellis else None
    if refined is not None:
        found.append(decode_tile(refined, shape, names))
    return min(found, key=lambda tile: float(np.square(tile.samples - part).sum(dtype=np.float64)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with catalog.json")
    parser.add_argument("--out", type=Path, required=True, help="the file to write")
    args = parser.parse_args()
    sums, count = Squares(), 0
    for one, bands in examples(args.data):
        sums.add(one, bands)
        count += len(bands)
    weights, gain = fit_filters(sums)
    with replaced(args.out) as part:
        np.savez_compressed(part, weights=weights)
    print(f"{count} bands of examples, squared error x {1 - gain / count:.4f} on places that are held out")


if __name__ == "__main__":
    main()
