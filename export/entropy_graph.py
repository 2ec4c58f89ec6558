"""The exact entropy network as an explicit Q/DQ ONNX graph: one encoder pass over all 16 layers, or over the first
ones only (entropy_base.onnx, for the base layer's pass: the same inputs, fewer outputs).

Inputs (int8 planes as in `swathpack.edge.codec.latents`; B tiles of h x w positions):
  own (B, 1024, h, w)        the latent's planes          context (B, 2048, h, w)  planes of both contexts
  known (B, 32)              1 known, 0 not, -1 base      step (B, 96) float       residual units / 2^8
  spatial (B, 101, h, w)     neighbour planes of layer 0 and its five phase planes (0 or 127)
Outputs (raw accumulators, exact in float32):
  first (B, h*w, 192)        head of layer 0              rest (B, 1920, h*w, 1)   heads of layers 1..15

Every activation passes QuantizeLinear with a power-of-two scale, every weight is int8 with a power-of-two
scale per output channel, biases are float and end in 1/4 of the accumulator's unit, so no rounding meets a
tie.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto

from swathpack.edge.codec.latents import GROUP, LAYERS
from swathpack.edge.codec.network import ACT_BITS, FLAG, IN_BITS, MIX_SHIFT, RES_BITS, SCORE_SHIFT
from swathpack.export.graph import Graph

PLANES = 2 * GROUP
Parameters = dict[str, NDArray[Any]]


def _power(bits: Any) -> Any:
    return np.exp2(-np.asarray(bits, np.float64)).astype(np.float32)


class EntropyGraph(Graph):
    """Builder with the network's own operations; tokens are (B, J, P, width).

    b, h, w, n: one-element tensors of the batch, rows, columns and positions, see `_sizes`.
    """

    b: str
    h: str
    w: str
    n: str

    def __init__(self, parameters: Parameters, layers: int = LAYERS) -> None:
        super().__init__("swathpack_entropy")
        self.layers = layers
        self.p = dict(parameters)  # joined by the weights of merged layers
        self.width = int(parameters["step_embed"].shape[1])
        self.heads = int(parameters["heads"])
        self.scale = {b: self.constant(f"scale.{b}", np.float32(2.0**-b)) for b in (ACT_BITS, IN_BITS)}
        self.zero = self.constant("zero_point", np.int8(0))
        self.quarter = {s: self.constant(f"quarter.{s}", np.float32(0.25 * 2.0**-s)) for s in (RES_BITS, 2 * ACT_BITS)}

    # --- arithmetic

    def quantised(self, x: str, bits: int = ACT_BITS) -> str:
        """To int8 / 2^bits and back: the only place where activations round."""
        return self.dequantised(self.int8(x, bits), bits)

    def int8(self, x: str, bits: int = ACT_BITS) -> str:
        """To int8 / 2^bits."""
        return self.add("QuantizeLinear", [x, self.scale[bits], self.zero])

    def dequantised(self, x: str, bits: int = ACT_BITS) -> str:
        """Of int8 / 2^bits, in float32."""
        return self.add("DequantizeLinear", [x, self.scale[bits], self.zero])

    def weight(self, name: str, value: NDArray[Any], exponent: NDArray[Any], axis: int) -> str:
        """int8 weights through DequantizeLinear, one scale per output channel."""
        scale = self.constant(f"{name}.scale", _power(exponent))
        zero = self.constant(f"{name}.zero", np.zeros(exponent.shape, np.int8))
        return self.add("DequantizeLinear", [self.constant(f"{name}.int8", value), scale, zero], axis=axis)

    def bias(self, name: str, bits: int) -> NDArray[np.float32]:
        """A layer's bias in the accumulator's unit, + 1/4, so that no rounding ends in a tie."""
        exponent = self.p[f"{name}.exponent"].astype(np.float64)
        return ((self.p[f"{name}.bias"] + 0.25) * np.exp2(-(exponent + bits))).astype(np.float32)

    def linear(self, name: str, x: str) -> str:
        """Shared linear layer over the last axis, accumulator out."""
        w = self.weight(name, self.p[f"{name}.weight"], self.p[f"{name}.exponent"], axis=1)
        return self.add("Add", [self.add("MatMul", [x, w]), self.constant(f"{name}.bias", self.bias(name, ACT_BITS))])

    def act(self, name: str, x: str, relu: bool = False) -> str:
        """Linear layer, then ReLU when asked, to int8 activations."""
        y = self.linear(name, x)
        return self.quantised(self.add("Relu", [y]) if relu else y)

    def per_layer(self, name: str, x: str, bits: int, first: int = 0, last: int = LAYERS) -> str:
        """Linear layer of each of the latent layers [first, last) as a grouped 1x1 convolution; x (B, J * inputs, P,
        1).
        """
        bias = self.constant(f"{name}.bias", self.bias(name, bits)[first:last].reshape(-1))
        return self.add("Conv", [x, self._grouped(name, first, last), bias], group=last - first)

    def _grouped(self, name: str, first: int, last: int) -> str:
        w, e = self.p[f"{name}.weight"][first:last], self.p[f"{name}.exponent"][first:last]
        j, inputs, outputs = w.shape
        kernel = w.transpose(0, 2, 1).reshape(j * outputs, inputs, 1, 1)
        return self.weight(name, kernel, e.reshape(-1), axis=0)

    def biased(self, name: str, conv: str, bias: NDArray[np.float32]) -> str:
        """conv (B, J * n, ...) + bias (J, n), as (B, J, n, P): for every convolution that a quantiser
        follows.

        Not as the convolution's own bias: between Q/DQ pairs ONNX Runtime rounds that to int32
        (WeightBiasQuantization, from the level "basic" on) and so drops the 1/4. The Reshape keeps the Add
        from being fused back.
        """
        four = self.reshape(conv, self.b, *bias.shape, self.n)
        return self.add("Add", [four, self.constant(f"{name}.bias", bias[..., None])])

    def to_residual(self, x: str) -> str:
        """Round to the residual stream's grid."""
        up, down = (self._shared(n, v) for n, v in (("res.up", 2.0**RES_BITS), ("res.down", 2.0**-RES_BITS)))
        return self.add("Mul", [self.add("Round", [self.add("Mul", [x, up])]), down])

    def _shared(self, name: str, value: float) -> str:
        if name not in {i.name for i in self.initialisers}:
            self.constant(name, np.float32(value))
        return name

    def shape(self, *parts: int | str) -> str:
        """A shape tensor of constants and one-element tensors."""
        names = [p if isinstance(p, str) else self._dim(p) for p in parts]
        return self.add("Concat", names, axis=0)

    def _dim(self, value: int) -> str:
        name = f"dim.{value}"
        if name not in {i.name for i in self.initialisers}:
            self.constant(name, np.array([value], np.int64))
        return name

    def reshape(self, x: str, *parts: int | str) -> str:
        """To a shape of constants and one-element tensors, see `shape`."""
        return self.add("Reshape", [x, self.shape(*parts)])

    def transpose(self, x: str, *order: int) -> str:
        """Axes in another order, as numpy's."""
        return self.add("Transpose", [x], perm=list(order))

    # --- parts of the network

    def spatial_branch(self, name: str, x: str, layers: int) -> str:
        """x quantised (B, J, P, width) -> residual increment."""
        d = self.width
        flat = self.reshape(self.transpose(x, 0, 1, 3, 2), self.b, layers * d, self.h, self.w)
        kernel, e = self.p[f"{name}.kernel.weight"], self.p[f"{name}.kernel.exponent"]
        tiled = np.tile(kernel.T.reshape(d, 1, 3, 3), (layers, 1, 1, 1))
        weight = self.weight(f"{name}.kernel", tiled, np.tile(e, layers), axis=0)
        conv = self.add("Conv", [flat, weight], group=layers * d, pads=[1] * 4)
        bias = np.tile(self.bias(f"{name}.kernel", ACT_BITS), (layers, 1))
        back = self.transpose(self.quantised(self.biased(f"{name}.kernel", conv, bias)), 0, 1, 3, 2)
        return self.to_residual(self.linear(f"{name}.down", self.act(f"{name}.up", back, relu=True)))

    def merged(self, name: str, parts: list[str], x: str) -> str:
        """Linear layers that read the same x as one product: (B, J, P, inputs) -> int8 (B, P, parts * heads, J,
        width / heads).

        One product, since ONNX Runtime finds an int8 kernel only for a quantised tensor that a single layer reads;
        and int8 until the parts are where they are needed, since moving them costs more than computing them.
        """
        for kind, axis in (("weight", 1), ("bias", 0), ("exponent", 0)):
            self.p[f"{name}.{kind}"] = np.concatenate([self.p[f"{part}.{kind}"] for part in parts], axis=axis)
        layers = 2 * LAYERS if name == "context" else self.layers
        size = self.width // self.heads
        joined = self.int8(self.linear(name, x))
        five = self.reshape(joined, self.b, layers, self.n, len(parts) * self.heads, size)
        return self.transpose(five, 0, 2, 3, 1, 4)

    def part(self, merged: str, number: int) -> str:
        """int8 (B, P, heads, J, width / heads): one of the layers in the result of `merged`."""
        ends = [self._dim(v) for v in (number * self.heads, (number + 1) * self.heads, 2)]
        return self.add("Slice", [merged, *ends])

    def attention(self, block: int, x: str, context: str) -> str:
        """Layer tokens x (quantised) over earlier layers and the 32 context tokens (keys and values of all blocks)."""
        name = f"blocks.{block}.attention"
        own = self.merged(f"{name}.own", [f"{name}.{part}" for part in ("query", "key", "value")], x)
        key, value = (
            self.add("Concat", [self.part(own, 1 + i), self.part(context, 2 * block + i)], axis=3) for i in range(2)
        )
        turned = self.dequantised(self.transpose(key, 0, 1, 2, 4, 3))
        score = self.add("MatMul", [self.dequantised(self.part(own, 0)), turned])
        score = self.add("Add", [score, self.quarter[2 * ACT_BITS]])
        # The mask holds the shift: a masked score is 0 before it is quantised, and stays 0.
        weight = self.quantised(self.add("Mul", [self.add("Relu", [score]), "mask"]))
        mixed = self.add("Add", [self.add("MatMul", [weight, self.dequantised(value)]), self.quarter[2 * ACT_BITS]])
        mixed = self.quantised(self.add("Mul", [mixed, self._shared("mix.scale", 2.0**-MIX_SHIFT)]))
        joined = self.reshape(self.transpose(mixed, 0, 3, 1, 2, 4), self.b, self.layers, self.n, self.width)
        return self.to_residual(self.linear(f"{name}.out", joined))

    def embedded(self, name: str, planes: list[str], inputs: int, step: str, layers: int) -> str:
        """Concatenated planes (B, J, n, P) -> residual stream (B, J, P, width), with the offset of 1/4."""
        joined = self.reshape(self.add("Concat", planes, axis=2), self.b, layers * inputs, self.n, 1)
        # First the shape, then the rounding: over a last axis of 1, ONNX Runtime's Mul takes ten times as long.
        embedded = self.per_layer(name, joined, IN_BITS, last=layers)
        four = self.reshape(embedded, self.b, layers, self.width, self.n)
        return self.add("Add", [self.to_residual(self.transpose(four, 0, 1, 3, 2)), step])

    def first_layers(self, x: str) -> str:
        """The first of x (B, 16, ...) that the graph is about."""
        if self.layers == LAYERS:
            return x
        return self.add("Slice", [x, self._dim(0), self._dim(self.layers), self._dim(1)])


