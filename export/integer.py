"""From the trained entropy model to its integer form, and the proof that float32 holds every sum of it.

`integer_parameters` gives the arrays of models/edge/entropy.npz; `prove_bounds` checks them layer by layer
and raises BoundError with the layer's name when a worst-case sum could leave the exact range of float32.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swathpack.codec.entropy import (
    ACT,
    GATE_GRID,
    HEADS,
    IN,
    RES,
    EntropyModel,
    PerLayer,
    Shared,
    Spatial,
    weight_exponent,
)
from swathpack.edge.stream.quality import STEPS

LIMIT = 1 << 22  # with the offset of 1/4, an accumulator needs two bits below the unit: 2^22 * 4 = 2^24
INPUT_PEAK = 128


class BoundError(ValueError):
    """A layer whose worst-case sum does not fit; the message names it, with expected and found."""


@dataclass(frozen=True)
class Bound:
    """Worst case of one layer: the largest |sum| of its accumulators, and the bits that leaves unused."""

    layer: str
    worst: int
    margin_bits: float


def _integers(weight: torch.Tensor, bias: torch.Tensor, channel_dim: int, input_bits: int) -> tuple[Any, Any, Any]:
    exponent = weight_exponent(weight, channel_dim)
    w = torch.clamp(torch.floor(weight.double() * torch.exp2(exponent.double()) + 0.5), -127, 127)
    e = exponent.reshape(bias.shape).double()
    b = torch.floor(bias.double() * torch.exp2(e + input_bits) + 0.5)
    return w.to(torch.int8).numpy(), b.to(torch.int32).numpy(), e.to(torch.uint8).numpy()


@torch.no_grad()
def integer_parameters(model: EntropyModel) -> dict[str, NDArray[Any]]:
    """Arrays of the integer network: per layer `weight` int8 (inputs before outputs), `bias` int32,
    `exponent` uint8.
    """
    out: dict[str, NDArray[Any]] = {}

    def put(name: str, w: Any, b: Any, e: Any) -> None:
        out[f"{name}.weight"], out[f"{name}.bias"], out[f"{name}.exponent"] = np.ascontiguousarray(w), b, e

    for name, module in model.named_modules():
        if isinstance(module, PerLayer):
            put(name, *_integers(module.weight, module.bias, 2, module.input_bits))
        elif isinstance(module, Shared):
            w, b, e = _integers(module.weight, module.bias, 0, ACT)
            put(name, w.T, b, e)
        elif isinstance(module, Spatial):
            w, b, e = _integers(module.kernel.reshape(-1, 9), module.kernel_bias, 0, ACT)
            put(f"{name}.kernel", w.T, b, e)
    q = torch.arange(STEPS)
    out["base_index"] = (
        torch.clamp(torch.floor(model.at_step(model.base_index, q) + 0.5), -128, 127).to(torch.int16).numpy()
    )
    out["step_embed"] = torch.floor(model.at_step(model.step_embed, q) * 2**RES + 0.5).to(torch.int32).numpy()
    out["heads"] = np.array(HEADS, np.int64)
    return out


def prove_bounds(parameters: dict[str, NDArray[Any]], limit: int = LIMIT) -> list[Bound]:
    """Worst-case accumulator of every layer and of the residual stream; raises BoundError when one reaches
    `limit`.

    Linear layers: 128 * sum |w| + |bias| per output channel, inputs being int8. Attention: products of int8
    over the head width and over the 48 keys. Residual streams (of the layers, of the contexts): the sum of
    all branches' worst cases.
    """
    bounds = []
    residual = {"residual": 0, "context residual": 0}
    width = parameters["step_embed"].shape[1]
    head_width = width // int(parameters["heads"])

    def check(name: str, worst: int) -> None:
        if worst >= limit:
            raise BoundError(f"{name}: worst-case sum {worst} is not below 2^{np.log2(limit):.0f} = {limit}")
        bounds.append(Bound(name, worst, float(np.log2(limit / max(worst, 1)))))

    for key, weight in parameters.items():
        if not key.endswith(".weight"):
            continue
        name = key[: -len(".weight")]
        w = np.abs(weight.astype(np.int64))
        total = INPUT_PEAK * w.sum(axis=-2) + np.abs(parameters[f"{name}.bias"].astype(np.int64))
        check(name, int(total.max()))
        stream = name.endswith((".out", ".down")) or name.startswith("embed")
        grid = RES if stream else GATE_GRID if name.endswith("head") else ACT
        shift = parameters[f"{name}.exponent"].astype(np.int64) + (IN if name.startswith("embed") else ACT) - grid
        if (shift < 0).any():
            raise BoundError(
                f"{name}: accumulator is coarser than the grid it is rounded to, shift {int(shift.min())} < 0"
            )
        if stream:
            which = "context residual" if name.startswith(("context_spatial", "embed_context")) else "residual"
            residual[which] += int(((total >> shift) + 1).max())
    check("attention.score", INPUT_PEAK * INPUT_PEAK * head_width)
    check("attention.mix", INPUT_PEAK * INPUT_PEAK * 48)
    for which, worst in residual.items():
        check(which, worst + int(np.abs(parameters["step_embed"]).max()))
    return bounds
