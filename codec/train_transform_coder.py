"""What the transform coder's bit planes start from: probabilities, how far to trust them, mixing weights.

    python -m swathpack.codec.train_transform_coder ../shared/data --out swathpack/edge/codec/transform_coder/model.npz
    python -m swathpack.codec.train_transform_coder ../shared/data --estimates    # those alone: old payloads stay readable

Codes crops of the training cubes in several band sets and looks at what every adaptive state had become at the end of
each: its probability starts as the mean of the log-odds, and counts as many observations as their spread from crop to
crop is worth. Two rounds, the second from the first one's result. Then the tables of the estimates (fit_estimates.py),
from every third crop at a finer step. Minutes on one core; prints bits before and after.
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
from swathpack.codec.fit_estimates import fit_estimates
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder import bitplane, native
from swathpack.edge.codec.transform_coder.layout import Layout
from swathpack.edge.codec.transform_coder.tile import coefficients_of
from swathpack.edge.digests import bytes_digest

SETS = (("B08",), ("B02", "B03", "B04"), ("B02", "B03", "B04", "B08"), BANDS)
SIDES = (256, 256, 256, 128, 96)
FINEST_STEP = 16.0  # DN; contexts are relative to a plane's threshold, so finer planes would teach the same
ESTIMATED_STEP, ESTIMATED_EVERY = 1.0, 3  # of the crops that estimates are fitted to
MOST_OF_A_CROP = 64  # observations of a state: large crops do not drown the others
MOST_TRUST = 40
DULL = "eotdl-ships"  # many patches of one harbour: every fifth

Model = tuple[NDArray[np.uint16], NDArray[np.int32]]


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


def learn(tiles: list[Crop], model: Model) -> Model:
    """A model from how every crop ended that was coded with the last one."""
    shape = len(model[0])
    total, squares, seen, tries = np.zeros(shape), np.zeros(shape), np.zeros(shape), np.zeros(shape)
    weight_sum, weight_count = np.zeros(len(model[1])), np.zeros(len(model[1]))
    for tile in tiles:
        layout = tile.layout
        states, weights = native.learned(
            layout.subbands, layout.n_values, layout.n_cells, tile.planes, model, tile.values
        )
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


def unlearned() -> Model:
    """Even chances and equal weights."""
    states, weights, _ = native.constants()
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
    args = parser.parse_args()
    model = bitplane.model()[:2] if args.estimates else trained(args.folder)
    fine = list(crops(args.folder, finest_step=ESTIMATED_STEP))[::ESTIMATED_EVERY]
    tables = fit_estimates(((crop.layout, crop.planes, crop.values) for crop in fine), model)
    with replaced(args.out) as part:
        np.savez_compressed(part, states=model[0], weights=model[1], estimates=tables)
    print(f"digest for {bitplane.__name__}.MODEL_DIGEST: {bytes_digest(args.out.read_bytes()).hex()}")
    return 0


def trained(folder: Path) -> Model:
    """Two rounds; prints bits."""
    tiles, model = list(crops(folder)), unlearned()
    print(f"{len(tiles)} crops, {total_bytes(tiles, model):,} bytes from even chances")
    for _ in range(2):
        model = learn(tiles, model)
        print(f"{total_bytes(tiles, model):,} bytes")
    return model


if __name__ == "__main__":
    raise SystemExit(main())
