"""Both graphs build as strongly typed engines, where the TensorRT-RTX wheels are installed."""

from __future__ import annotations

from pathlib import Path

import pytest

from edge.model import DEFAULT_DIRECTORY
from export.tensorrt_gate import GateError, build

pytest.importorskip("tensorrt_rtx_libs")
pytest.importorskip("tensorrt_rtx_bindings")


@pytest.mark.parametrize("name", ["entropy.onnx", "analysis.onnx"])
def test_graph_builds(name: str) -> None:
    size, _ = build(DEFAULT_DIRECTORY / name)
    assert size > 100_000


def test_complaints_are_passed_on(tmp_path: Path) -> None:
    broken = tmp_path / "broken.onnx"
    broken.write_bytes(b"\x08\x08\x3a\x04\x0a\x02\x22\x00")
    with pytest.raises(GateError, match="broken.onnx"):
        build(broken)
