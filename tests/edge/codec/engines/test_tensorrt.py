"""The TensorRT engine over stand-ins for TensorRT and the GPU (`standin`): numbers, files, overlap, errors."""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

import swathpack.edge.codec.engines as engines
from swathpack.edge.codec.engines import EngineRefused, create_engine, open_engine, open_first  # noqa: E402
from swathpack.edge.codec.engines import tensorrt_engine as module  # noqa: E402
from swathpack.edge.codec.engines.engine_files import EngineKey, load, pack, store, unpack  # noqa: E402
from swathpack.edge.codec.engines.golden import PassInputs, contexts_of, pass_inputs  # noqa: E402
from swathpack.edge.codec.engines.tensorrt_build import BuildOptions, input_shapes  # noqa: E402
from swathpack.edge.codec.engines.tensorrt_engine import Analysis, Platform, TensorRtEngine  # noqa: E402
from swathpack.edge.codec.engines.tensorrt_session import TensorRtError  # noqa: E402
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel  # noqa: E402
from swathpack.edge.codec.network import ExactNetwork  # noqa: E402
from swathpack.edge.health.model_memory import arrays_of  # noqa: E402
from tests.codec_models import random_latent  # noqa: E402
from tests.edge.codec.engines.standin import StandinCuda, StandinTensorRt  # noqa: E402
from tests.edge.codec.engines.tensorrt_surface import FUNCTIONS, SURFACE  # noqa: E402

KEY = EngineKey("entropy", "NVIDIA Orin (nvgpu)", "8.7", "10.3.0", "0123456789abcdef", "batch 8, gpu, sides 4-16")


@dataclass
class Bench:
    """The shipped model on a made-up board."""

    model: EdgeModel
    cuda: StandinCuda
    trt: StandinTensorRt
    folder: Path

    def open(self, name: str = "tensorrt") -> TensorRtEngine:
        found: Any = create_engine(name, self.model)
        return found


@lru_cache(maxsize=1)
def shipped_float32() -> EdgeModel:
    return EdgeModel(engine="float32")


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Bench]:
    cuda = StandinCuda()
    found = Bench(shipped_float32(), cuda, StandinTensorRt(cuda), tmp_path / "engines")
    monkeypatch.setattr(module, "find_platform", lambda folder: Platform(found.trt, found.cuda, found.folder))
    monkeypatch.setattr(module, "BATCH", 2)
    yield found


def inputs_of(size: tuple[int, int], seed: int) -> PassInputs:
    latent = random_latent(size, seed)
    return pass_inputs(latent, contexts_of(latent), 20 + seed, (16, 5))


# --- the interface


def test_the_code_uses_no_name_that_the_gate_does_not_check() -> None:
    folder = Path(module.__file__).parent
    text = "".join((folder / f"tensorrt_{part}.py").read_text() for part in ("build", "session", "engine"))
    kinds = {
        "config": "IBuilderConfig",
        "context": "IExecutionContext",
        "_engine": "ICudaEngine",
        "builder": "Builder",
        "parser": "OnnxParser",
        "network": "INetworkDefinition",
        "profile": "IOptimizationProfile",
        "inspector": "EngineInspector",
        "_runtime": "Runtime",
    }
    used = {(kinds[owner], name) for owner, name in re.findall(rf"\b({'|'.join(kinds)})\.(\w+)", text)}
    used |= set(re.findall(r"\b_?trt\.(\w+)\.(\w+)", text))
    assert len(used) > 30
    assert {(owner, name) for owner, name in used if name not in SURFACE.get(owner, ()) and name != "__init__"} == set()
    whole = set(re.findall(r"\b_?trt\.(\w+)", text)) - {"__version__"}
    assert whole <= SURFACE.keys() | set(FUNCTIONS)


# --- numbers


