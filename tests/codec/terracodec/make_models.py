"""Small models in the published layout, and random weights that make a codec work hard.

Freshly drawn networks give latents near zero and flat predictions, which any coder survives. So the last
convolution is scaled until latents spread over several steps, and the heads until means and scales do.
"""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from scipy.ndimage import gaussian_filter
from torch import Tensor, nn

from swathpack.codec.terracodec.checkpoint import Imported, from_model
from swathpack.codec.terracodec.elic import Elic, ElicSizes
from swathpack.codec.terracodec.fp import FactorizedPrior
from swathpack.codec.terracodec.tt import Temporal, TemporalSizes

LAYOUT = Path(__file__).with_name("published_layout.tsv")


def small(family: str, seed: int = 0, bands: int = 12) -> nn.Module:
    """A small model of the family with lively random weights, in eval mode."""
    torch.manual_seed(seed)
    if family == "fp":
        model: nn.Module = FactorizedPrior(bands, 16, 24)
    elif family == "elic":
        model = Elic(ElicSizes(bands, 16, 48, (8, 8, 8, 8, 16), 24, 96, (16, 16), (32, 32)))
    else:
        flex = family == "flextec"
        model = Temporal(TemporalSizes(bands, (16, 16, 32, 64), 64, 128, (2, 1, 2), flex, flex))
    return enliven(model)


def enliven(model: nn.Module) -> nn.Module:
    """Spread latents over several steps, and means and scales over many tables."""
    model.requires_grad_(False).eval()
    x = torch.randn(1, model.bands, 64, 64)
    last = _last_conv(model)
    for _ in range(4):  # the attention block after it is not linear, hence the repeats
        last.weight *= 4.0 / model.analysis(x).std().clamp(min=1e-6)
    if isinstance(model, Temporal):
        model.entropy_model.mean_head[4].weight *= 30
        model.entropy_model.scale_head[4].weight *= 60
        model.blank.normal_(0, 3)
        model.entropy_model.learned_zero.sym.normal_(0, 3)
    elif isinstance(model, Elic):
        for group in model.latent_codec.y.latent_codec.values():
            group.entropy_parameters[4].weight *= 40
            group.entropy_parameters[4].bias += 1.0
    return model


def _last_conv(model: nn.Module) -> nn.Conv2d:
    if isinstance(model, FactorizedPrior):
        return model.g_a[6]
    if isinstance(model, Elic):
        return model.g_a[13]
    return model.transform.analysis_transform.transforms[13]


def imported(family: str, seed: int = 0) -> Imported:
    """A small model ready to code with."""
    return from_model(family, small(family, seed))


def layout(family: str) -> dict[str, tuple[tuple[int, ...], torch.dtype]]:
    """Name -> (shape, type) of a published checkpoint; FlexTEC is TT plus its mask tokens."""
    rows = [line.split("\t") for line in LAYOUT.read_text().splitlines()[1:]]
    wanted = "tt" if family == "flextec" else family
    table = {name: (_numbers(shape), getattr(torch, kind)) for of, name, shape, kind in rows if of == wanted}
    if family == "flextec":
        table["model.entropy_model.mask_token"] = ((192,), torch.float32)
        table["model.entropy_model.z_cur_mask_token"] = ((768,), torch.float32)
    return table


def _numbers(shape: str) -> tuple[int, ...]:
    return tuple(int(n) for n in shape.strip("()").split(",") if n.strip())


def random_state(family: str) -> dict[str, Tensor]:
    """A full-size state dict of the published layout; one value per tensor, repeated without memory."""
    torch.manual_seed(1)
    return {name: (torch.randn(1) * 0.02).to(kind).expand(shape) for name, (shape, kind) in layout(family).items()}


def smooth_frames(count: int, height: int, width: int, bands: int = 12, seed: int = 0) -> np.ndarray:
    """(count, bands, height, width) uint16: a smooth scene that changes a little from date to date."""
    rng = np.random.default_rng(seed)
    scene = rng.normal(size=(1, bands, height, width)) + 0.4 * rng.normal(size=(count, bands, height, width))
    smooth = gaussian_filter(scene, (0, 0, 4, 4))
    return np.clip(smooth * 20000 + 2500, 0, 10000).astype(np.uint16)
