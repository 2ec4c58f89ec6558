"""What TensorRT made of a graph: layer information of a built engine, read for int8 kernels, float islands and
reformat chains.

Input is the JSON of TensorRT's engine inspector (`get_engine_information(LayerInformationFormat.JSON)`, or trtexec
`--exportLayerInfo`), built with profiling verbosity DETAILED and with the shapes set, as `tensorrt_engine` writes it
beside every engine. Fields read: Name, LayerType, TacticName, Metadata, and Inputs and Outputs with Name,
Dimensions, Format/Datatype (spelt differently from release to release; only the number type in it is used).

    kernel      does arithmetic with weights or between activations: convolutions, matrix products
    reformat    only changes layout or type (Reformat, and generated kernels that only move and cast)
    float island  a kernel in floating point between int8 kernels: a quantised layer that was not fused
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import Any

_KERNEL_TYPES = re.compile(r"conv|gemm|matrixmultiply|fusion|mha|fc\b|fullyconnected", re.IGNORECASE)
_REFORMAT_TYPES = re.compile(r"reformat|noop|shuffle", re.IGNORECASE)
_PRODUCT = re.compile(r"Conv|MatMul|Gemm|_Fc|mha|conv_\d|matmul_\d", re.IGNORECASE)
_MOVES = re.compile(r"^(?:Cast|Move|Mov|Copy|Reshape|Transpose|Tran|Resh|Repl|Slice|Conc|Shuf|Reformat)+$")
_INT8_TACTIC = re.compile(r"(?:^|_)i8(?:i8|f32|f16|i32)?(?:_|$)|imma|int8|i8816|i16832", re.IGNORECASE)
_TYPES = (
    ("int8", re.compile(r"int8|\bi8\b", re.IGNORECASE)),
    ("half", re.compile(r"half|fp16|float16|bfloat16|bf16", re.IGNORECASE)),
    ("float", re.compile(r"float|fp32", re.IGNORECASE)),
    ("integer", re.compile(r"int32|int64|bool", re.IGNORECASE)),
)
MAX_CHAIN = 2


class LayersError(ValueError):
    """Text that is not detailed layer information; says what was expected and found."""


@dataclass(frozen=True)
class Layer:
    """One layer of an engine. kind: kernel, reformat or other; number: int8, half, float, integer or unknown."""

    name: str
    type: str
    kind: str
    number: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    tactic: str


@dataclass(frozen=True)
class Verdict:
    """int8, floats: names of kernels; islands: float kernels with int8 kernels on both sides; chains: reformats in a
    row, more than MAX_CHAIN; opaque: blocks whose arithmetic the information does not show.
    """

    layers: int
    int8: tuple[str, ...]
    floats: tuple[str, ...]
    islands: tuple[str, ...]
    reformats: tuple[str, ...]
    chains: tuple[tuple[str, ...], ...]
    opaque: tuple[str, ...]

    @property
    def good(self) -> bool:
        """There are int8 kernels, no island, no long chain, and nothing is hidden."""
        return bool(self.int8) and not (self.islands or self.chains or self.opaque)


def read_layers(text: str) -> list[Layer]:
    """Layers in the engine's order. Raises LayersError."""
    try:
        found = json.loads(text)
    except ValueError as error:
        raise LayersError(f"expected JSON of the engine inspector: {error}") from error
    layers = found.get("Layers") if isinstance(found, dict) else None
    if not isinstance(layers, list) or not layers:
        raise LayersError('expected an object with a list "Layers"')
    if all(isinstance(one, str) for one in layers):
        raise LayersError("found layer names only: build the engine with profiling verbosity DETAILED")
    if not all(isinstance(one, dict) and "Name" in one for one in layers):
        raise LayersError('expected every layer to be an object with a "Name"')
    read = [_layer(one) for one in layers]
    if any("dynamic shapes" in str(t.get("Format/Datatype")) for one in layers for t in _tensors(one)):
        raise LayersError("found formats that depend on dynamic shapes: set the context's shapes first")
    return read