@pytest.mark.parametrize("graphs", [False, True])
def test_batches_of_any_size_equal_the_twin(bench: Bench, graphs: bool) -> None:
    bench.cuda.graphs = graphs
    engine, twin = bench.open(), ExactNetwork(bench.model.parameters, np.float32)
    for size in ((4, 4), (8, 4)):
        tiles = [inputs_of(size, seed) for seed in range(9)]
        for tile, (first, rest) in zip(tiles, engine.heads_of_batch(tiles)):
            expected = twin.heads_of_all(*tile)
            np.testing.assert_array_equal(first, expected[0])
            np.testing.assert_array_equal(rest, expected[1])
    assert ("launch" in bench.cuda.calls) == graphs


def test_a_shape_change_drops_the_captured_graph(bench: Bench) -> None:
    bench.cuda.graphs = True
    engine, twin = bench.open(), ExactNetwork(bench.model.parameters, np.float32)
    for n, size in enumerate([(4, 4)] * 5 + [(4, 8)] + [(4, 4)] * 2):
        tile = inputs_of(size, n)
        np.testing.assert_array_equal(engine.heads_of_all(*tile)[1], twin.heads_of_all(*tile)[1])


def test_sizes_that_were_not_built_for_run_in_the_twin(bench: Bench) -> None:
    engine, tile = bench.open(), inputs_of((2, 3), 1)
    before = len(bench.cuda.calls)
    np.testing.assert_array_equal(
        engine.heads_of_all(*tile)[0], ExactNetwork(bench.model.parameters).heads_of_all(*tile)[0]
    )
    assert len(bench.cuda.calls) == before


def test_analysis_runs_beside_it_and_odd_tiles_on_the_processor(bench: Bench) -> None:
    engine = bench.open()
    assert engine.analysis is not None
    rng = np.random.default_rng(0)
    expected = bench.model.session("analysis.onnx")
    for side in (64, 256, 32):
        feeds = {"frame": rng.normal(2000, 500, (1, 12, side + 8, side + 8)).astype(np.float32)}
        np.testing.assert_allclose(engine.analysis.run(None, feeds)[0], expected.run(None, feeds)[0], atol=1e-2)


def test_an_analysis_that_differs_stays_on_the_processor(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Analysis, "deviation", lambda self: float("nan"))
    engine = bench.open()
    assert engine.analysis is None and engine.notes[-1].reason == "analysis"


def test_the_model_analyses_where_its_engine_does(bench: Bench) -> None:
    whole = EdgeModel(engine="tensorrt:dla0,auto")
    assert [e.reason for e in whole.engine_events][-1] == "opened" and type(whole.engine) is TensorRtEngine
    tile = np.full((12, 64, 64), 1000, np.float32)
    before = bench.cuda.calls.count("execute")
    np.testing.assert_allclose(whole.analyse(tile), bench.model.analyse(tile), atol=1e-3)
    assert bench.cuda.calls.count("execute") == before + 1


# --- overlap and memory


def test_the_next_batch_is_queued_before_the_last_is_collected(bench: Bench) -> None:
    engine = bench.open()
    bench.cuda.calls.clear()
    engine.heads_of_batch([inputs_of((4, 4), seed) for seed in range(6)])
    marks = [call for call in bench.cuda.calls if call in ("execute", "wait")]
    assert marks == ["execute", "execute", "wait", "execute", "wait", "wait"]


def test_memory_is_allocated_once(bench: Bench) -> None:
    engine = bench.open()
    held = len(bench.cuda.held)
    engine.heads_of_batch([inputs_of((16, 16), seed) for seed in range(3)])
    assert len(bench.cuda.held) == held
    inputs, outputs = 256 * (1024 + 2048 + 101) + 4 * (32 + 96), 4 * 256 * (192 + 1920)
    assert engine.session.memory_bytes == 2 * 2 * (inputs + outputs)  # two slots of batches of two


