"""The exact entropy network in numpy: int64 (the twin that defines it) or float32 (the same bits through
BLAS).

Every value is an integer times a power of two and no sum reaches 2^22, so float32 arithmetic never rounds and
any order of additions gives the same result. Accumulators carry an offset of 1/4 that no rounding can meet as
a tie. Sources: the design note "exact entropy model"; ReLU attention replaces softmax, a saturating quantiser
replaces LayerNorm.

Layout: tokens (16, P, width) for a whole pass, (P, width) for one layer; P = h * w positions, row-major.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import GROUP, INT8_MAX, INT8_MIN, LAYERS, phase_map

ACT_BITS = 5  # activations: int8 / 2^5
RES_BITS = 8  # residual stream: integer / 2^8, plus 1/4 of that unit
IN_BITS = 3  # latent planes: int8 / 2^3
SCORE_SHIFT = 3
MIX_SHIFT = 3
GATE_BITS = 6  # heads leave at 2^-6 (means, gates) and 2^-3 (scales)
SCALE_BITS = 3
FLAG = INT8_MAX

Array = NDArray[Any]


@dataclass(frozen=True)
class Linear:
    """Weights (..., inputs, outputs) and bias (..., outputs), integers held in the network's dtype.

    `exponent` (..., outputs): weights are integers / 2^exponent.
    """

    weight: Array
    bias: Array
    exponent: NDArray[np.int64]
    input_bits: int


def head_bits(parts: int) -> NDArray[np.int64]:
    """(parts * 32,) fraction bits of a head's channels: mean, scale, then gates."""
    return np.repeat([GATE_BITS, SCALE_BITS] + [GATE_BITS] * (parts - 2), GROUP)


