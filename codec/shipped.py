"""A shipped model directory back in torch, frozen, so that it can be trained further without its checkpoints.

    transform = read_transform(Path("models/edge"))     # weights as stored, in half precision
    entropy = read_entropy(Path("models/edge"))         # on the integer network's own grid
    network = read_restoration(Path("models/restoration"))    # over drawn frames, at its whole strength

The inverse of `swathpack.export.transform_graphs` and `swathpack.export.integer`: exporting what was read gives the same graphs and
the same integer weights. Only the tables over the 64 steps are kept as nine anchors, and come back to within
one unit.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swathpack.codec.entropy import ACT, ANCHORS, RES, EntropyModel, PerLayer, Shared, Spatial
from swathpack.codec.restoration import Restoration
from swathpack.codec.transform import EdgeTransform, LatentNetwork, PostFilter
from swathpack.edge.bands import BANDS
from swathpack.edge.digests import MANIFEST
from swathpack.edge.spoken import reason
from swathpack.edge.stream.quality import STEPS

Arrays = dict[str, NDArray[Any]]


class ShippedModelError(ValueError):
    """A model directory that does not hold the networks this code knows; names the file and what is missing."""


def _initialisers(path: Path) -> Arrays:
    """Every stored constant of an ONNX graph by its name; half precision comes back as float32."""
    import onnx
    from google.protobuf.message import DecodeError
    from onnx import numpy_helper

    try:
        graph = onnx.load(str(path)).graph
    except (OSError, DecodeError) as error:
        raise ShippedModelError(f"{path}: {reason(error, path)}") from error
    arrays = {i.name.removesuffix(".half"): numpy_helper.to_array(i) for i in graph.initializer}
    return {k: v.astype(np.float32) if v.dtype == np.float16 else v for k, v in arrays.items()}


def _put(parameter: Tensor, arrays: Arrays, name: str, path: Path) -> None:
    found = arrays.get(name)
    if found is None or found.size != parameter.numel():
        shape = "nothing" if found is None else str(found.shape)
        raise ShippedModelError(f"{path}: {name}: expected {tuple(parameter.shape)}, found {shape}")
    with torch.no_grad():
        parameter.copy_(torch.from_numpy(np.array(found)).reshape(parameter.shape))


def _put_layer(layer: nn.Module, arrays: Arrays, name: str, path: Path, weight: str, bias: str) -> None:
    _put(layer.weight, arrays, f"{name}.{weight}", path)  # type: ignore[arg-type]
    _put(layer.bias, arrays, f"{name}.{bias}", path)  # type: ignore[arg-type]


def _residuals(block: nn.Module, arrays: Arrays, name: str, path: Path) -> None:
    for part in ("first", "second"):
        _put_layer(getattr(block, part), arrays, f"{name}.{part}", path, "weight", "bias")


def _put_later_parts(model: EdgeTransform, arrays: Arrays, path: Path) -> None:
    """Parts that graphs before the entropy model's say in synthesis do not have; they start as zero and do nothing."""
    net, post = model.latent_network, model.post_filter
    if "latent.side.weight" in arrays:
        _put(net.side.weight, arrays, "latent.side.weight", path)
        arrays["latent.centroid"] = -arrays["latent.centroid"]  # the graph's sign is that of mean minus value
        _put(net.centroid.table, arrays, "latent.centroid", path)
        _residuals(post.extra, arrays, "post.extra", path)


def _width(arrays: Arrays, name: str, path: Path) -> int:
    if name not in arrays:
        raise ShippedModelError(f"{path}: {name}: expected a weight, found nothing")
    return int(arrays[name].shape[0])


def read_transform(directory: Path) -> EdgeTransform:
    """Analysis and synthesis of a model directory. Widths are read from the shapes. Raises ShippedModelError.

    `deviation`, which only training from the start needs, is left at one.
    """
    source, sink = directory / "analysis.onnx", directory / "synthesis.onnx"
    analysis, synthesis = _initialisers(source), _initialisers(sink)
    model = EdgeTransform()
    net = model.latent_network = LatentNetwork(_width(synthesis, "latent.enter.weight", sink))
    post = model.post_filter = PostFilter(_width(synthesis, "post.enter.weight", sink))
    _put(model.analysis_kernel, analysis, "kernel", source)
    _put(model.synthesis_kernel, synthesis, "kernel", sink)
    _put(model.band_mean, synthesis, "mean", sink)
    for part in ("enter", "leave"):
        _put_layer(getattr(net, part), synthesis, f"latent.{part}", sink, "weight", "bias")
    _put_layer(net.step, synthesis, "latent.step", sink, "w", "b")
    for i, block in enumerate(net.body):
        _residuals(block, synthesis, f"latent.body{i}", sink)
    # The graph's planes are in SpaceToDepth's order, see swathpack.export.transform_graphs.
    order = np.array([band * 4 + cell for cell in range(4) for band in range(12)])
    synthesis["post.enter.weight"] = synthesis["post.enter.weight"][:, np.argsort(order)]
    for part in ("enter", "leave"):
        _put_layer(getattr(post, part), synthesis, f"post.{part}", sink, "weight", "bias")
    _put_layer(post.step, synthesis, "post.step", sink, "w", "b")
    _residuals(post.body, synthesis, "post.body", sink)
    _put_later_parts(model, synthesis, sink)
    return model.eval().requires_grad_(False)


