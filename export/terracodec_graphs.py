"""The transforms of a TEC-TT or FlexTEC model as ONNX graphs in the form that `swathpack.edge.codec.model` runs.

analysis:  `frame` (B, 12, 16h + 8, 16w + 8) float32 DN, mirrored by 4 pixels -> `coefficients` (B, 512, h, w)
synthesis: `latent` (B, 512, h, w) in steps of `q` (B, 1) -> `frame` (B, 12, 16h, 16w) DN

The model's channels stand at `slots` of the 512, the others are zero; `unit` is how many of our units one step of
the model's own rounding is. The features that the transformer adds before synthesis are left out: a decoder that
has the exact network does not have them.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from torch import nn

from swathpack.codec.terracodec.layers import AttentionBlock, ResidualUnit
from swathpack.codec.transform import OVERLAP
from swathpack.edge.codec.latents import CHANNELS
from swathpack.export.graph import Graph


def _weights(g: Graph, name: str, layer: Any) -> list[str]:
    weight, bias = (p.detach().cpu().numpy().astype(np.float32) for p in (layer.weight, layer.bias))
    return [g.half_constant(f"{name}.weight", weight), g.constant(f"{name}.bias", bias)]


def _add(g: Graph, name: str, x: str, layer: nn.Module) -> str:
    """One layer or block; raises TypeError for a kind that these models do not have."""
    if isinstance(layer, nn.Sequential):
        for i, inner in enumerate(layer):
            x = _add(g, f"{name}.{i}", x, inner)
        return x
    if isinstance(layer, nn.ReLU):
        return g.add("Relu", [x])
    if isinstance(layer, nn.Conv2d):
        pads = [layer.kernel_size[0] // 2] * 4
        return g.add("Conv", [x, *_weights(g, name, layer)], pads=pads, strides=list(layer.stride))
    if isinstance(layer, nn.ConvTranspose2d):
        return g.add(
            "ConvTranspose",
            [x, *_weights(g, name, layer)],
            pads=[2] * 4,
            strides=[2, 2],
            output_padding=[1, 1],
        )
    if isinstance(layer, ResidualUnit):
        return g.add("Relu", [g.add("Add", [x, _add(g, f"{name}.conv", x, layer.conv)])])
    if isinstance(layer, AttentionBlock):
        gate = g.add("Sigmoid", [_add(g, f"{name}.b", x, layer.conv_b)])
        return g.add("Add", [x, g.add("Mul", [_add(g, f"{name}.a", x, layer.conv_a), gate])])
    raise TypeError(f"{name}: expected a layer of TEC-TT, found {type(layer).__name__}")


def _chosen(g: Graph, name: str, matrix: NDArray[np.float32], x: str) -> str:
    """A 1x1 convolution that moves channels."""
    return g.add("Conv", [x, g.constant(name, matrix[:, :, None, None])])


def analysis_graph(
    layers: nn.Sequential,
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
    slots: NDArray[np.int64],
    unit: float,
) -> Any:
    """Frame to coefficients; mean and std (12,) DN are what the model standardises with."""
    g = Graph("terracodec_analysis")
    frame = g.input("frame", ["batch", 12, "height", "width"])
    ends = [
        g.constant(n, np.array(v, np.int64))
        for n, v in (("from", [OVERLAP, OVERLAP]), ("to", [-OVERLAP, -OVERLAP]), ("axes", [2, 3]))
    ]
    x = g.add("Slice", [frame, *ends])
    x = g.add("Sub", [x, g.constant("mean", mean[:, None, None])])
    x = g.add("Mul", [x, g.constant("scale", (1 / std)[:, None, None].astype(np.float32))])
    y = _add(g, "analysis", x, layers)
    matrix = np.zeros((CHANNELS, len(slots)), np.float32)
    matrix[slots, np.arange(len(slots))] = unit
    g.output(
        g.add("Identity", [_chosen(g, "slots", matrix, y)], output="coefficients"),
        ["batch", 512, "rows", "columns"],
    )
    return g.model()


def synthesis_graph(
    layers: nn.Sequential,
    mean: NDArray[np.float32],
    std: NDArray[np.float32],
    slots: NDArray[np.int64],
    unit: float,
) -> Any:
    """Latent to frame, the mirror image of `analysis_graph`."""
    g = Graph("terracodec_synthesis")
    latent, q = g.input("latent", ["batch", 512, "rows", "columns"]), g.input("q", ["batch", 1])
    matrix = np.zeros((len(slots), CHANNELS), np.float32)
    matrix[np.arange(len(slots)), slots] = 1 / unit
    step = g.add("Pow", [g.constant("two", np.float32(2)), g.add("Mul", [q, g.constant("eighth", np.float32(1 / 8))])])
    step = g.add("Unsqueeze", [step, g.constant("axes", np.array([2, 3], np.int64))])
    x = g.add("Mul", [_chosen(g, "slots", matrix, latent), step])
    x = _add(g, "synthesis", x, layers)
    x = g.add("Mul", [x, g.constant("std", std[:, None, None])])
    out = g.add("Add", [x, g.constant("mean", mean[:, None, None])], output="frame")
    g.output(out, ["batch", 12, "height", "width"])
    return g.model()