def _tensors(raw: dict[str, Any], side: str | None = None) -> list[dict[str, Any]]:
    lists = [raw.get(name) for name in ((side,) if side else ("Inputs", "Outputs"))]
    return [t for one in lists if isinstance(one, list) for t in one if isinstance(t, dict)]


def _layer(raw: dict[str, Any]) -> Layer:
    name, kind, tactic = (str(raw.get(key, "")) for key in ("Name", "LayerType", "TacticName"))
    names = [tuple(str(t.get("Name", "")) for t in _tensors(raw, side)) for side in ("Inputs", "Outputs")]
    return Layer(name, kind, _kind(raw, kind, name, tactic), _number(raw, tactic), names[0], names[1], tactic)


def _kind(raw: dict[str, Any], layer_type: str, name: str, tactic: str) -> str:
    if layer_type == "kgen" or not layer_type:
        # A generated kernel is named after what it fuses: __myl_MulAddRoundCast_myl0_12.
        parts = name.split("_myl_")[-1].split("_myl")[0]
        if _MOVES.match(parts):
            return "reformat"
        return "kernel" if _PRODUCT.search(parts) or _PRODUCT.search(tactic) else "other"
    if layer_type.lower().startswith(("myelin", "foreignnode")) or name.startswith("{ForeignNode"):
        return "opaque"
    if _REFORMAT_TYPES.search(layer_type):
        return "reformat"
    return "kernel" if _KERNEL_TYPES.search(layer_type) else "other"


def _number(raw: dict[str, Any], tactic: str) -> str:
    """Number type of the arithmetic: the tactic's when it says so, else that of the first data input."""
    if _INT8_TACTIC.search(tactic):
        return "int8"
    for tensor in _tensors(raw):
        form = str(tensor.get("Format/Datatype", tensor.get("Datatype", "")))
        for number, pattern in _TYPES:
            if pattern.search(form):
                return number
    return "unknown"


def judge(layers: list[Layer]) -> Verdict:
    """Verdict over layers in their order of execution."""
    kernels = [one for one in layers if one.kind == "kernel"]
    int8 = [one.name for one in kernels if one.number == "int8"]
    floats = [one for one in kernels if one.number in ("float", "half")]
    before, after = _reach(layers, True), _reach(layers, False)
    islands = [one.name for one in floats if one.name in before and one.name in after]
    opaque = [one.name for one in layers if one.kind == "opaque" or (one.kind == "kernel" and one.number == "unknown")]
    return Verdict(
        len(layers),
        tuple(int8),
        tuple(one.name for one in floats),
        tuple(islands),
        tuple(one.name for one in layers if one.kind == "reformat"),
        tuple(_chains(layers)),
        tuple(opaque),
    )


def _reach(layers: list[Layer], forward: bool) -> set[str]:
    """Names of layers that depend on an int8 kernel (forward), or that one depends on."""
    marked: set[str] = set()
    names: set[str] = set()
    for one in layers if forward else reversed(layers):
        takes, gives = (one.inputs, one.outputs) if forward else (one.outputs, one.inputs)
        if marked.intersection(takes):
            names.add(one.name)
            marked.update(gives)
        if one.kind == "kernel" and one.number == "int8":
            marked.update(gives)
    return names


def _chains(layers: list[Layer]) -> list[tuple[str, ...]]:
    """Reformats that feed each other, longest ways first, more than MAX_CHAIN in a row."""
    makers = {tensor: one for one in layers if one.kind == "reformat" for tensor in one.outputs}
    fed = {t for one in layers if one.kind == "reformat" for t in one.inputs}
    found = []
    for last in (one for one in layers if one.kind == "reformat" and not fed.intersection(one.outputs)):
        chain = [last]
        while (earlier := next((makers[t] for t in chain[-1].inputs if t in makers), None)) and earlier not in chain:
            chain.append(earlier)
        if len(chain) > MAX_CHAIN:
            found.append(tuple(one.name for one in reversed(chain)))
    return sorted(found, key=len, reverse=True)
