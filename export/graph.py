"""A small builder over onnx.helper: names nodes, keeps initialisers, checks the result."""

from __future__ import annotations

from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, helper, numpy_helper

OPSET = 17  # taken by TensorRT 10.3 and ONNX Runtime 1.18 and later
IR_VERSION = 8


class Graph:
    """Collects nodes; every method that adds one returns the name of its output."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.nodes: list[Any] = []
        self.initialisers: list[Any] = []
        self.inputs: list[Any] = []
        self.outputs: list[Any] = []
        self._count = 0

    def input(self, name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> str:
        """Declare an input; shape: sizes, or names of those that are open."""
        self.inputs.append(helper.make_tensor_value_info(name, kind, shape))
        return name

    def output(self, name: str, shape: list[Any], kind: int = TensorProto.FLOAT) -> None:
        """Declare that a node's output is one of the graph's."""
        self.outputs.append(helper.make_tensor_value_info(name, kind, shape))

    def constant(self, name: str, value: NDArray[Any] | np.generic) -> str:
        """An initialiser that holds the value in its own dtype; its name."""
        self.initialisers.append(numpy_helper.from_array(np.asarray(value, order="C"), name))
        return name

    def half_constant(self, name: str, value: NDArray[Any]) -> str:
        """Stored in half precision, used in float32: half the file, and the cast is folded when it is
        loaded.
        """
        stored = self.constant(f"{name}.half", value.astype(np.float16))
        return self.add("Cast", [stored], output=name, to=TensorProto.FLOAT)

    def add(self, kind: str, inputs: list[str], output: str | None = None, **attributes: Any) -> str:
        """A node of that operator, with a name of its own where none is given for its output."""
        self._count += 1
        name = output or f"{kind.lower()}_{self._count}"
        self.nodes.append(helper.make_node(kind, inputs, [name], name=f"{name}/node", **attributes))
        return name

    def model(self) -> Any:
        """The checked ModelProto."""
        graph = helper.make_graph(self.nodes, self.name, self.inputs, self.outputs, self.initialisers)
        model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", OPSET)], producer_name="swathpack")
        model.ir_version = IR_VERSION
        onnx.checker.check_model(model, full_check=True)
        return model