def _flags(g: EntropyGraph, value: str, count: int, layers: int) -> str:
    """(B, J, count, 1) -> over all positions."""
    return g.add("Expand", [value, g.shape(g.b, layers, count, g.n)])


def entropy_graph(parameters: Parameters, layers: int = LAYERS) -> Any:
    """The checked ModelProto of a pass over the first `layers` layers (at least 2)."""
    g = EntropyGraph(parameters, layers)
    int8 = TensorProto.INT8
    own8 = g.input("own", ["batch", LAYERS * PLANES, "rows", "columns"], int8)
    context8 = g.input("context", ["batch", 2 * LAYERS * PLANES, "rows", "columns"], int8)
    known = g.input("known", ["batch", 2 * LAYERS])
    step_in = g.input("step", ["batch", g.width])
    spatial8 = g.input("spatial", ["batch", 3 * GROUP + 5, "rows", "columns"], int8)
    causal = np.concatenate([np.tril(np.ones((layers, layers))), np.ones((layers, 2 * LAYERS))], 1)
    g.constant("mask", (causal * 2.0**-SCORE_SHIFT).astype(np.float32))
    _sizes(g, own8)

    step = g.add("Add", [g.reshape(step_in, g.b, 1, 1, g.width), g.quarter[RES_BITS]])
    own = g.reshape(g.add("DequantizeLinear", [own8, g.scale[IN_BITS], g.zero]), g.b, LAYERS, PLANES, g.n)
    both = g.reshape(g.add("DequantizeLinear", [context8, g.scale[IN_BITS], g.zero]), g.b, 2, LAYERS, PLANES, g.n)
    first, second = (g.add("Gather", [both, g.constant(f"date.{i}", np.int64(i))], axis=1) for i in range(2))
    flag = g.add("Mul", [known, g.constant("flag", np.float32(FLAG * 2.0**-IN_BITS))])
    known_pair = g.transpose(g.reshape(flag, g.b, 2, LAYERS, 1), 0, 2, 1, 3)  # (B, 16, 2, 1)
    tokens = _context_tokens(g, (first, second), known_pair, step)
    flags = _flags(g, g.first_layers(known_pair), 2, layers)
    planes = [_shifted(g, own), g.first_layers(first), g.first_layers(second), flags]
    stream = g.embedded("embed", planes, 3 * PLANES + 2, step, layers)
    blocks = sum(1 for k in parameters if k.endswith("attention.query.weight"))
    sides = [f"blocks.{b}.attention.context_{part}" for b in range(blocks) for part in ("key", "value")]
    context = g.merged("context", sides, tokens)
    for b in range(blocks):
        name = f"blocks.{b}"
        stream = g.add("Add", [stream, g.attention(b, g.quantised(stream), context)])
        stream = g.add("Add", [stream, g.spatial_branch(f"{name}.spatial", g.quantised(stream), layers)])
    _heads(g, g.quantised(stream), spatial8)
    return g.model()


