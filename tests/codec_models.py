"""Models that tests share: the shipped one, and a random one whose every number is not zero."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import CHANNELS, GROUP, LATENT_LIMIT, LAYERS, Latent
from swathpack.edge.codec.model import EdgeModel


@lru_cache(maxsize=1)
def shipped() -> EdgeModel:
    """The model of models/edge, one thread."""
    return EdgeModel()


@lru_cache(maxsize=2)
def random_entropy(seed: int = 5) -> Any:
    """An `EntropyModel` (torch) in its rounding form, every parameter perturbed."""
    import torch

    from swathpack.codec.entropy import EntropyModel

    torch.manual_seed(seed)
    model = EntropyModel()
    with torch.no_grad():
        for name, p in model.named_parameters():
            scale = 0.3 if p.dim() == 1 or "embed" in name else 0.5 * float(p.std().clamp(min=0.02))
            p += scale * torch.randn_like(p)
        model.base_index.copy_(torch.rand_like(model.base_index) * 50 + 5)
    model.set_quantised(True)
    return model.eval().requires_grad_(False)


@lru_cache(maxsize=2)
def random_parameters(seed: int = 5) -> dict[str, NDArray[Any]]:
    """The integer arrays of that model."""
    from swathpack.export.integer import integer_parameters

    return integer_parameters(random_entropy(seed))


def random_latent(size: tuple[int, int], seed: int, peak: float = 300.0) -> Latent:
    """(512, h, w) integers whose spread falls from layer to layer, with a few values at the limits."""
    rng = np.random.default_rng(seed)
    spread = np.repeat(np.geomspace(peak, 0.4, LAYERS), GROUP)[:, None, None]
    latent = np.rint(rng.laplace(scale=spread, size=(CHANNELS, *size)))
    at = rng.random(latent.shape) < 0.002
    latent[at] = rng.choice([-LATENT_LIMIT, LATENT_LIMIT, 127, 128, -128, -129], size=int(at.sum()))
    return np.clip(latent, -LATENT_LIMIT, LATENT_LIMIT).astype(np.int16)
