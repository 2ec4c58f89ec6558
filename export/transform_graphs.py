"""Analysis and synthesis of the edge codec as ONNX graphs with dynamic sizes and half-precision weights.

analysis:  `frame` (B, 12, 16h + 8, 16w + 8) float32, DN already mirrored by 4 pixels -> `coefficients` (B,
512, h, w)

synthesis: `latent`, `expected` (the mean that the entropy model foresaw), both in steps, and `scale` (its
scale index), all (B, 512, h, w) float32, `q` (B, 1) float32 -> `frame` (B, 12, 16h, 16w) float32 DN
"""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from swathpack.codec.transform import EIGHTHS, FAR, OVERLAP, UNIT, EdgeTransform, PostFilter
from swathpack.edge.codec.latents import STRIDE
from swathpack.export.graph import Graph


def _array(tensor: Any) -> NDArray[np.float32]:
    return np.asarray(tensor.detach().numpy(), np.float32)


def analysis_graph(model: EdgeTransform) -> Any:
    """The lapped analysis as one convolution; the band mean and the unit are folded into weights and bias."""
    g = Graph("swathpack_analysis")
    x = g.input("frame", ["batch", 12, "height", "width"])
    mean = _array(model.band_mean)
    kernel = _array(model.analysis_kernel)
    bias = -(kernel.sum((2, 3)) @ mean) / UNIT
    centred = g.add("Mul", [x, g.constant("unit", np.float32(1 / UNIT))])
    y = g.add(
        "Conv",
        [centred, g.half_constant("kernel", kernel), g.constant("bias", bias.astype(np.float32))],
        strides=[STRIDE, STRIDE],
        output="coefficients",
    )
    g.output(y, ["batch", 512, "rows", "columns"])
    return g.model()


def _conv(g: Graph, name: str, x: str, layer: Any, weight: NDArray[Any] | None = None) -> str:
    w = _array(layer.weight) if weight is None else weight
    pad = w.shape[2] // 2
    return g.add(
        "Conv",
        [x, g.half_constant(f"{name}.weight", w), g.constant(f"{name}.bias", _array(layer.bias))],
        pads=[pad] * 4,
    )


def _condition(g: Graph, name: str, s: str, layer: Any) -> str:
    """step.Linear of (s, s^2) -> (B, width, 1, 1)."""
    pair = g.add("Concat", [s, g.add("Mul", [s, s])], axis=1)
    flat = g.add(
        "Gemm",
        [pair, g.constant(f"{name}.w", _array(layer.weight)), g.constant(f"{name}.b", _array(layer.bias))],
        transB=1,
    )
    return g.add("Unsqueeze", [flat, g.constant(f"{name}.axes", np.array([2, 3], np.int64))])


def _residual(g: Graph, name: str, x: str, block: Any) -> str:
    h = g.add("Relu", [_conv(g, f"{name}.first", x, block.first)])
    return g.add("Add", [x, _conv(g, f"{name}.second", h, block.second)])


def _flip_add(g: Graph, name: str, x: str, axis: int) -> str:
    """Fold the mirrored overlap of one axis back in (the adjoint of mirroring)."""

    def part(label: str, start: int, stop: int, step: int = 1) -> str:
        ints = [
            g.constant(f"{name}.{label}.{k}", np.array([v], np.int64))
            for k, v in (("start", start), ("stop", stop), ("axis", axis), ("step", step))
        ]
        return g.add("Slice", [x, *ints])

    end, o = np.iinfo(np.int64).max, OVERLAP
    first = g.add("Add", [part("first", o, 2 * o), part("before", o - 1, -end, -1)])
    last = g.add("Add", [part("last", -2 * o, -o), part("after", -1, -o - 1, -1)])
    return g.add("Concat", [first, part("middle", 2 * o, -2 * o), last], axis=axis)


def _post_filter(g: Graph, x: str, s: str, step8: str, block: PostFilter) -> str:
    weight = _array(block.enter.weight)
    # SpaceToDepth orders planes (y, x, band); torch's pixel_unshuffle orders them (band, y, x).
    order = np.array([band * 4 + cell for cell in range(4) for band in range(12)])
    scaled = g.add("Mul", [g.add("SpaceToDepth", [x], blocksize=2), g.constant("post.scale", np.float32(1 / 16))])
    h = g.add(
        "Add",
        [
            _conv(g, "post.enter", scaled, block.enter, weight[:, order]),
            _condition(g, "post.step", s, block.step),
        ],
    )
    h = _residual(g, "post.body", g.add("Relu", [h]), block.body)
    h = _residual(g, "post.extra", h, block.extra)
    h = g.add("DepthToSpace", [_conv(g, "post.leave", g.add("Relu", [h]), block.leave)], blocksize=2, mode="CRD")
    return g.add("Add", [x, g.add("Mul", [h, step8])])