def _sizes(g: EntropyGraph, x: str) -> None:
    """One-element tensors B, h, w and n = h * w."""
    shape = g.add("Shape", [x])
    g.b, g.h, g.w = (g.add("Gather", [shape, g.constant(f"at.{i}", np.array([i], np.int64))]) for i in (0, 2, 3))
    g.n = g.add("Mul", [g.h, g.w])


def _shifted(g: EntropyGraph, own: str) -> str:
    """Planes of layer j - 1 at place j; zero for layer 0."""
    ends = [
        g.constant(f"shift.{n}", np.array([v], np.int64))
        for n, v in (("start", 0), ("stop", g.layers - 1), ("axis", 1))
    ]
    earlier = g.add("Slice", [own, *ends])
    pads = g.constant("shift.pads", np.array([0, 1, 0, 0, 0, 0, 0, 0], np.int64))
    return g.add("Pad", [earlier, pads])


def _context_tokens(g: EntropyGraph, contexts: tuple[str, str], known: str, step: str) -> str:
    """(B, 32, P, width) quantised tokens of both dates; their weights stand in the graph once."""
    joined = g.add("Concat", list(contexts), axis=0)  # dates as batch: (2B, 16, 64, P)
    flags = [g.add("Gather", [known, g.constant(f"known.{i}", np.array([i], np.int64))], axis=2) for i in range(2)]
    known2 = g.add("Concat", flags, axis=0)
    constant = np.array([0, FLAG * 2.0**-IN_BITS], np.float32)
    dates = [
        g.add("Add", [g.add("Mul", [f, g._shared("nothing", 0.0)]), g.constant(f"date.flag.{i}", constant[i])])
        for i, f in enumerate(flags)
    ]
    pair = g.add("Concat", [known2, g.add("Concat", dates, axis=0)], axis=2)
    b, g.b = g.b, g.add("Mul", [g.b, g._dim(2)])
    step2 = g.add("Concat", [step, step], axis=0)
    stream = g.embedded("embed_context", [joined, _flags(g, pair, 2, LAYERS)], PLANES + 2, step2, LAYERS)
    stream = g.add("Add", [stream, g.spatial_branch("context_spatial", g.quantised(stream), LAYERS)])
    five = g.reshape(stream, 2, b, LAYERS, g.n, g.width)
    g.b = b
    # Quantised last, so that the products read int8 directly.
    return g.quantised(g.reshape(g.transpose(five, 1, 0, 2, 3, 4), b, 2 * LAYERS, g.n, g.width))


