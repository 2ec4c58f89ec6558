"""What the transform coder's bit planes start from: probabilities, how far to trust them, mixing weights.

    python -m swathpack.codec.train_transform_coder ../shared/data --out swathpack/edge/codec/transform_coder/model.npz
    python -m swathpack.codec.train_transform_coder ../shared/data --estimates    # those alone: old payloads stay readable
    python -m swathpack.codec.train_transform_coder ../shared/data --trellis      # what a trellis has besides: likewise
    python -m swathpack.codec.train_transform_coder ../shared/data --beside       # what is beside an earlier date: likewise

Codes crops of the training cubes in several band sets and looks at what every adaptive state had become at the end of
each: its probability starts as the mean of the log-odds, and counts as many observations as their spread from crop to
crop is worth. Two rounds, the second from the first one's result. Then the tables of the estimates (fit_estimates.py),
from every third crop at a finer step, what the trellis has of its own (fit_trellis.py), and what there is beside an earlier date
(fit_beside.py). Minutes on one core; prints bits before
and after.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.atomic import replaced
from swathpack.codec.fit_beside import Model, dated_crops, evened
from swathpack.codec.fit_estimates import fit_estimates
from swathpack.codec.fit_trellis import Sample, fit_costs, fit_trellis_estimates, samples_of
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder import bitplane, native
from swathpack.edge.codec.transform_coder.layout import Layout
from swathpack.edge.codec.transform_coder.reference_contexts import (
    MAX_INPUTS,
    MIXED_AGES,
    SET_CELL,
    SET_NEW,
    SET_REFINE,
)
from swathpack.edge.codec.transform_coder.tile import coefficients_of
from swathpack.edge.codec.transform_coder.trellis import scaled_indices
from swathpack.edge.digests import bytes_digest

SETS = (("B08",), ("B02", "B03", "B04"), ("B02", "B03", "B04", "B08"), BANDS)
SIDES = (256, 256, 256, 128, 96)
FINEST_STEP = 16.0  # DN; contexts are relative to a plane's threshold, so finer planes would teach the same
ESTIMATED_STEP, ESTIMATED_EVERY = 1.0, 3  # of the crops that estimates are fitted to
TRELLIS_EVERY = 3
# Sets of weights that a trellis has twice of its own: of significance, of new cells, of refinement.
TURNING_SETS = ((0, SET_CELL), (SET_NEW, SET_NEW + 3), (SET_REFINE, SET_REFINE + MIXED_AGES))
MOST_OF_A_CROP = 64  # observations of a state: large crops do not drown the others
MOST_TRUST = 40
DULL = "eotdl-ships"  # many patches of one harbour: every fifth


@dataclass(frozen=True, eq=False)
class Crop:
    """Coefficients of a crop as the bit-plane coder takes them."""

    layout: Layout
    planes: int
    values: NDArray[np.int32]


def crops(folder: Path, seed: int = 0, finest_step: float = FINEST_STEP) -> Iterator[Crop]:
    """One date and window of every train cube for every band set that it has, all its bands, and one band alone."""
    rng = np.random.default_rng(seed)
    entries = [e for e in json.loads((folder / "catalog.json").read_text()) if e["split"] == "train"]
    dull = 0
    for entry in entries:
        dull += DULL in entry["file"]
        if DULL in entry["file"] and dull % 5:
            continue
        with np.load(folder / entry["file"]) as archive:
            names, data = [str(b) for b in archive["bands"]], archive["data"]
        sets = [*(s for s in SETS if set(s) <= set(names)), tuple(names), (names[rng.integers(len(names))],)]
        for bands in dict.fromkeys(sets):
            side = int(rng.choice(SIDES))
            top, left = (int(rng.integers(max(1, n - side + 1))) for n in data.shape[2:])
            index = [names.index(b) for b in bands]
            tile = data[rng.integers(len(data))][index, top : top + side, left : left + side]
            if len(tile) <= 16 and (tile == 0).mean() < 0.02:
                yield Crop(*coefficients_of(tile, bands if set(bands) <= set(BANDS) else None, finest_step))


def learn(ended: Iterator[Model], model: Model) -> Model:
    """A model from how every crop ended that was coded with the last one."""
    shape = len(model[0])
    total, squares, seen, tries = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    weight_sum, weight_count = np.zeros(len(model[1])), np.zeros(len(model[1]))
    for states, weights in ended:
        count = np.clip(states[:, 1].astype(np.float64) - model[0][:, 1], 0, MOST_OF_A_CROP)
        p = np.clip(states[:, 0] / 65536, 1e-4, 1 - 1e-4)
        odds = np.log(p / (1 - p))
        total, squares = total + count * odds, squares + count * odds**2
        seen, tries = seen + count, tries + (count > 0)
        changed = weights != model[1]
        weight_sum, weight_count = weight_sum + np.where(changed, weights, 0), weight_count + changed
    mean = total / np.maximum(seen, 1)
    spread = squares / np.maximum(seen, 1) - mean**2
    p = 1 / (1 + np.exp(-mean))
    # n observations know the log-odds to a variance of 1 / (n p (1 - p)).
    trust = np.where(tries >= 3, 1 / np.maximum(spread * p * (1 - p), 1e-4), 1.5)
    states = np.stack(
        [np.clip(np.rint(p * 65536), 32, 65504), np.where(seen > 0, np.clip(np.rint(trust), 0, MOST_TRUST), 0)]
    )
    weights = np.where(weight_count > 0, weight_sum / np.maximum(weight_count, 1), model[1])
    return np.ascontiguousarray(states.T, np.uint16), np.rint(weights).astype(np.int32)


def ends(tiles: list[Crop], model: Model) -> Iterator[Model]:
    """What the model had become behind all planes of each crop."""
    for tile in tiles:
        layout = tile.layout
        yield native.learned(layout.subbands, layout.n_values, layout.n_cells, tile.planes, model, tile.values)


def trellis_ends(samples: list[Sample], costs: NDArray[np.float32], model: Model) -> Iterator[Model]:
    """The same behind a trellis."""
    for sample in samples:
        values, planes = scaled_indices(sample.indices(costs))
        yield native.learned(*sample.given(model, planes), values, True)


def unlearned() -> Model:
    """Even chances and equal weights."""
    states, weights = native.constants()[:2]
    start = np.zeros((states, 2), np.uint16)
    start[:, 0] = 32768
    return start, np.full(weights, 5734, np.int32)


def total_bytes(tiles: list[Crop], model: Model) -> int:
    """Of all crops, all planes."""
    none = np.zeros(0, np.uint64)
    return sum(
        len(
            native.encode(
                t.layout.subbands, t.layout.n_values, t.layout.n_cells, t.planes, model, t.values, 1 << 30, none
            )[0]
        )
        for t in tiles
    )


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("--out", type=Path, default=bitplane.MODEL_FILE, help="default %(default)s")
    parser.add_argument("--estimates", action="store_true", help="fit the estimates alone, keep the rest of --out")
    parser.add_argument(
        "--trellis", action="store_true", help="fit what the trellis has of its own, keep the rest of --out"
    )
    parser.add_argument(
        "--beside", action="store_true", help="fit what is beside an earlier date alone, keep the rest of --out"
    )
    args = parser.parse_args()
    whole = not args.estimates and not args.trellis and not args.beside
    parts: dict[str, NDArray[np.generic]] = {} if whole else dict(bitplane.archived())
    model = trained(args.folder) if whole else (bitplane.model()[0], bitplane.model()[1])
    fine = [] if args.beside else list(crops(args.folder, finest_step=ESTIMATED_STEP))
    if whole or args.estimates:
        some = fine[::ESTIMATED_EVERY]
        parts["estimates"] = fit_estimates(((crop.layout, crop.planes, crop.values) for crop in some), model)
    if whole or args.trellis:
        parts |= trellis_parts(fine, model)
    if whole or args.beside:
        known = (parts["states"].astype(np.uint16), parts["weights"].astype(np.int32)) if "states" in parts else model
        costs = np.asarray(parts["trellis_costs"].astype(np.float32) / bitplane.COST_UNITS, np.float32)
        parts["states"], parts["weights"] = beside_parts(args.folder, known, costs)
    parts.setdefault("states", model[0])
    parts.setdefault("weights", model[1])
    with replaced(args.out) as part:
        np.savez_compressed(part, **parts)  # type: ignore[arg-type]
    print(f"digest for {bitplane.__name__}.MODEL_DIGEST: {bytes_digest(args.out.read_bytes()).hex()}")
    return 0


def trellis_parts(fine: list[Crop], model: Model) -> dict[str, NDArray[np.generic]]:
    """What a trellis has of its own, states and weights among those of the bit planes, which stay as they are."""
    samples = list(samples_of([(crop.layout, crop.values) for crop in fine[::TRELLIS_EVERY]]))
    costs, found = fit_costs(samples), with_turns(model)
    state, weight, last_state, last_weight = native.constants()[3:]
    for _ in range(2):
        states, weights = learn(trellis_ends(samples, costs, found), found)
        found[0][state:last_state] = states[state:last_state]
        found[1][weight:last_weight] = weights[weight:last_weight]
    print(f"trellis: {len(samples)} crops and steps")
    return {
        "states": found[0],
        "weights": found[1],
        "trellis_estimates": fit_trellis_estimates(samples, costs, found),
        "trellis_costs": np.rint(costs * bitplane.COST_UNITS).astype(np.int16),
    }


def with_turns(model: Model) -> Model:
    """The model with states of even chances and the weights of the bit planes, by quantiser, where a trellis has its own."""
    plain_states, plain_weights, end_states, end_weights = native.constants()[3:]
    states, weights = model[0].copy(), model[1].copy()
    states[plain_states:end_states] = 32768, 0
    sets = model[1][:plain_weights].reshape(-1, MAX_INPUTS)
    twice = [np.tile(sets[start:stop], (2, 1)) for start, stop in TURNING_SETS]
    for rows, unused in zip(twice, (3, 3, 2)):
        rows[:, unused] = 0  # the input that only a trellis has
    weights[plain_weights:end_weights] = np.concatenate(twice).ravel()
    return states, weights


def beside_parts(folder: Path, model: Model, costs: NDArray[np.float32]) -> Model:
    """States and weights beside an earlier date among those of the bit planes, which stay as they are. Prints bytes."""
    dated, found = list(dated_crops(folder)), evened(model)
    state, weight = native.constants()[5:]
    print(f"beside a date: {len(dated)} crops, {sum(crop.bytes(found) for crop in dated):,} bytes from even chances")
    for _ in range(2):
        states, weights = learn((end for crop in dated for end in crop.ends(found, costs)), found)
        found[0][state:], found[1][weight:] = states[state:], weights[weight:]
        print(f"{sum(crop.bytes(found) for crop in dated):,} bytes")
    return found


def trained(folder: Path) -> Model:
    """Two rounds; prints bits."""
    tiles, model = list(crops(folder)), unlearned()
    print(f"{len(tiles)} crops, {total_bytes(tiles, model):,} bytes from even chances")
    for _ in range(2):
        model = learn(ends(tiles, model), model)
        print(f"{total_bytes(tiles, model):,} bytes")
    return model


if __name__ == "__main__":
    raise SystemExit(main())