def test_the_scrubber_does_not_watch_buffers_that_change(bench: Bench) -> None:
    engine = bench.open()
    before = {path: array.copy() for path, array in arrays_of(engine)}
    engine.heads_of_all(*inputs_of((4, 4), 3))
    assert before and all(np.array_equal(array, before[path]) for path, array in arrays_of(engine))


# --- files


def test_second_start_loads_and_a_damaged_file_is_rebuilt(bench: Bench) -> None:
    assert [n.reason for n in bench.open().notes] == ["built", "built"] and bench.trt.builds == 2
    assert [n.reason for n in bench.open().notes] == ["loaded", "loaded"] and bench.trt.builds == 2
    (path,) = bench.folder.glob("entropy-*.engine")
    data = bytearray(path.read_bytes())
    data[-5] ^= 1
    path.write_bytes(data)
    notes = bench.open().notes
    assert [n.reason for n in notes] == ["rebuilt", "loaded"] and "damaged or foreign" in notes[0].detail
    assert [n.reason for n in bench.open().notes] == ["loaded", "loaded"]
    assert list(bench.folder.glob("entropy-*.layers.json")) and not list(bench.folder.glob(".*"))


def test_timing_cache_is_handed_on(bench: Bench) -> None:
    bench.open()
    (path,) = bench.folder.glob("timing-*.cache")
    assert path.read_bytes().endswith(b"timed;timed;")


@pytest.mark.parametrize("change", ["gpu", "capability", "tensorrt", "graph", "options"])
def test_a_file_of_another_machine_or_model_is_not_used(change: str) -> None:
    other = EngineKey(**{**KEY.__dict__, change: "another"})
    assert other.name != KEY.name
    assert unpack(KEY, pack(KEY, b"engine")) == b"engine"
    assert unpack(KEY, pack(other, b"engine")) is None


def test_every_cut_and_every_flipped_byte_is_found() -> None:
    data = pack(KEY, b"engine of some length")
    assert all(unpack(KEY, data[:n]) is None for n in range(len(data)))
    for n in range(len(data)):
        spoiled = bytearray(data)
        spoiled[n] ^= 4
        assert unpack(KEY, bytes(spoiled)) is None


def test_names_are_readable_and_safe() -> None:
    assert KEY.name.startswith("entropy-NVIDIA-Orin-nvgpu-sm87-trt10.3.0-") and "/" not in KEY.name
    assert EngineKey(**{**KEY.__dict__, "gpu": "../../x"}).name.startswith("entropy-x-sm87")


