"""The int8 analysis as a graph: what it computes, what runs it, what it may not contain."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

onnx = pytest.importorskip("onnx")
pytest.importorskip("torch")

from swathpack.calibration.analysis import Int8Analysis, forms, quantise  # noqa: E402
from swathpack.edge.codec.model import DEFAULT_DIRECTORY  # noqa: E402
from swathpack.edge.codec.pixels import padded  # noqa: E402
from swathpack.export.analysis_int8 import FILE, analysis_int8_graph, float_analysis, write  # noqa: E402
from tests.calibration.made import kernel, statistics, tiles  # noqa: E402


@pytest.fixture(scope="module", params=["one-plane", "plane+means4", "two-planes"])
def model(request: pytest.FixtureRequest) -> Int8Analysis:
    return quantise(*kernel(), statistics(forms()[request.param]), "nearest")


def session(data: bytes, level: str, path: Path | None = None) -> object:
    import onnxruntime

    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.log_severity_level = 3
    options.graph_optimization_level = getattr(onnxruntime.GraphOptimizationLevel, level)
    if path is not None:
        options.optimized_model_filepath = str(path)
    return onnxruntime.InferenceSession(data, options, providers=["CPUExecutionProvider"])


@pytest.mark.parametrize("level", ["ORT_DISABLE_ALL", "ORT_ENABLE_BASIC"])
def test_the_graph_is_the_reference(model: Int8Analysis, level: str) -> None:
    opened = session(analysis_int8_graph(model).SerializeToString(), level)
    tile = tiles(3, 48)[2][:, :, :35]
    found = opened.run(None, {"frame": np.stack([padded(tile)] * 2)})[0]  # type: ignore[attr-defined]
    assert found.shape == (2, 512, 3, 3)
    np.testing.assert_allclose(found[1], model.coefficients(tile), atol=2e-3)


def test_every_product_becomes_an_int8_kernel(model: Int8Analysis, tmp_path: Path) -> None:
    """And none has an int32 bias or a scale made at run time."""
    session(analysis_int8_graph(model).SerializeToString(), "ORT_ENABLE_EXTENDED", tmp_path / "o.onnx")
    kinds = [n.op_type for n in onnx.load(tmp_path / "o.onnx").graph.node]
    assert kinds.count("MatMulIntegerToFloat") == len(model.planes)
    assert not {"MatMul", "Conv", "DynamicQuantizeLinear", "MatMulNBits"} & set(kinds)


def test_scales_are_powers_of_two_and_zero_points_zero(model: Int8Analysis) -> None:
    graph = analysis_int8_graph(model).graph
    arrays = {i.name: onnx.numpy_helper.to_array(i) for i in graph.initializer}
    for node in graph.node:
        if node.op_type in ("QuantizeLinear", "DequantizeLinear"):
            scale, zero = (arrays[n] for n in node.input[1:])
            assert (np.frexp(scale)[0] == 0.5).all() and not zero.any() and zero.dtype == np.int8


def test_sums_that_leave_int32_are_refused() -> None:
    long = np.full((2**31 // (128 * 127) + 1, 1), 127, np.int8)
    made = Int8Analysis(forms()["one-plane"], np.zeros(12, np.float32), {1: long}, {1: np.zeros(1)}, np.zeros(1))
    with pytest.raises(OverflowError, match="not below 2\\^31"):
        analysis_int8_graph(made)


def test_write_puts_it_beside_the_float_analysis(tmp_path: Path) -> None:
    (tmp_path / "analysis.onnx").write_bytes((DEFAULT_DIRECTORY / "analysis.onnx").read_bytes())
    digest = write(tmp_path)
    assert len(bytes.fromhex(digest)) == 8 and (tmp_path / FILE).stat().st_size < 4_000_000
    tile = tiles(1, 64)[0]
    found = session((tmp_path / FILE).read_bytes(), "ORT_ENABLE_BASIC").run(None, {"frame": padded(tile)[None]})[0][0]  # type: ignore[attr-defined]
    float32 = session((tmp_path / "analysis.onnx").read_bytes(), "ORT_ENABLE_BASIC")
    exact = float32.run(None, {"frame": padded(tile)[None]})[0][0]  # type: ignore[attr-defined]
    assert np.sqrt(np.square(64 * (found - exact)).mean()) < 40  # DN; the finest step's own error is 18


def test_a_graph_that_is_no_analysis_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="expected initialisers kernel.half and bias"):
        float_analysis(DEFAULT_DIRECTORY / "entropy.onnx")


@pytest.mark.parametrize("form", ["plane+means4"])
def test_it_builds_for_tensorrt(form: str, tmp_path: Path) -> None:
    pytest.importorskip("tensorrt_rtx_libs")
    pytest.importorskip("tensorrt_rtx_bindings")
    from swathpack.export.tensorrt_gate import build

    onnx.save(analysis_int8_graph(quantise(*kernel(), statistics(forms()[form]), "nearest")), tmp_path / FILE)
    assert build(tmp_path / FILE)[0] > 1_000_000
