"""What the decoder holds when it makes images, from training frames: the examples stage 3 learns from.

    python -m swathpack.codec.reconstructions --model runs/edge --out runs/reconstructions --count 6000 --workers 2

Crops of 128 x 128 with two earlier dates go through the real encoder (optimised quantisation, contexts that pay,
every step) and, for a part of them, lose layers. Written as shards of SHARD examples; the same command goes on.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.atomic import replaced
from swathpack.codec.data import CropSampler, load_cubes
from swathpack.edge.codec.latents import LAYERS, quantise
from swathpack.edge.codec.layers import tile_decoder
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.prediction import CodingContext, Reconstruction
from swathpack.edge.codec.tables import N_SCALES
from swathpack.edge.codec.tile_coder import DEAD_ZONE, RDO_SLOPE, UNLIKE, encode_tile, likeness
from swathpack.edge.stream.quality import quality_of, usual_shift

SHARD = 100
SIZE = 128
Q_RANGE = (2, 62)
PARTIAL = 0.35  # share of examples that lose layers
VAL_SHARD = "val.npz"
VAL_CASES = ((16, 16), (26, 16), (36, 16), (46, 16), (26, 1), (26, 4), (26, 9))  # (q, layers)
VAL_DATES = 3
EIGHTHS = 8


def _contexts(
    model: EdgeModel, frames: NDArray[np.float32], now: NDArray[np.float32], q: int, rng: np.random.Generator
) -> list[CodingContext]:
    """None, one or two of the other dates, as far as the encoder would take them."""
    found = []
    for frame in frames[: int(rng.integers(3))]:
        q_then = int(np.clip(q + (rng.integers(-8, 9) if rng.random() < 0.3 else 0), 0, 63))
        context = CodingContext(quantise(model.analyse(frame), q_then, DEAD_ZONE), q_then)
        if likeness(now, context) > UNLIKE:
            found.append(context)
    return found


def held(
    model: EdgeModel,
    frame: NDArray[np.float32],
    quality: int,
    contexts: Sequence[CodingContext],
    layers: int = LAYERS,
    strength: float = 1.0,
) -> Reconstruction:
    """What a decoder holds of a frame (12, H, W) DN of that quality byte of which it got the first `layers` layers."""
    now = model.analyse(frame)
    coded = encode_tile(model, now, quality, contexts, DEAD_ZONE * strength, RDO_SLOPE * strength)
    if layers < LAYERS:
        decoder = tile_decoder(model.engine, model.tables, contexts, quality, (now.shape[1], now.shape[2]))
        decoder.decode(coded.layers.payload(LAYERS), LAYERS)
        return decoder.reconstruction(layers)
    scale = (coded.prediction.table_index % N_SCALES).astype(np.uint8).reshape(now.shape)
    mean = (coded.prediction.mean8 / EIGHTHS).astype(np.float32).reshape(now.shape)
    return Reconstruction(coded.latent.astype(np.float32), mean, scale, coded.q)


def example(model: EdgeModel, frames: NDArray[np.float32], rng: np.random.Generator) -> tuple[int, int, Reconstruction]:
    """Its step, layers, and what a decoder would hold of frames[0]; frames (3, 12, H, W) DN, the last two for context."""
    q = int(rng.integers(*Q_RANGE))
    strength = float(rng.uniform(0.3, 2.0)) if rng.random() < 0.4 else 1.0
    contexts = _contexts(model, frames[1:], model.analyse(frames[0]), q, rng)
    layers = int(rng.integers(1, LAYERS)) if rng.random() < PARTIAL else LAYERS
    found = held(model, frames[0], quality_of(q, usual_shift(q)), contexts, layers, strength)
    return found.q, layers, found


def eighths(values: NDArray[np.float32]) -> NDArray[np.int32]:
    """Values in steps as whole eighths."""
    return np.rint(values * EIGHTHS).astype(np.int32)


def pack(path: Path, frames: Sequence[NDArray[np.uint16]], found: Sequence[tuple[int, int, Reconstruction]]) -> None:
    """Write a shard: frame (n, 12, H, W) uint16, q, layers, and values8, mean8 (1/8 steps) and scale (n, 512, h, w)."""

    arrays = {
        "frame": np.stack(frames),
        "q": np.array([q for q, _, _ in found], np.uint8),
        "layers": np.array([k for _, k, _ in found], np.uint8),
        "values8": eighths(np.stack([r.values for *_, r in found])),
        "mean8": eighths(np.stack([r.mean for *_, r in found])),
        "scale": np.stack([r.scale for *_, r in found]),
    }
    with replaced(path) as part:
        np.savez(part, **arrays)  # type: ignore[arg-type]


def _shard(arguments: tuple[Path, Path, Path, int]) -> str:
    data, directory, out, number = arguments
    target = out / f"{number:04d}.npz"
    if target.exists():
        return target.name
    rng = np.random.default_rng([11, number])
    sampler = CropSampler(load_cubes(data, "train", 9), seed=1000 + number)
    model = EdgeModel(directory)
    frames, found = [], []
    for _ in range(SHARD):
        # Whole DN, as a sensor gives them.
        crops = np.rint(np.clip(sampler.sequence(1, SIZE)[0], 0, 65535))
        frames.append(crops[0].astype(np.uint16))
        found.append(example(model, crops, rng))
    pack(target, frames, found)
    return target.name


def make_val(data: Path, directory: Path, out: Path) -> None:
    """The val split in the same form: middle crops, the dates before as contexts, VAL_CASES of each."""
    model = EdgeModel(directory)
    frames, found = [], []
    for cube in load_cubes(data, "val"):
        top, left = ((n - SIZE) // 2 for n in cube.data.shape[2:])
        if min(top, left) < 0:
            continue
        crop = np.ascontiguousarray(cube.data[:, :, top : top + SIZE, left : left + SIZE])
        for t in range(min(cube.data.shape[0], VAL_DATES)):
            for q, layers in VAL_CASES:
                then = [CodingContext(quantise(model.analyse(crop[d]), q, DEAD_ZONE), q) for d in range(t)][-2:]
                now = model.analyse(crop[t])
                contexts = [c for c in reversed(then) if likeness(now, c) > UNLIKE]
                frames.append(crop[t].astype(np.uint16))
                kept = held(model, crop[t], quality_of(q, usual_shift(q)), contexts, layers)
                found.append((kept.q, layers, kept))
    pack(out / VAL_SHARD, frames, found)


def make(data: Path, model: Path, out: Path, count: int, workers: int) -> None:
    """Writes count / SHARD shards into `out`; shards that are there are kept."""
    out.mkdir(parents=True, exist_ok=True)
    if not (out / VAL_SHARD).exists():
        make_val(data, model, out)
    jobs = [(data, model, out, n) for n in range(-(-count // SHARD))]
    with ProcessPoolExecutor(workers) as pool:
        for n, name in enumerate(pool.map(_shard, jobs)):
            print(f"{n + 1}/{len(jobs)}  {name}", flush=True)


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", type=Path, default=Path("models/edge"), help="exported model")
    parser.add_argument("--out", type=Path, default=Path("runs/reconstructions"))
    parser.add_argument("--count", type=int, default=6000)
    parser.add_argument("--workers", type=int, default=2)
    args = parser.parse_args(argv)
    make(args.data, args.model, args.out, args.count, args.workers)


if __name__ == "__main__":
    main()
