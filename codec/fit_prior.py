"""Where adaptive scales start: what they come to on training scenes (`swathpack.edge.codec.rangecoder.adaptive`).

    python -m swathpack.codec.fit_prior --model runs/edge --out runs/prior.npz

Real training crops go through the encoder at random steps, with and without contexts, with and without a base, and the
adaptation is carried from one to the next. The prior is its mean over the second half. `export.edge_model --prior` takes
it into the tables.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.atomic import replaced
from swathpack.codec.data import CropSampler, load_cubes
from swathpack.edge.codec.latents import GROUP
from swathpack.edge.codec.layers import encode_layers, known_context
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.prediction import CodingContext
from swathpack.edge.codec.rangecoder.adaptive import Adaptation
from swathpack.edge.codec.tables import PRIOR_SHAPE
from swathpack.edge.codec.tile_coder import DEAD_ZONE, RDO_SLOPE, UNLIKE, CodedLatent, encode_tile, likeness
from swathpack.edge.stream.quality import quality_of, usual_shift

SIZE = 192
Q_RANGE = (2, 62)
PLAIN = 0.2  # share of crops without a base


def coded_crop(model: EdgeModel, frames: NDArray[np.float32], rng: np.random.Generator) -> CodedLatent:
    """frames[0] of frames (n, 12, H, W) DN as the encoder codes it at a random step, the others its contexts at most."""
    q = int(rng.integers(*Q_RANGE))
    quality = quality_of(q, 0 if rng.random() < PLAIN else usual_shift(q))
    now, contexts = model.analyse(frames[0]), list[CodingContext]()
    for frame in frames[1 : 1 + int(rng.integers(3))]:
        then = encode_tile(model, model.analyse(frame), quality)
        context = known_context(then.latent, quality, len(then.payload_sizes) - 1)
        if likeness(now, context) > UNLIKE:
            contexts.append(context)
    return encode_tile(model, now, quality, contexts, DEAD_ZONE, RDO_SLOPE)


def fit(model: EdgeModel, sampler: CropSampler, count: int, seed: int = 3) -> NDArray[np.int32]:
    """The prior (PRIOR_SHAPE) after `count` crops."""
    rng = np.random.default_rng(seed)
    tables = replace(model.tables, prior=np.zeros(PRIOR_SHAPE, np.int32))
    contexts, total = np.zeros((*PRIOR_SHAPE, 2), np.int32), np.zeros(PRIOR_SHAPE)
    for number in range(count):
        coded = coded_crop(model, sampler.as_taken(SIZE), rng)
        adaptation = Adaptation(tables, (coded.latent.shape[1], coded.latent.shape[2]), GROUP)
        adaptation.contexts[:] = contexts
        encode_layers(tables, coded.prediction, coded.latent, base=coded.base, adaptation=adaptation)
        contexts = adaptation.contexts
        if number >= count // 2:
            total += contexts[..., 0]
    prior: NDArray[np.int32] = np.rint(total / (count - count // 2)).astype(np.int32)
    return prior


def main(argv: Sequence[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--model", type=Path, default=Path("runs/edge"), help="exported model")
    parser.add_argument("--out", type=Path, default=Path("runs/prior.npz"))
    parser.add_argument("--count", type=int, default=600, help="crops (default %(default)s)")
    args = parser.parse_args(argv)
    sampler = CropSampler(load_cubes(args.data, "train", 12), seed=5)
    prior = fit(EdgeModel(args.model), sampler, args.count)
    with replaced(args.out) as part:
        np.savez_compressed(part, prior=prior)
    print(
        f"{args.out}: mean shift {np.abs(prior).mean() / 65536:.2f} scales, largest {np.abs(prior).max() / 65536:.2f}"
    )


if __name__ == "__main__":
    main()