class ExactNetwork:
    """The integer entropy network.

    dtype: np.int64 or np.float32. `parameters` as `swathpack.export.integer` writes them (models/edge/entropy.npz).
    """

    def __init__(self, parameters: Mapping[str, Array], dtype: Any = np.float32) -> None:
        self.dtype = np.dtype(dtype)
        self.exact_int = self.dtype == np.int64
        self.layers: dict[str, Linear] = {}
        for key in parameters:
            if key.endswith(".weight"):
                self._load(key[: -len(".weight")], parameters)
        self.blocks = sum(1 for k in self.layers if k.endswith("attention.query"))
        self.width = int(self.layers["embed"].weight.shape[-1])
        self.heads = int(parameters["heads"])
        self.step_embed = np.asarray(parameters["step_embed"]).astype(self.dtype)  # (64, width) residual units
        self.base_index = np.asarray(parameters["base_index"]).astype(np.int64)  # (64, 512)

    def _load(self, name: str, parameters: Mapping[str, Array]) -> None:
        bits = IN_BITS if name in ("embed", "embed_context") else ACT_BITS
        self.layers[name] = Linear(
            np.asarray(parameters[f"{name}.weight"]).astype(self.dtype),
            np.asarray(parameters[f"{name}.bias"]).astype(self.dtype),
            np.asarray(parameters[f"{name}.exponent"]).astype(np.int64),
            bits,
        )

    # --- arithmetic -----------------------------------------------------------------------------------------

    def _round(self, accumulator: Array, shift: NDArray[np.int64] | int) -> Array:
        """round((accumulator + 1/4) * 2^-shift); shift >= 0, so there is no tie."""
        if self.exact_int:
            s = np.asarray(shift, np.int64)
            rounded: Array = (4 * accumulator + 1 + (np.int64(2) << s)) >> (s + 2)
            return rounded
        scale = np.exp2(-np.asarray(shift, np.float32)).astype(np.float32)
        out = accumulator + np.float32(0.25)
        out *= scale
        return np.rint(out, out=out)

    def _apply(self, layer: Linear, x: Array, bits: int) -> Array:
        """Linear layer, rounded to integers / 2^bits (not clipped)."""
        accumulator = np.matmul(x, layer.weight)
        accumulator += layer.bias
        return self._round(accumulator, layer.exponent + layer.input_bits - bits)

    def _act(self, name: str, x: Array, relu: bool = False, index: int | None = None) -> Array:
        """Linear layer to int8 activations, after ReLU when asked."""
        out = self._apply(self._pick(name, index), x, ACT_BITS)
        return np.clip(out, 0 if relu else INT8_MIN, INT8_MAX, out=out)

    def _pick(self, name: str, index: int | None) -> Linear:
        layer = self.layers[name]
        if index is None:
            return layer
        return Linear(layer.weight[index], layer.bias[index], layer.exponent[index], layer.input_bits)

    def _saturate(self, residual: Array) -> Array:
        """Residual stream -> int8 activations: the place of LayerNorm."""
        out = self._round(residual, RES_BITS - ACT_BITS)
        return np.clip(out, INT8_MIN, INT8_MAX, out=out)

    # --- parts ----------------------------------------------------------------------------------------------

    def _spatial(self, name: str, x: Array, size: tuple[int, int]) -> Array:
        """Depthwise 3x3 over positions, then ReLU MLP; x (..., P, width) int8 -> residual increment."""
        kernel = self.layers[f"{name}.kernel"]
        grid = x.reshape(*x.shape[:-2], *size, x.shape[-1])
        padded = np.zeros((*grid.shape[:-3], size[0] + 2, size[1] + 2, grid.shape[-1]), self.dtype)
        padded[..., 1:-1, 1:-1, :] = grid
        total = np.zeros_like(grid)
        for tap in range(9):
            dy, dx = divmod(tap, 3)
            total += padded[..., dy : dy + size[0], dx : dx + size[1], :] * kernel.weight[tap]
        total += kernel.bias
        mixed = self._round(total, kernel.exponent)
        mixed = np.clip(mixed, INT8_MIN, INT8_MAX).reshape(x.shape)
        hidden = self._act(f"{name}.up", mixed, relu=True)
        return self._apply(self.layers[f"{name}.down"], hidden, RES_BITS)

    def _split(self, x: Array) -> Array:
        """(n, P, width) -> (P, heads, n, width / heads)."""
        n, positions, _ = x.shape
        return np.ascontiguousarray(x.reshape(n, positions, self.heads, -1).transpose(1, 2, 0, 3))

    def _attend(self, name: str, query: Array, key: Array, value: Array, mask: Array | None) -> Array:
        """query (P, heads, m, d), key and value (P, heads, n, d) -> residual increment (m, P, width)."""
        score = np.matmul(query, key.swapaxes(2, 3))
        weight = np.clip(self._round(score, ACT_BITS + SCORE_SHIFT), 0, INT8_MAX)
        if mask is not None:
            weight *= mask
        mixed = np.clip(self._round(np.matmul(weight, value), ACT_BITS + MIX_SHIFT), INT8_MIN, INT8_MAX)
        positions, _, m, _ = mixed.shape
        joined = mixed.transpose(2, 0, 1, 3).reshape(m, positions, self.width)
        return self._apply(self.layers[f"{name}.out"], joined, RES_BITS)

    def _context_pairs(self, tokens: Array) -> list[tuple[Array, Array]]:
        """Keys and values of the context tokens (32, P, width) for every block."""
        pairs = []
        for b in range(self.blocks):
            name = f"blocks.{b}.attention"
            pairs.append(
                (
                    self._split(self._act(f"{name}.context_key", tokens)),
                    self._split(self._act(f"{name}.context_value", tokens)),
                )
            )
        return pairs

    def context_tokens(self, planes: Array, known: Array, q: int, size: tuple[int, int]) -> Array:
        """Context planes (2, 16, 64, P) int8 and what of them is known (2, 16) -> tokens (32, P, width) int8.

        known: 1 where the ground has the layer, 0 where not, -1 where it has its base (`swathpack.edge.codec.base_layer`).
        """
        tokens = []
        for date in range(2):
            x = np.moveaxis(planes[date], 1, 2).astype(self.dtype)  # (16, P, 64)
            flags = np.zeros((LAYERS, x.shape[1], 2), self.dtype)
            flags[:, :, 0] = (known[date] * np.int64(FLAG))[:, None]
            flags[:, :, 1] = FLAG * date
            layer = self.layers["embed_context"]
            stream = self._apply_per_layer(layer, np.concatenate([x, flags], 2)) + self.step_embed[q]
            stream += self._spatial("context_spatial", self._saturate(stream), size)
            tokens.append(self._saturate(stream))
        return np.concatenate(tokens)

    def _apply_per_layer(self, layer: Linear, x: Array) -> Array:
        accumulator = np.matmul(x, layer.weight) + layer.bias[:, None]
        return self._round(accumulator, (layer.exponent + layer.input_bits - RES_BITS)[:, None])

    # --- whole pass and single steps ------------------------------------------------------------------------

    def full(
        self, own: Array, contexts: Array, known: Array, q: int, size: tuple[int, int], layers: int = LAYERS
    ) -> Array:
        """Teacher-forced pass over the first `layers` (n) of the planes own (16, 64, P), with contexts
        (2, 16, 64, P) int8 -> trunk (n, P, width) int8.
        """
        tokens = self.context_tokens(contexts, known, q, size)
        shifted = np.concatenate([np.zeros_like(own[:1]), own[: layers - 1]])
        x = self._main_input(shifted, contexts[:, :layers], known[:, :layers])
        embed = self.layers["embed"]
        some = Linear(embed.weight[:layers], embed.bias[:layers], embed.exponent[:layers], embed.input_bits)
        stream = self._apply_per_layer(some, x) + self.step_embed[q]
        causal = np.tril(np.ones((layers, layers), self.dtype))
        mask = np.concatenate([causal, np.ones((layers, 2 * LAYERS), self.dtype)], 1)
        for b, (key, value) in enumerate(self._context_pairs(tokens)):
            name = f"blocks.{b}.attention"
            n = self._saturate(stream)
            q_, k, v = (self._split(self._act(f"{name}.{part}", n)) for part in ("query", "key", "value"))
            stream += self._attend(name, q_, np.concatenate([k, key], 2), np.concatenate([v, value], 2), mask)
            stream += self._spatial(f"blocks.{b}.spatial", self._saturate(stream), size)
        return self._saturate(stream)

    def _main_input(self, shifted: Array, contexts: Array, known: Array) -> Array:
        parts = [np.moveaxis(p, 1, 2) for p in (shifted, contexts[0], contexts[1])]
        flags = np.broadcast_to((known * np.int64(FLAG)).T[:, None], (*parts[0].shape[:2], 2))
        return np.concatenate([*parts, flags], 2).astype(self.dtype)

    def head(self, layer: int, trunk: Array) -> Array:
        """Raw head of layers 1..15: trunk (P, width) -> (4, 32, P) int64 (mean 2^-6, scale 2^-3, gates
        2^-6).
        """
        hidden = self._act("head_hidden", trunk, relu=True, index=layer)
        return self._heads(self._pick("head", layer), hidden)

    def first_head(self, trunk: Array, spatial: Array, phase: NDArray[np.int8]) -> Array:
        """Raw head of layer 0: trunk (n, width), neighbour planes (96, n), phase (n,) -> (6, 32, n) int64."""
        onehot = (phase[:, None] == np.arange(5)) * np.int64(FLAG)
        x = np.concatenate([trunk, spatial.T, onehot], 1).astype(self.dtype)
        hidden = self._act("first_hidden", x, relu=True)
        return self._heads(self.layers["first_head"], hidden)

    def heads_of_all(
        self,
        own: Array,
        contexts: Array,
        known: Array,
        spatial: Array,
        q: int,
        size: tuple[int, int],
        layers: int = LAYERS,
    ) -> tuple[Array, Array]:
        """Encoder's pass: raw heads of layer 0 (6, 32, P) and of the later ones of the first `layers`
        (layers - 1, 4, 32, P), int64.

        spatial: neighbour planes (96, P) of the whole layer 0, see `swathpack.edge.codec.latents.spatial_planes`.
        """
        trunk = self.full(own, contexts, known, q, size, layers)
        first = self.first_head(trunk[0], spatial, phase_map(*size).reshape(-1))
        return first, np.stack([self.head(j, trunk[j]) for j in range(1, layers)])

    def _heads(self, layer: Linear, hidden: Array) -> Array:
        parts = layer.weight.shape[-1] // GROUP
        raw = np.matmul(hidden, layer.weight) + layer.bias
        out = self._round(raw, layer.exponent + layer.input_bits - head_bits(parts))
        return out.astype(np.int64).reshape(-1, parts, GROUP).transpose(1, 2, 0)

    def start(self, contexts: Array, known: Array, q: int, size: tuple[int, int]) -> Stepper:
        """A decoder that computes the trunk layer by layer with cached keys and values."""
        return Stepper(self, contexts, known, q, size)