def _side(g: Graph, away: str, scale: str, layer: Any) -> str:
    """What the entropy model foresaw, as input of the latent network."""
    near = g.add("Clip", [away, g.constant("side.low", np.float32(-FAR)), g.constant("side.high", np.float32(FAR))])
    level = g.add(
        "Sub",
        [
            g.add("Mul", [scale, g.constant("side.sixteenth", np.float32(1 / 16))]),
            g.constant("side.one", np.float32(1)),
        ],
    )
    planes = g.add("Concat", [near, level], axis=1)
    return g.add("Conv", [planes, g.half_constant("latent.side.weight", _array(layer.weight))])


def _centroid(g: Graph, away: str, scale: str, net: Any) -> str:
    """`swathpack.codec.transform.Centroid`; `away` is mean minus value here."""
    table = _array(net.centroid.table)
    eighths = g.add("Mul", [g.add("Abs", [away]), g.constant("centroid.eighths", np.float32(EIGHTHS))])
    limit = g.constant("centroid.last", np.float32(table.shape[0] - 1))
    place = g.add("Min", [g.add("Round", [eighths]), limit])
    row = g.add("Mul", [place, g.constant("centroid.width", np.float32(table.shape[1]))])
    index = g.add("Cast", [g.add("Add", [row, scale])], to=onnx.TensorProto.INT32)
    # The sign is that of value minus mean.
    found = g.add("Gather", [g.constant("latent.centroid", -table.reshape(-1)), index])
    return g.add("Mul", [found, g.add("Sign", [away])])


def synthesis_graph(model: EdgeTransform) -> Any:
    """Latent network, lapped inverse, post-filter."""
    g = Graph("swathpack_synthesis")
    grid = ["batch", 512, "rows", "columns"]
    y, mean, scale = (g.input(name, grid) for name in ("latent", "expected", "scale"))
    q = g.input("q", ["batch", 1])
    s = g.add(
        "Mul",
        [
            g.add("Sub", [q, g.constant("q.centre", np.float32(32))]),
            g.constant("q.scale", np.float32(1 / 16)),
        ],
    )
    axes = g.constant("axes", np.array([2, 3], np.int64))
    step = g.add("Pow", [g.constant("two", np.float32(2)), g.add("Mul", [q, g.constant("eighth", np.float32(1 / 8))])])
    step4 = g.add("Unsqueeze", [step, axes])
    net = model.latent_network
    size = g.add("Abs", [y])
    log = g.add("Log", [g.add("Add", [size, g.constant("one", np.float32(1))])])
    planes = g.add("Concat", [g.add("Mul", [g.add("Sign", [y]), log]), log], axis=1)
    h = g.add("Add", [_conv(g, "latent.enter", planes, net.enter), _condition(g, "latent.step", s, net.step)])
    away = g.add("Sub", [mean, y])
    h = g.add("Relu", [g.add("Add", [h, _side(g, away, scale, net.side)])])
    for i, block in enumerate(net.body):
        h = _residual(g, f"latent.body{i}", h, block)
    moved = g.add("Add", [_conv(g, "latent.leave", g.add("Relu", [h]), net.leave), _centroid(g, away, scale, net)])
    estimate = g.add("Add", [y, moved])
    coefficients = g.add("Mul", [estimate, step4])
    kernel = g.half_constant("kernel", _array(model.synthesis_kernel))
    x = g.add("ConvTranspose", [coefficients, kernel], strides=[STRIDE, STRIDE])
    x = _flip_add(g, "fold.columns", _flip_add(g, "fold.rows", x, 2), 3)
    step8 = g.add("Mul", [step4, g.constant("eighth4", np.float32(1 / 8))])
    x = _post_filter(g, x, s, step8, model.post_filter)
    level = g.constant("mean", _array(model.band_mean)[:, None, None])
    out = g.add("Add", [g.add("Mul", [x, g.constant("unit", np.float32(UNIT))]), level], output="frame")
    g.output(out, ["batch", 12, "height", "width"])
    return g.model()