def _heads(g: EntropyGraph, trunk: str, spatial8: str) -> None:
    d = g.width
    ends = [
        g.constant(f"head.{n}", np.array([v], np.int64)) for n, v in (("start", 1), ("stop", g.layers), ("axis", 1))
    ]
    later = g.transpose(g.add("Slice", [trunk, *ends]), 0, 1, 3, 2)
    flat = g.reshape(later, g.b, (g.layers - 1) * d, g.n, 1)
    conv = g.add("Conv", [flat, g._grouped("head_hidden", 1, g.layers)], group=g.layers - 1)
    bias = g.bias("head_hidden", ACT_BITS)[1 : g.layers]
    hidden = g.quantised(g.add("Relu", [g.biased("head_hidden", conv, bias)]))
    g.per_layer("head", g.reshape(hidden, g.b, bias.size, g.n, 1), ACT_BITS, first=1, last=g.layers)
    g.nodes[-1].output[0] = "rest"
    g.output("rest", ["batch", (g.layers - 1) * 4 * GROUP, "positions", 1])
    planes = g.reshape(g.add("DequantizeLinear", [spatial8, g.scale[ACT_BITS], g.zero]), g.b, 3 * GROUP + 5, g.n)
    zero = g.constant("layer.0", np.int64(0))
    joined = g.add("Concat", [g.add("Gather", [trunk, zero], axis=1), g.transpose(planes, 0, 2, 1)], axis=2)
    # A Q/DQ pair that changes nothing: without it ONNX Runtime takes the layer for one with quantised weights
    # only and uses MatMulNBits, which requantises its input by blocks.
    g.linear("first_head", g.act("first_hidden", g.quantised(joined), relu=True))
    g.nodes[-1].output[0] = "first"
    g.output("first", ["batch", "positions", 6 * GROUP])
