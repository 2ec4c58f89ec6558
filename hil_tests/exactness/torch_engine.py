"""The integer network's weights in the torch form of the entropy model: the matrix's torch cells.

`swathpack.codec.entropy.EntropyModel` in its rounding form, loaded from models/edge/entropy.npz: real weights are the
integers times their powers of two, which the model's own weight quantiser maps back to the same integers.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from swathpack.codec.entropy import ACT, FLAG, GATE_GRID, IN, RES, SCALE_GRID, EntropyModel, residual, saturate
from swathpack.edge.codec.latents import GROUP, LAYERS, phase_map

Array = NDArray[Any]


class TorchEngine:
    """Heads of all layers by torch, for a tile or a batch of tiles of one size. dtype: float32 or float64; device: torch's name."""

    def __init__(self, parameters: dict[str, Array], dtype: torch.dtype, device: str = "cpu") -> None:
        self.dtype, self.device = dtype, device
        self.base_index = parameters["base_index"].astype(np.int64)
        self.steps = torch.from_numpy(parameters["step_embed"].astype(np.float64) * 2.0**-RES).to(device, dtype)
        self.model = EntropyModel().to(dtype).eval().requires_grad_(False)
        self.model.load_state_dict(_state(parameters, self.model))
        self.model.set_quantised(True)
        self.model.to(device)

    def heads_of_all(self, *inputs: Any, layers: int = LAYERS) -> tuple[Array, Array]:
        """As `EntropyEngine.heads_of_all`."""
        first, rest = self.heads_of_batch([inputs])[0]
        return first, rest[: layers - 1]

    @torch.no_grad()
    def heads_of_batch(self, tiles: Any) -> list[tuple[Array, Array]]:
        """`heads_of_all` for tiles of one size."""
        own, contexts, known, spatial, q, sizes = zip(*tiles)
        size, step = sizes[0], self.steps[list(q)][:, None, None]
        flags = self._reals(np.stack(known)) * FLAG  # (B, 2, 16)
        dates = self._planes(np.stack(contexts))  # (B, 2, P, 16, 64)
        main = self._planes(np.stack(own))
        shifted = torch.cat([torch.zeros_like(main[:, :, :1]), main[:, :, :-1]], 2)
        pair = flags.permute(0, 2, 1)[:, None].expand(-1, main.shape[1], -1, -1)
        joined = torch.cat([shifted, dates[:, 0], dates[:, 1], pair], 3)
        stream = residual(self.model.embed(joined), True) + step
        tokens = self._context_tokens(dates, flags, step, size)
        for block in self.model.blocks:
            stream = block(stream, tokens, size)
        trunk = saturate(stream, True)
        first, rest = self._first(trunk[:, :, 0], np.stack(spatial), size), self._rest(trunk)
        return list(zip(first, rest))

    def _reals(self, x: Array) -> torch.Tensor:
        return torch.from_numpy(np.ascontiguousarray(x)).to(self.device, self.dtype)

    def _planes(self, planes: Array) -> torch.Tensor:
        """(..., 16, 64, P) int8 -> (..., P, 16, 64) reals."""
        return self._reals(np.moveaxis(planes, -1, -3)) * 2.0**-IN

    def _context_tokens(self, dates: Any, flags: Any, step: Any, size: tuple[int, int]) -> torch.Tensor:
        tokens = []
        for n in range(2):
            planes = dates[:, n]
            known = flags[:, n, None, :, None].expand(-1, planes.shape[1], -1, -1)
            joined = torch.cat([planes, known, torch.full_like(known, n * FLAG)], 3)
            t = residual(self.model.embed_context(joined), True) + step
            t = t + self.model.context_spatial(saturate(t, True), size)
            tokens.append(saturate(t, True))
        return torch.cat(tokens, 2)

    def _first(self, trunk0: torch.Tensor, spatial: Array, size: tuple[int, int]) -> list[Array]:
        planes = self._reals(np.moveaxis(spatial, 1, 2)) * 2.0**-ACT
        phase = phase_map(*size).reshape(-1)
        onehot = self._reals((phase[:, None] == np.arange(5)) * 127) * 2.0**-ACT
        x = torch.cat([trunk0, planes, onehot.expand(len(planes), -1, -1)], 2)
        raw = self.model.first_head(saturate(torch.relu(self.model.first_hidden(x)), True))
        return [_integers(r, 6).transpose(1, 2, 0) for r in raw]

    def _rest(self, trunk: torch.Tensor) -> list[Array]:
        raw = self.model.head(saturate(torch.relu(self.model.head_hidden(trunk)), True))
        return [_integers(r, 4).transpose(1, 2, 3, 0) for r in raw[:, :, 1:]]


def _integers(raw: torch.Tensor, parts: int) -> Array:
    """Heads (..., parts * 32) as integers of their grids, (..., parts, 32)."""
    bits = torch.tensor([GATE_GRID, SCALE_GRID] + [GATE_GRID] * (parts - 2), dtype=raw.dtype, device=raw.device)
    grids = torch.exp2(bits).repeat_interleave(GROUP)
    out: Array = torch.floor(raw * grids + 0.5).to(torch.int64).cpu().numpy()
    return out.reshape(*out.shape[:-1], parts, GROUP)


def _state(parameters: dict[str, Array], model: EntropyModel) -> dict[str, torch.Tensor]:
    """The integers as real weights under torch's names; its step and base tables are not used."""
    state = model.state_dict()
    for key in parameters:
        if not key.endswith(".weight"):
            continue
        name = key[: -len(".weight")]
        exponent = parameters[f"{name}.exponent"].astype(np.float64)
        weight = parameters[key] * np.exp2(-exponent)[..., None, :]
        bias = parameters[f"{name}.bias"] * np.exp2(-(exponent + (IN if name.startswith("embed") else ACT)))
        if name.endswith(".kernel"):
            targets = (name, weight.T, f"{name}_bias")
        else:
            targets = (key, weight if weight.ndim == 3 else weight.T, f"{name}.bias")
        assert weight.ndim == 2 or len(weight) == LAYERS
        state[targets[0]] = torch.from_numpy(targets[1].reshape(state[targets[0]].shape).copy())
        state[targets[2]] = torch.from_numpy(bias)
    return state