class Stepper:
    """The network one layer at a time; `step(j, planes of layer j - 1)` gives the trunk (P, width) of layer
    j.
    """

    def __init__(self, network: ExactNetwork, contexts: Array, known: Array, q: int, size: tuple[int, int]) -> None:
        self.network, self.contexts, self.known, self.q, self.size = network, contexts, known, q, size
        self.next_layer = 0
        positions = contexts.shape[-1]
        pairs = network._context_pairs(network.context_tokens(contexts, known, q, size))
        # Context keys first, then room for the 16 layers: attention reads one contiguous prefix.
        shape = (positions, network.heads, 3 * LAYERS, network.width // network.heads)
        self.keys = [np.empty(shape, network.dtype) for _ in pairs]
        self.values = [np.empty(shape, network.dtype) for _ in pairs]
        for b, (key, value) in enumerate(pairs):
            self.keys[b][:, :, : 2 * LAYERS], self.values[b][:, :, : 2 * LAYERS] = key, value

    def step(self, layer: int, previous: Array | None) -> Array:
        """previous: int8 planes (64, P) of layer - 1 (None for layer 0). Layers must come in order."""
        if layer != self.next_layer:
            raise ValueError(f"layers decode in order: expected {self.next_layer}, found {layer}")
        self.next_layer += 1
        net, end = self.network, 2 * LAYERS + layer
        before = np.zeros((64, self.contexts.shape[-1]), np.int8) if previous is None else previous
        x = net._main_input(before[None], self.contexts[:, layer : layer + 1], self.known[:, layer : layer + 1])[0]
        stream = net._apply(net._pick("embed", layer), x, RES_BITS) + net.step_embed[self.q]
        for b in range(net.blocks):
            name = f"blocks.{b}.attention"
            n = net._saturate(stream)[None]
            query = net._split(net._act(f"{name}.query", n))
            self.keys[b][:, :, end : end + 1] = net._split(net._act(f"{name}.key", n))
            self.values[b][:, :, end : end + 1] = net._split(net._act(f"{name}.value", n))
            stream += net._attend(name, query, self.keys[b][:, :, : end + 1], self.values[b][:, :, : end + 1], None)[0]
            stream += net._spatial(f"blocks.{b}.spatial", net._saturate(stream), self.size)
        return net._saturate(stream)
