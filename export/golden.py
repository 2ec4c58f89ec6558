"""Golden vectors of a model: inputs that stress the network, and what its int64 twin makes of them.

Format: `swathpack.edge.codec.engines.golden`. Latents are like real ones (spread by the model's own base scales), zero,
saturated, and random with every value at an extreme; grids of 4 x 4 to 16 x 16, some not square.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.atomic import replaced
from swathpack.edge.codec.base_layer import BASE_GROUPS
from swathpack.edge.codec.engines.golden import contexts_of, head_digest, heads_by_layer, pass_inputs
from swathpack.edge.codec.latents import CHANNELS, CONTEXT_LIMIT, LATENT_LIMIT, Latent
from swathpack.edge.codec.network import ExactNetwork
from swathpack.edge.codec.tables import N_SCALES, SIGMA_MAX, SIGMA_MIN

EXTREMES = (-LATENT_LIMIT, -CONTEXT_LIMIT, -128, -1, 0, 1, 127, CONTEXT_LIMIT, LATENT_LIMIT)
WITH_HEADS = ("real_4x4", "extreme_4x4")
Cases = dict[str, tuple[Latent, int, tuple[int, int]]]


def like_real(parameters: dict[str, NDArray[Any]], q: int, size: tuple[int, int], rng: np.random.Generator) -> Latent:
    """A latent whose channels spread as the model expects at step q, smooth over neighbouring positions."""
    index = np.clip(parameters["base_index"][q], 0, N_SCALES - 1).astype(np.float64)
    sigma = SIGMA_MIN * (SIGMA_MAX / SIGMA_MIN) ** (index / (N_SCALES - 1))
    noise = rng.laplace(size=(CHANNELS, size[0] + 1, size[1] + 1))
    smooth = (noise[:, 1:, 1:] + noise[:, :-1, 1:] + noise[:, 1:, :-1]) / 2
    out: Latent = np.clip(np.rint(sigma[:, None, None] * smooth), -LATENT_LIMIT, LATENT_LIMIT).astype(np.int16)
    return out


def golden_inputs(parameters: dict[str, NDArray[Any]], seed: int = 2026) -> Cases:
    """Name -> latent (512, h, w), step index, known layers of both contexts (negative: the base of so many)."""
    rng = np.random.default_rng(seed)

    def extremes(*size: int) -> Latent:
        return rng.choice(np.array(EXTREMES, np.int16), size=(CHANNELS, *size))

    stripes = np.where(np.arange(CHANNELS) % 2, LATENT_LIMIT, -LATENT_LIMIT).astype(np.int16)
    return {
        "real_4x4": (like_real(parameters, 16, (4, 4), rng), 16, (16, 9)),
        "zero_4x4": (np.zeros((CHANNELS, 4, 4), np.int16), 0, (0, 0)),
        "saturated_4x4": (np.full((CHANNELS, 4, 4), LATENT_LIMIT, np.int16), 63, (16, 16)),
        "striped_8x4": (np.tile(stripes[:, None, None], (1, 8, 4)), 40, (16, 16)),
        "extreme_4x4": (extremes(4, 4), 32, (16, 5)),
        "wide_8x4": (rng.integers(-128, 128, (CHANNELS, 8, 4)).astype(np.int16), 8, (16, 16)),
        "extreme_8x8": (extremes(8, 8), 50, (16, 16)),
        "real_16x16": (like_real(parameters, 24, (16, 16), rng), 24, (16, 7)),
        "refined_4x8": (like_real(parameters, 20, (4, 8), rng), 20, (16, -BASE_GROUPS)),
        "refined_extreme_4x4": (extremes(4, 4), 44, (0, -BASE_GROUPS)),
    }


def golden_arrays(parameters: dict[str, NDArray[Any]]) -> dict[str, NDArray[Any]]:
    """Arrays of golden.npz, with the outputs of the int64 twin."""
    twin = ExactNetwork(parameters, np.int64)
    out: dict[str, NDArray[Any]] = {}
    for name, (latent, q, known) in golden_inputs(parameters).items():
        first, rest = twin.heads_of_all(*pass_inputs(latent, contexts_of(latent), q, known))
        out[f"{name}.latent"], out[f"{name}.setting"] = latent, np.array([q, *known], np.int64)
        out[f"{name}.digests"] = np.stack([head_digest(h) for h in heads_by_layer(first, rest)])
        if name in WITH_HEADS:
            out[f"{name}.heads"] = np.concatenate([first, *rest]).astype(np.int32)
    return out


def write_golden(parameters: dict[str, NDArray[Any]], path: Path) -> None:
    """Write the golden vectors of a network with these parameters to golden.npz at `path`."""
    with replaced(path) as part:
        np.savez_compressed(part, **golden_arrays(parameters))  # type: ignore[arg-type]