def test_a_folder_that_cannot_be_written_costs_a_note_only(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    assert "not kept" in store(tmp_path / "file", "name", b"data")
    assert load(tmp_path / "file", KEY)[0] is None


# --- errors, in the words of the flight's events


@pytest.mark.parametrize(
    ("fault", "reason", "detail"),
    [
        ("parse", "build", "entropy.onnx does not parse: unsupported operator Sigmoid"),
        ("build", "build", "does not build: no implementation for node conv_3/node"),
        ("load", "failed", "TensorRtError: TensorRT does not load the engine"),
        ("run", "failed", "TensorRtError: TensorRT refuses run"),
    ],
)
def test_faults_become_reasons(bench: Bench, fault: str, reason: str, detail: str) -> None:
    bench.trt.fault = fault
    with pytest.raises(EngineRefused, match=detail) as caught:
        open_engine("tensorrt", bench.model)
    assert caught.value.reason == reason


def test_a_broken_gpu_is_refused_and_the_processor_codes(bench: Bench) -> None:
    bench.cuda.broken = "to_device"
    engine, events = open_first(["tensorrt", "float32"], bench.model)
    assert [(e.engine, e.reason) for e in events] == [("tensorrt", "failed"), ("float32", "opened")]
    assert "illegal memory access" in events[0].detail and type(engine) is ExactNetwork


def test_a_slot_is_free_again_after_a_fault(bench: Bench) -> None:
    engine, tile = bench.open(), inputs_of((4, 4), 1)
    bench.trt.fault = "run"
    for _ in range(3):
        with pytest.raises(TensorRtError):
            engine.heads_of_all(*tile)
    bench.trt.fault = ""
    assert engine.heads_of_all(*tile)[0].shape == (6, 32, 16)


def test_wrong_numbers_are_refused_by_the_golden_vectors(bench: Bench) -> None:
    from tests.edge.codec.engines import standin

    class Sloppy(standin.Context):
        def _execute(self, shapes: Any) -> None:
            super()._execute(shapes)
            if "rest" in self._addresses:
                self._array("rest", self.get_tensor_shape("rest"))[0, 700, 3] += 1

    bench.trt.Runtime = lambda logger: _patched(standin, bench, Sloppy)  # type: ignore[method-assign]
    with pytest.raises(EngineRefused, match="heads of layer 6 differ first") as caught:
        open_engine("tensorrt", bench.model)
    assert caught.value.reason == "golden"


def _patched(standin: Any, bench: Bench, context: Any) -> Any:
    class Engine(standin.StandinEngine):
        def create_execution_context(self) -> Any:
            return context(self)

    from types import SimpleNamespace

    return SimpleNamespace(deserialize_cuda_engine=lambda data: Engine(bench.trt, data))


def test_without_tensorrt_it_is_absent() -> None:
    if "tensorrt" in sys.modules or __import__("importlib.util").util.find_spec("tensorrt"):
        pytest.skip("TensorRT is installed here")
    with pytest.raises(EngineRefused, match="TensorRT does not import") as caught:
        open_engine("tensorrt", EdgeModel(engine="float32"))
    assert caught.value.reason == "absent"


def test_unknown_option_and_missing_gpu(bench: Bench, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(EngineRefused, match="expected one of float32"):
        create_engine("tensorrt:dla7", bench.model)

    def nothing(folder: Path) -> Platform:
        raise engines_missing("pycuda: Error: no CUDA-capable device is detected", False)

    engines_missing = module.CudaMissing
    monkeypatch.setattr(module, "find_platform", nothing)
    with pytest.raises(EngineRefused, match="no CUDA-capable device") as caught:
        create_engine("tensorrt", bench.model)
    assert caught.value.reason == "device"


# --- DLA


def test_dla_that_is_not_there_falls_back_with_a_note(bench: Bench) -> None:
    notes = bench.open("tensorrt:dla0").notes
    assert [(n.reason, n.detail) for n in notes if n.reason == "dla"] == [("dla", "no DLA core 0, 0 here: on the GPU")]


def test_dla_that_does_not_take_the_graph_falls_back_with_a_note(bench: Bench) -> None:
    bench.trt = StandinTensorRt(bench.cuda, "dla", dla_cores=2)
    engine = bench.open("tensorrt:dla1")
    (note,) = (n for n in engine.notes if n.reason == "dla")
    assert note.detail.startswith("core 1: on the GPU, since it does not build: no implementation")
    assert engine.analysis is not None


def test_dla_gets_one_shape(bench: Bench) -> None:
    bench.trt = StandinTensorRt(bench.cuda, dla_cores=2)
    engine = bench.open("tensorrt:dla1")
    assert not [n for n in engine.notes if n.reason == "dla"] and engine.analysis is not None
    assert engine.analysis.low == engine.analysis.high == (1, 12, 264, 264)


def test_profile_shapes() -> None:
    assert input_shapes("frame", (-1, 12, -1, -1), BuildOptions(4)) == ((1, 12, 72, 72), (4, 12, 264, 264))
    assert input_shapes("own", (-1, 1024, -1, -1), BuildOptions(4)) == ((1, 1024, 4, 4), (4, 1024, 16, 16))
    assert input_shapes("known", (-1, 32), BuildOptions(4)) == ((1, 32), (4, 32))
    assert engines.ANALYSIS in {p.name for p in DEFAULT_DIRECTORY.iterdir()}
