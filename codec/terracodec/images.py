"""TEC-FP and TEC-ELIC: every frame by itself, batches of frames at once."""

from __future__ import annotations

import torch
from torch import Tensor

from swathpack.codec.terracodec.checkpoint import Imported
from swathpack.codec.terracodec.coding import FrameDecoder, FrameEncoder, decode_channels, encode_channels
from swathpack.codec.terracodec.elic import Elic, pick_colour
from swathpack.codec.terracodec.fp import FactorizedPrior
from swathpack.codec.terracodec.gaussian import SIGMA_MIN_ELIC
from swathpack.codec.terracodec.stream import FrameBody, StreamError


def encode_fp(imported: Imported, y: Tensor) -> list[FrameBody]:
    """Latents (B, M, h, w) -> one body per frame."""
    symbols = imported.of(FactorizedPrior).symbols(y)
    return [FrameBody(encode_channels(imported.tables["y"], frame)) for frame in symbols]


def decode_fp(imported: Imported, bodies: list[FrameBody], grid: tuple[int, int]) -> Tensor:
    """Bodies -> quantised latents (B, M, h, w)."""
    model = imported.of(FactorizedPrior)
    shape = (model.latent_channels, *grid)
    symbols = [decode_channels(imported.tables["y"], body.payload, shape) for body in bodies]
    return model.dequantise(torch.stack(symbols))


class _ElicEncoder:
    """StepCoder of the encoder: one FrameEncoder per frame of the batch."""

    def __init__(self, imported: Imported, y: Tensor) -> None:
        self._parts = torch.split(y, list(imported.of(Elic).sizes.groups), 1)
        self.frames = [FrameEncoder(imported.tables["y"], SIGMA_MIN_ELIC) for _ in range(y.shape[0])]

    def __call__(self, step: int, mean: Tensor, sigma: Tensor) -> Tensor:
        k, colour = divmod(step, 2)
        symbols = torch.round(pick_colour(self._parts[k], colour) - mean)
        for frame, values, scale in zip(self.frames, symbols, sigma):
            frame.put(values, torch.zeros_like(values), scale)
        return symbols


class _ElicDecoder:
    """StepCoder of the decoder."""

    def __init__(self, imported: Imported, bodies: list[FrameBody], first: int) -> None:
        tables = imported.tables["y"]
        numbered = enumerate(bodies, first)
        self._frames = [FrameDecoder(tables, SIGMA_MIN_ELIC, body, i) for i, body in numbered]

    def __call__(self, step: int, mean: Tensor, sigma: Tensor) -> Tensor:
        zero = torch.zeros_like(mean[0])
        return torch.stack([frame.take(zero, scale) for frame, scale in zip(self._frames, sigma)])


def encode_elic(imported: Imported, y: Tensor) -> list[FrameBody]:
    """Latents (B, M, h, w) -> one body per frame."""
    model = imported.of(Elic)
    hyper = model.hyper_symbols(y)
    coder = _ElicEncoder(imported, y)
    model.run_groups(model.side_parameters(hyper), coder)
    payloads = [encode_channels(imported.tables["hyper"], frame) for frame in hyper]
    return [frame.body(hyper=payload) for frame, payload in zip(coder.frames, payloads)]


def decode_elic(imported: Imported, bodies: list[FrameBody], grid: tuple[int, int], first: int) -> Tensor:
    """Bodies of frames `first`, `first + 1`, ... -> quantised latents (B, M, h, w)."""
    model = imported.of(Elic)
    shape = (model.sizes.n, grid[0] // 4, grid[1] // 4)
    hyper = torch.stack([decode_channels(imported.tables["hyper"], body.hyper, shape) for body in bodies])
    _check_steps(bodies, model.steps)
    return model.run_groups(model.side_parameters(hyper), _ElicDecoder(imported, bodies, first))


def _check_steps(bodies: list[FrameBody], steps: int) -> None:
    for body in bodies:
        if len(body.checks) != steps:
            raise StreamError(f"expected {steps} checks in a frame, found {len(body.checks)}")
