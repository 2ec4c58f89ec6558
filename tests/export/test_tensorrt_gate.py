"""Both graphs build as strongly typed engines, and every call of the flight engine exists, where the TensorRT-RTX wheels
are installed (`make trt-gate`).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from swathpack.edge.codec.model import DEFAULT_DIRECTORY
from swathpack.export.tensorrt_gate import GateError, build, runtime
from tests.edge.codec.engines.tensorrt_surface import FUNCTIONS, SURFACE

pytest.importorskip("tensorrt_rtx_libs")
pytest.importorskip("tensorrt_rtx_bindings")


@pytest.mark.parametrize("name", ["entropy.onnx", "analysis.onnx"])
def test_graph_builds(name: str) -> None:
    size, _ = build(DEFAULT_DIRECTORY / name)
    assert size > 100_000


def test_complaints_are_passed_on(tmp_path: Path) -> None:
    onnx = pytest.importorskip("onnx")
    value = [onnx.helper.make_tensor_value_info(n, onnx.TensorProto.FLOAT, [1, 4]) for n in "xy"]
    node = onnx.helper.make_node("NoSuchOperator", ["x"], ["y"])
    graph = onnx.helper.make_graph([node], "broken", value[:1], value[1:])
    onnx.save(onnx.helper.make_model(graph), tmp_path / "broken.onnx")
    with pytest.raises(GateError, match="broken.onnx does not parse.*NoSuchOperator"):
        build(tmp_path / "broken.onnx")


def missing(trt: Any, surface: Mapping[str, Sequence[str]]) -> list[str]:
    """Names `Class.member` of a surface that the module does not have."""
    found = []
    for owner, members in surface.items():
        kind = getattr(trt, owner, None)
        found += [f"{owner}.{member}" for member in members if not hasattr(kind, member)]
    return found


def test_every_name_that_the_flight_engine_uses_exists() -> None:
    trt = runtime()
    assert missing(trt, SURFACE) == []
    assert all(callable(getattr(trt, name)) for name in FUNCTIONS)
    assert missing(trt, {"Builder": ("no_such_call",), "NoSuchClass": ("x",)}) == [
        "Builder.no_such_call",
        "NoSuchClass.x",
    ]