def _anchored(table: NDArray[Any]) -> Tensor:
    """(64, n) values at the steps -> (ANCHORS, n), the least-squares fit of `EntropyModel.at_step`."""
    position = np.arange(STEPS) / STEPS * (ANCHORS - 1)
    low = np.minimum(position.astype(int), ANCHORS - 2)
    hat = np.zeros((STEPS, ANCHORS))
    hat[np.arange(STEPS), low] = 1 - (position - low)
    hat[np.arange(STEPS), low + 1] = position - low
    return torch.from_numpy(np.linalg.lstsq(hat, table.astype(np.float64), rcond=None)[0]).float()


def _restore(layer: nn.Module, name: str, arrays: Arrays, path: Path) -> None:
    """Integer weight, bias and exponent of one layer back to real numbers."""
    prefix, weight, bias, bits = name, "weight", "bias", ACT
    if isinstance(layer, Spatial):
        prefix, weight, bias = f"{name}.kernel", "kernel", "kernel_bias"
    elif isinstance(layer, PerLayer):
        bits = layer.input_bits
    w, b, e = (arrays.get(f"{prefix}.{part}") for part in ("weight", "bias", "exponent"))
    if w is None or b is None or e is None:
        raise ShippedModelError(f"{path}: {prefix}: expected weight, bias and exponent")
    exponent = e.astype(np.float64)
    real = w.astype(np.float64) * np.exp2(-(exponent[:, None] if w.ndim == 3 else exponent))
    real = real if w.ndim == 3 else real.T
    found = {prefix: real.astype(np.float32), "bias": (b * np.exp2(-(exponent + bits))).astype(np.float32)}
    _put(getattr(layer, weight), found, prefix, path)
    _put(getattr(layer, bias), found, "bias", path)


def read_entropy(directory: Path) -> EntropyModel:
    """The entropy network of a model directory, ready for training in its rounding form. Raises
    ShippedModelError.
    """
    path = directory / "entropy.npz"
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {key: archive[key] for key in archive.files}
    except (OSError, ValueError) as error:
        raise ShippedModelError(f"{path}: {reason(error, path)}") from error
    model = EntropyModel()
    for name, module in model.named_modules():
        if isinstance(module, (PerLayer, Shared, Spatial)):
            _restore(module, name, arrays, path)
    for name, unit in (("base_index", 1.0), ("step_embed", 2.0**-RES)):
        table = arrays.get(name)
        wanted = getattr(model, name).shape[1:]
        if table is None or table.shape != (STEPS, *wanted):
            raise ShippedModelError(f"{path}: {name}: expected {(STEPS, *wanted)}")
        getattr(model, name).data.copy_(_anchored(table) * unit)
    model.set_quantised(True)
    return model.eval().requires_grad_(False)


def read_restoration(directory: Path) -> Restoration:
    """The network over drawn frames, ready for training: what it says, not the part of it that is added. Raises ShippedModelError."""
    path, model = directory / "restoration.onnx", Restoration()
    arrays = _initialisers(path)
    try:
        strength = float(json.loads((directory / MANIFEST).read_text())["strength"])
    except (OSError, ValueError, KeyError) as error:
        raise ShippedModelError(f"{directory / MANIFEST}: {reason(error, directory)}") from error
    # The graph's planes are in SpaceToDepth's order, see swathpack.export.restoration.
    for name, planes in (("enter", 4 * len(BANDS)), ("down", 4 * model.enter.out_channels)):
        order, weight = np.arange(planes).reshape(-1, 4).T.ravel(), f"{name}.weight"
        if weight in arrays:
            arrays[weight] = np.concatenate([arrays[weight][:, np.argsort(order)], arrays[weight][:, planes:]], axis=1)
    for part in ("weight", "bias"):
        arrays[f"leave.{part}"] = arrays.get(f"leave.{part}", np.zeros(0)) / strength
    for name, parameter in model.named_parameters():
        _put(parameter, arrays, name, path)
    return model
