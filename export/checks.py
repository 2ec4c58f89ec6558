"""Checks of an exported entropy graph: what keeps it exact, and what TensorRT 10.3 takes.

`check_entropy_graph` reads the graph as a runtime will, without the builder that made it: every quantiser is int8
with a power-of-two scale and zero point 0, every weight is int8, every bias ends in exactly 1/4 of its accumulator's
unit (so that no rounding meets a tie, `no_ties`), and no operation rounds but QuantizeLinear and Round.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, numpy_helper

from swathpack.edge.codec.network import ACT_BITS, IN_BITS
from swathpack.export.graph import OPSET

# Shape operations move values, Mul only ever multiplies by powers of two, masks and flags.
EXACT_OPS = {
    "Add",
    "Concat",
    "Conv",
    "DequantizeLinear",
    "Expand",
    "Gather",
    "MatMul",
    "Mul",
    "Pad",
    "QuantizeLinear",
    "Relu",
    "Reshape",
    "Round",
    "Shape",
    "Slice",
    "Transpose",
}
PEAK = 127


class CheckError(ValueError):
    """An exported graph or array that breaks a rule; names the layer or node, what was expected and found."""


def check_integers(parameters: dict[str, NDArray[Any]]) -> int:
    """Every weight is an integer of -127..127; returns the number of layers."""
    weights = {k[: -len(".weight")]: v for k, v in parameters.items() if k.endswith(".weight")}
    for layer, weight in weights.items():
        peak = int(np.abs(weight.astype(np.int64)).max(initial=0))
        if weight.dtype.kind != "i" or peak > PEAK:
            raise CheckError(f"{layer}: expected int8 weights of at most {PEAK}, found {weight.dtype} up to {peak}")
    return len(weights)


def check_entropy_graph(model: Any) -> dict[str, int]:
    """Counts of what was checked; raises CheckError."""
    onnx.checker.check_model(model, full_check=True)
    opset = {o.domain: o.version for o in model.opset_import}
    if opset != {"": OPSET}:
        raise CheckError(f"expected opset {OPSET} alone, which TensorRT 10.3 takes; found {opset}")
    found = sorted({n.op_type for n in model.graph.node} - EXACT_OPS)
    if found:
        raise CheckError(f"expected none but exact operations, found {', '.join(found)}")
    constants = {i.name: i for i in model.graph.initializer}
    quantisers = sum(1 for _ in _quantisers(model, constants))
    return {
        "nodes": len(model.graph.node),
        "quantisers": quantisers,
        "layers": _check_weights(model, constants),
        "biases": _check_biases(constants),
    }


def _quantisers(model: Any, constants: dict[str, Any]) -> Iterator[str]:
    for node in model.graph.node:
        if node.op_type not in ("QuantizeLinear", "DequantizeLinear"):
            continue
        scale, zero = (constants.get(name) for name in node.input[1:3])
        if scale is None or zero is None:
            raise CheckError(f"{node.name}: expected a constant scale and zero point")
        values = numpy_helper.to_array(scale).reshape(-1)
        if (np.frexp(values)[0] != 0.5).any() or (values <= 0).any():
            raise CheckError(
                f"{node.name}: expected power-of-two scales, found {values[np.frexp(values)[0] != 0.5][:1]}"
            )
        if zero.data_type != TensorProto.INT8 or numpy_helper.to_array(zero).any():
            raise CheckError(f"{node.name}: expected the int8 zero point 0")
        yield node.name


def _check_weights(model: Any, constants: dict[str, Any]) -> int:
    """Products read activations or int8 constants through DequantizeLinear, never float weights."""
    made = {name: node for node in model.graph.node for name in node.output}
    layers = 0
    for node in model.graph.node:
        if node.op_type not in ("Conv", "MatMul"):
            continue
        weight = made.get(node.input[1])
        if node.input[1] in constants or weight is None:
            raise CheckError(f"{node.name}: expected int8 weights behind DequantizeLinear, found {node.input[1]}")
        stored = constants.get(weight.input[0])
        if weight.op_type == "DequantizeLinear" and stored is not None:
            layers += 1
            if stored.data_type != TensorProto.INT8:
                raise CheckError(f"{weight.input[0]}: expected int8, found type {stored.data_type}")
    return layers


def _check_biases(constants: dict[str, Any]) -> int:
    """No ties: accumulators are integers plus 1/4 of their unit, so no rounding of them ends in 1/2."""
    count = 0
    for name in constants:
        if not name.endswith(".bias"):
            continue
        layer = name[: -len(".bias")]
        scale = numpy_helper.to_array(constants[f"{layer}.scale"]).astype(np.float64).reshape(-1)
        bits = IN_BITS if layer.startswith("embed") else ACT_BITS
        bias = numpy_helper.to_array(constants[name]).astype(np.float64).reshape(-1)
        units = bias / (scale * 2.0**-bits)
        if bias.shape != scale.shape or (units - np.floor(units) != 0.25).any():
            worst = units[int(np.argmax(units - np.floor(units) != 0.25))] if bias.shape == scale.shape else bias.shape
            raise CheckError(f"{layer}: expected every bias to end in 1/4 of its unit, found {worst}")
        count += 1
    return count


def describe_graph(model: Any) -> dict[str, Any]:
    """What the manifest says of a graph: opset, and type and shape of its inputs and outputs."""

    def ports(values: Any) -> dict[str, list[Any]]:
        return {
            v.name: [
                TensorProto.DataType.Name(v.type.tensor_type.elem_type).lower(),
                *(d.dim_param or d.dim_value for d in v.type.tensor_type.shape.dim),
            ]
            for v in values
        }

    return {
        "opset": max(o.version for o in model.opset_import if o.domain == ""),
        "inputs": ports(model.graph.input),
        "outputs": ports(model.graph.output),
    }
