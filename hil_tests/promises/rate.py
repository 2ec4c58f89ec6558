"""Rate control on real series: bytes saved at equal true error against uniform layers, against greedy, and
against greedy that knows the true errors.

    python -m swathpack.hil_tests.promises rate --codec edge --size 24

Tiles of the validation cubes (../shared/data/val, or $SWATHPACK_DATA; 128x128 pixels, 64x64 of small cubes and of
series) are coded once, later dates against the dates before, and synthesised from every number of layers, so the
error is the true one. Every method is given budgets; for each the bytes that
it needs for the same total squared error are compared. Also: how well the estimated distortion follows the
true one, and the CPU time of planning 10,000 tiles.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import swathpack
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.rate import RatePlanner, allocate
from swathpack.edge.stream.quality import MAX_SHIFT
from swathpack.hil_tests.promises.rate_baselines import greedy_layers, uniform_layers

SIDE, DATES = 128, 4
BUDGET_SHARES = (0.05, 0.1, 0.2, 0.35, 0.5, 0.7)


@dataclass
class RateTables:
    """costs, estimated and true squared error, (N, 17) each; values: pixels times bands; inter: tiles with context."""

    costs: np.ndarray
    estimated: np.ndarray
    true: np.ndarray
    values: int
    inter: int = 0


def data_folder() -> Path:
    """$SWATHPACK_DATA, or shared/data beside the checkout; it need not exist."""
    return Path(os.environ.get("SWATHPACK_DATA", Path(swathpack.__file__).parents[1] / ".." / "shared" / "data"))


def real_tables(tiles: int, q: int, shift: int = MAX_SHIFT) -> RateTables:
    """Tiles of validation cubes with at least 12 bands, later dates against the date before; shift: most octaves to the
    base layer.
    """
    from swathpack.edge.bands import BANDS, normalise_names
    from swathpack.edge.codec.flight import FlightCodec
    from swathpack.edge.codec.layers import tile_decoder
    from swathpack.edge.codec.model import EdgeModel
    from swathpack.edge.codec.protocol import ContextLatent, TileKey, TilePixels
    from swathpack.edge.codec.tile_coder import CodedLatent

    model = EdgeModel()
    codec = FlightCodec(model, q, shift=shift)
    rows, values, inter = [], 0, 0
    for number, series in enumerate(_series(tiles, BANDS, normalise_names)):
        context: list[ContextLatent] = []
        for date, pixels in enumerate(series):
            key = TileKey(number, 1000 + date)
            coded = codec.encode(TilePixels(key, pixels, BANDS, pixels.any(axis=0)), context)
            decoder = tile_decoder(model.engine, model.tables, coded.coded.contexts, coded.q, coded.latent.shape[1:])
            assert isinstance(coded.coded, CodedLatent)
            decoder.decode(coded.coded.layers.payload(LAYERS), LAYERS)
            true = []
            for layers in range(LAYERS + 1):
                image = model.synthesise(decoder.reconstruction(layers))[:, : pixels.shape[1], : pixels.shape[2]]
                true.append(((image - pixels) ** 2)[:, pixels.any(axis=0)].sum(dtype=np.float64))
            rows.append((coded.prefix_bytes, coded.distortion, np.array(true)))
            values, inter = values + pixels.size, inter + bool(coded.refs)
            context = [ContextLatent.known(key, coded.q, LAYERS, coded.latent), *context][:2]
            if len(rows) >= tiles:
                break
        if len(rows) >= tiles:
            break
    costs, estimated, errors = (np.array(part) for part in zip(*rows))
    costs[:, 0] = 0
    return RateTables(costs, estimated, errors, values, inter)


def _series(tiles: int, bands: Sequence[str], normalise: Callable[[list[str]], Sequence[str]]) -> Iterator[np.ndarray]:
    """Series (T, 12, side, side) from all validation cubes in turn, one crop of each, then a second of each."""
    import json

    folder = data_folder()
    catalogue = json.loads((folder / "catalog.json").read_text())
    cubes = []
    for entry in catalogue:
        if entry["split"] != "val":
            continue
        with np.load(folder / entry["file"]) as cube:
            data = cube["data"]
            # Some products carry +1000; the codec works on values without it.
            if str(entry.get("boa_offset_1000", "")).startswith("yes"):
                data = np.where(data == 0, 0, np.maximum(data.astype(np.int32) - 1000, 1)).astype(np.uint16)
            names = normalise([str(b) for b in cube["bands"]])
        if all(b in names for b in bands) and min(data.shape[2:]) >= SIDE // 2:
            cubes.append(data[:, [names.index(b) for b in bands]])
    cubes.sort(key=lambda data: -len(data))  # series first: they are few
    for turn in range(4):
        for data in cubes:
            side = SIDE if min(data.shape[2:]) >= SIDE else SIDE // 2
            top = (turn // 2) * side % max(data.shape[2] - side + 1, 1)
            left = (turn % 2) * side % max(data.shape[3] - side + 1, 1)
            crop = data[:DATES, :, top : top + side, left : left + side]
            if crop.any(axis=1).mean() > 0.9:
                yield crop


def fake_tables(folder: Path, tiles: int) -> RateTables:
    """The fake codec on synthetic ground of very different roughness; its estimate is exact."""
    from swathpack.edge.codec.protocol import TileKey, TilePixels
    from swathpack.hil_tests.simulation.fake_codec import FakeTileCodec, synthesise
    from swathpack.hil_tests.simulation.two_ends import BANDS, acquire, scene

    codec, rows = FakeTileCodec(), []
    for i, ground in enumerate(scene(tiles, seed=4)):
        rough = 1500 + (ground - 1500) * 4.0 ** (i % 4 - 2)
        pixels = acquire(np.clip(rough, 1, 9000), 1)
        coded = codec.encode(TilePixels(TileKey(i, 1), pixels, BANDS, pixels[0] > 0), [])
        true = []
        for layers in range(LAYERS + 1):
            kept = coded.latent.copy()
            kept[layers * codec.channels // LAYERS :] = 0
            true.append(((synthesise(kept, codec.q, len(BANDS)) - pixels) ** 2).sum())
        rows.append((coded.prefix_bytes, coded.distortion, np.array(true)))
    costs, estimated, errors = (np.array(part) for part in zip(*rows))
    costs[:, 0] = 0
    return RateTables(costs, estimated, errors, tiles * pixels.size)


def bytes_at_error(tables: RateTables, method: Callable[..., np.ndarray], error: float) -> float:
    """Smallest budget with which a method reaches a total true error, by bisection; infinity when it never
    does.
    """
    low, high = 0, int(tables.costs[:, -1].sum())
    if total_error(tables, method(tables, high)) > error:
        return float("inf")
    while high - low > max(high // 2000, 1):
        middle = (low + high) // 2
        if total_error(tables, method(tables, middle)) <= error:
            high = middle
        else:
            low = middle
    return high


def total_error(tables: RateTables, layers: np.ndarray) -> float:
    """Squared error (DN^2) of all tiles at so many layers each; layers: (N,) integers."""
    return float(tables.true[np.arange(len(layers)), layers].sum())


def ours(tables: RateTables, budget: int) -> np.ndarray:
    """Layers (N,) that the flight planner sends within a budget in bytes."""
    return allocate(tables.costs, tables.estimated, np.ones(len(tables.costs)), budget)


def uniform(tables: RateTables, budget: int) -> np.ndarray:
    """Uniform k, and one layer more for as many of the first tiles as fit: the fairest form of it."""
    k = uniform_layers(tables.costs, budget)
    layers = np.full(len(tables.costs), k)
    left = budget - int(tables.costs[:, k].sum())
    for i in range(len(layers) if k < LAYERS else 0):
        more = int(tables.costs[i, k + 1] - tables.costs[i, k])
        if more <= left:
            layers[i], left = k + 1, left - more
    return layers


def greedy(tables: RateTables, budget: int) -> np.ndarray:
    """Layers (N,) by best estimated gain per byte, one layer at a time."""
    return greedy_layers(tables.costs, tables.estimated, np.ones(len(tables.costs)), budget)


def greedy_true(tables: RateTables, budget: int) -> np.ndarray:
    """Greedy by the true error, which no board can know."""
    return greedy_layers(tables.costs, tables.true, np.ones(len(tables.costs)), budget)


def planning_ms(tiles: int = 10_000, seed: int = 1) -> tuple[float, float]:
    """CPU milliseconds to plan `tiles` tiles from nothing, and to plan them for another budget."""
    rng = np.random.default_rng(seed)
    step = rng.lognormal(5, 1.2, (tiles, LAYERS)).astype(np.int64)
    gain = rng.lognormal(12, 1.5, (tiles, LAYERS)) * np.exp(-0.3 * np.arange(LAYERS))
    zero = np.zeros((tiles, 1), np.int64)
    costs = np.concatenate([zero, step.cumsum(axis=1)], axis=1)
    errors = np.concatenate([gain[:, ::-1].cumsum(axis=1)[:, ::-1], zero], axis=1)
    whole, again = [], []
    for turn in range(5):
        start = time.process_time()
        planner = RatePlanner(costs, errors, np.ones(tiles), 1)
        planner.plan(int(costs[:, -1].sum() * 0.3))
        middle = time.process_time()
        planner.plan(int(costs[:, -1].sum() * (0.2 + 0.05 * turn)))
        whole.append(middle - start)
        again.append(time.process_time() - middle)
    return 1000 * float(np.median(whole)), 1000 * float(np.median(again))


def replan_ms(tiles: int = 10_000) -> float:
    """CPU milliseconds from a new budget in a running pass to the first span, partly sent tiles and gaps
    included.
    """
    from swathpack.edge.downlink.plan import PassPlan, PlanSettings
    from swathpack.edge.downlink.tiles import QueueTable
    from swathpack.edge.packets.pieces import Span
    from swathpack.edge.packets.ranges import RangeSet

    rng = np.random.default_rng(2)
    prefix = np.concatenate(
        [np.full((tiles, 1), 30), 40 + rng.lognormal(5, 1, (tiles, LAYERS)).astype(int).cumsum(1)], 1
    )
    gain = rng.lognormal(12, 1.5, (tiles, LAYERS))
    errors = np.concatenate([gain[:, ::-1].cumsum(axis=1)[:, ::-1], np.zeros((tiles, 1))], axis=1)
    have = [RangeSet([(0, int(prefix[i, 1 + i % 3]))]) for i in range(tiles)]
    for i in range(0, tiles, 20):
        have[i].add(int(prefix[i, 5]), int(prefix[i, 6]))
    numbers = np.arange(tiles)
    none = np.zeros(tiles, np.int64)
    table = QueueTable(numbers, numbers, numbers, none, np.ones(tiles), prefix, errors, have, none, none > 0)
    plan = PassPlan(table, PlanSettings())
    next(plan.spans(1_000_000))
    plan.sent(Span(7, int(prefix[7, 3]), int(prefix[7, 4])))
    start = time.process_time()
    next(plan.spans(700_000))
    return 1000 * (time.process_time() - start)


def main(folder: Path, size: int | None, codec: str) -> tuple[str, bool]:
    tiles = size or (24 if codec == "edge" else 200)
    tables = real_tables(tiles, 28) if codec == "edge" else fake_tables(folder, tiles)
    total = int(tables.costs[:, -1].sum())
    lines = [
        f"{len(tables.costs)} tiles ({codec} codec), {tables.inter} with context, {total} bytes at all layers",
        "bytes saved at the same true error, per cent",
        "  budget   RMSE DN   against uniform   against greedy   against greedy by true error   against no base layer",
    ]
    plain = real_tables(tiles, 28, 0) if codec == "edge" else tables
    saved = []
    for share in BUDGET_SHARES:
        budget = int(total * share)
        error = total_error(tables, ours(tables, budget))
        need = [bytes_at_error(tables, method, error) for method in (ours, uniform, greedy, greedy_true)]
        need.append(bytes_at_error(plain, ours, error))
        saved.append(1 - need[0] / need[1])
        against = [100 * (1 - need[0] / other) for other in need[1:]]
        rmse = (error / tables.values) ** 0.5
        lines.append(
            f"{budget:8}  {rmse:8.1f}   {against[0]:15.1f}   {against[1]:14.1f}   {against[2]:28.1f}"
            f"   {against[3]:21.1f}"
        )
    steps_true, steps_est = -np.diff(tables.true, axis=1).ravel(), -np.diff(tables.estimated, axis=1).ravel()
    lines += [
        f"estimated against true squared error, all tiles and layers: correlation {_r(tables.estimated, tables.true):.4f}, "
        f"of logarithms {_r(np.log(tables.estimated + 1), np.log(tables.true + 1)):.4f}; of the gain of single layers "
        f"{_r(steps_est, steps_true):.4f}; median ratio {np.median(tables.estimated / np.maximum(tables.true, 1)):.3f}",
        "planning 10,000 tiles: {:.0f} ms CPU from nothing, {:.1f} ms for another budget; ".format(*planning_ms())
        + f"re-plan in a running pass {replan_ms():.0f} ms CPU",
    ]
    return "\n".join(lines), float(np.mean(saved)) > 0


def _r(a: np.ndarray, b: np.ndarray) -> float:
    return float(np.corrcoef(np.ravel(a), np.ravel(b))[0, 1])
