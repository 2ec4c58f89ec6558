"""Engines by name, the golden check, and the fall-back order."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swathpack.edge.codec.base_layer import BASE_GROUPS
from swathpack.edge.codec.engines import (
    BASE_GRAPH,
    GOLDEN,
    GRAPH,
    EngineRefused,
    create_engine,
    open_engine,
    open_first,
)
from swathpack.edge.codec.engines.golden import GoldenError, first_difference, read_cases
from swathpack.edge.codec.latents import LATENT_LIMIT, LAYERS
from swathpack.edge.codec.network import ExactNetwork
from swathpack.edge.digests import FILE_DIGEST_BYTES, bytes_digest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from swathpack.export.entropy_graph import entropy_graph  # noqa: E402
from swathpack.export.golden import golden_arrays, golden_inputs  # noqa: E402
from tests.codec_models import random_parameters  # noqa: E402

LEVELS = ("off", "basic", "extended", "all")


@dataclass
class Model:
    """The part of EdgeModel that engines read."""

    directory: Path
    parameters: dict[str, Any]
    threads: int = 1
    manifest: dict[str, Any] = field(default_factory=dict)

    def vouch(self) -> None:
        names = [n for n in (GRAPH, BASE_GRAPH, GOLDEN) if (self.directory / n).exists()]
        files = {n: bytes_digest((self.directory / n).read_bytes(), FILE_DIGEST_BYTES).hex() for n in names}
        self.manifest = {"engine_files": files}


@pytest.fixture(scope="module")
def small_golden() -> dict[str, Any]:
    """Golden arrays of the cases with 4 x 4 positions."""
    import swathpack.export.golden as module

    kept = {k: v for k, v in golden_inputs(random_parameters()).items() if v[0].shape[1:] == (4, 4)}
    patch = pytest.MonkeyPatch()
    patch.setattr(module, "golden_inputs", lambda parameters: kept)
    arrays = golden_arrays(random_parameters())
    patch.undo()
    return arrays


@pytest.fixture
def model(tmp_path: Path, small_golden: dict[str, Any]) -> Iterator[Model]:
    np.savez_compressed(tmp_path / GOLDEN, **small_golden)
    onnx.save(entropy_graph(random_parameters()), str(tmp_path / GRAPH))
    found = Model(tmp_path, random_parameters())
    found.vouch()
    yield found


@pytest.mark.parametrize("name", ["float32", "int64", "onnxruntime", *(f"onnxruntime:{x}" for x in LEVELS)])
def test_every_engine_reproduces_the_golden_vectors_or_is_refused_for_them(model: Model, name: str) -> None:
    try:
        engine = open_engine(name, model)
    except EngineRefused as refused:  # a processor without VNNI and fused kernels: the check works
        assert refused.reason == "golden" and name in ("onnxruntime:extended", "onnxruntime:all")
        return
    case = golden_inputs(model.parameters)["real_4x4"][0]
    assert case.shape == (512, 4, 4)
    assert engine.base_index.shape == (64, 512)


@pytest.mark.parametrize("level", ("off", "basic"))
def test_levels_without_int8_kernels_are_never_refused(model: Model, level: str) -> None:
    assert open_engine(f"onnxruntime:{level}", model)


def test_an_engine_with_one_wrong_bias_is_refused_with_its_layer(model: Model) -> None:
    broken = dict(model.parameters)
    broken["head.bias"] = broken["head.bias"].copy()
    broken["head.bias"][5] += 1 << 12
    model.parameters = broken
    with pytest.raises(
        EngineRefused, match=r"layer 5 differ first \(case \w+\): \d+ of \d+ values.*expected -?\d+, found"
    ) as caught:
        open_engine("float32", model)
    assert (caught.value.engine, caught.value.reason) == ("float32", "golden")


def test_a_decoder_side_that_differs_is_found(model: Model, small_golden: dict[str, Any]) -> None:
    class Crooked(ExactNetwork):
        def head(self, layer: int, trunk: Any) -> Any:
            return super().head(layer, trunk) + (layer == 7)

        def heads_of_all(self, *inputs: Any, **options: Any) -> Any:
            return ExactNetwork(model.parameters).heads_of_all(*inputs, **options)

    found = first_difference(Crooked(model.parameters), read_cases(small_golden))
    assert found is not None and found.layer == 7 and "step by step" in found.case


def test_a_base_pass_that_differs_is_found(model: Model, small_golden: dict[str, Any]) -> None:
    class Crooked(ExactNetwork):
        def heads_of_all(self, *inputs: Any, layers: int = LAYERS) -> Any:
            first, rest = super().heads_of_all(*inputs, layers=layers)
            return first, rest + (layers < LAYERS)

    found = first_difference(Crooked(model.parameters), read_cases(small_golden))
    assert found is not None and found.layer == 1 and "base layer" in found.case


def test_the_base_graph_is_the_first_layers_of_the_whole(model: Model, small_golden: dict[str, Any]) -> None:
    onnx.save(entropy_graph(model.parameters, BASE_GROUPS), str(model.directory / BASE_GRAPH))
    model.vouch()
    engine = create_engine("onnxruntime", model)
    assert engine.base_session is not engine.session
    for case in read_cases(small_golden):
        whole, base = engine.heads_of_all(*case.inputs), engine.heads_of_all(*case.inputs, layers=BASE_GROUPS)
        np.testing.assert_array_equal(base[0], whole[0])
        np.testing.assert_array_equal(base[1], whole[1][: BASE_GROUPS - 1])
    onnx.save(entropy_graph(random_parameters(6), BASE_GROUPS), str(model.directory / BASE_GRAPH))
    with pytest.raises(EngineRefused, match=r"entropy_base.onnx: expected digest"):
        create_engine("onnxruntime", model)
    model.vouch()
    with pytest.raises(EngineRefused, match="base layer"):
        open_engine("onnxruntime", model)


def test_graph_of_another_model_is_refused(model: Model) -> None:
    onnx.save(entropy_graph(random_parameters(6)), str(model.directory / GRAPH))
    with pytest.raises(EngineRefused, match=r"entropy.onnx: expected digest [0-9a-f]{16}, found"):
        open_engine("onnxruntime", model)
    model.vouch()  # even when the manifest vouches for it
    with pytest.raises(EngineRefused, match="differ first"):
        open_engine("onnxruntime", model)


def test_graph_that_does_not_load_is_refused(model: Model) -> None:
    (model.directory / GRAPH).write_bytes(b"not a graph")
    model.vouch()
    with pytest.raises(EngineRefused) as caught:
        open_engine("onnxruntime:all", model)
    assert caught.value.reason == "failed"


def test_model_without_golden_vectors_is_refused(model: Model) -> None:
    model.manifest = {}
    with pytest.raises(EngineRefused, match="lists no golden.npz; export the model again"):
        open_engine("float32", model)


@pytest.mark.parametrize("name", ["", "cuda", "onnxruntime:fast", "float16"])
def test_unknown_names(model: Model, name: str) -> None:
    with pytest.raises(EngineRefused) as caught:
        open_engine(name, model)
    assert caught.value.reason == "unknown"


def test_fall_back_in_the_configured_order(model: Model) -> None:
    engine, events = open_first(["cuda", "onnxruntime:off", "float32"], model)
    assert type(engine).__name__ == "OnnxEngine"
    assert [(e.engine, e.reason) for e in events] == [("cuda", "unknown"), ("onnxruntime:off", "opened")]


def test_last_resort_is_numpy(model: Model) -> None:
    (model.directory / GRAPH).unlink()
    engine, events = open_first(["onnxruntime:all", "onnxruntime:off"], model)
    assert engine.dtype == np.float32  # type: ignore[attr-defined]
    assert [(e.engine, e.reason) for e in events] == [
        ("onnxruntime:all", "files"),
        ("onnxruntime:off", "files"),
        ("float32", "opened"),
    ]


def test_nothing_codes_when_the_files_do_not_belong_together(model: Model) -> None:
    model.parameters = random_parameters(6)
    with pytest.raises(EngineRefused, match="int64"):
        open_first(["onnxruntime"], model)


def test_damaged_golden_file(model: Model) -> None:
    np.savez(model.directory / GOLDEN, **{"a.latent": np.zeros((512, 4, 4), np.int16)})
    model.vouch()
    with pytest.raises(EngineRefused, match="damaged golden case"):
        open_engine("float32", model)
    with pytest.raises(GoldenError):
        read_cases({})


def test_batches_equal_single_tiles(model: Model, small_golden: dict[str, Any]) -> None:
    engine: Any = create_engine("onnxruntime:basic", model)
    inputs = [case.inputs for case in read_cases(small_golden)]
    for one, (first, rest) in zip(inputs, engine.heads_of_batch(inputs)):
        alone_first, alone_rest = engine.heads_of_all(*one)
        np.testing.assert_array_equal(first, alone_first)
        np.testing.assert_array_equal(rest, alone_rest)


def test_optimiser_finds_no_convolution_bias_to_round(model: Model, tmp_path: Path) -> None:
    """The optimised graph holds no int32 bias and no layer with requantised inputs of its own."""
    import onnxruntime as ort

    options = ort.SessionOptions()
    options.graph_optimization_level = ort.GraphOptimizationLevel.ORT_ENABLE_EXTENDED
    options.optimized_model_filepath = str(tmp_path / "optimised.onnx")
    ort.InferenceSession(str(model.directory / GRAPH), options, providers=["CPUExecutionProvider"])
    graph = onnx.load(tmp_path / "optimised.onnx").graph
    assert not [i.name for i in graph.initializer if i.data_type == onnx.TensorProto.INT32 and len(i.dims) == 1]
    assert not {n.op_type for n in graph.node} & {"MatMulNBits", "QLinearConv", "DynamicQuantizeMatMul"}


def test_golden_cases_of_a_real_export_fit_their_budget(tmp_path: Path) -> None:
    latents = {name: case[0] for name, case in golden_inputs(random_parameters()).items()}
    assert {x.shape[1:] for x in latents.values()} >= {(4, 4), (16, 16), (8, 4)}
    np.savez_compressed(tmp_path / "latents.npz", **latents)
    assert (tmp_path / "latents.npz").stat().st_size < 300_000
    assert sum(int(np.abs(x.astype(int)).max()) == LATENT_LIMIT for x in latents.values()) >= 3
