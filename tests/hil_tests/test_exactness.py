"""The matrix counts what differs: on tiny latents of a random model, with engines that are and are not exact."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swathpack.edge.codec import predictive
from swathpack.edge.codec.engines.cuda import CudaMissing
from swathpack.edge.codec.network import ExactNetwork

torch = pytest.importorskip("torch")

from swathpack.hil_tests.boards.emulated_root import EmulationMissing, python_under  # noqa: E402
from swathpack.hil_tests.exactness import __main__ as exactness  # noqa: E402
from swathpack.hil_tests.exactness import cuda_cells, pixels  # noqa: E402
from swathpack.hil_tests.exactness.__main__ import Row, adversarial_tiles, failures, mismatches, report, synthetic_tiles  # noqa: E402
from swathpack.hil_tests.exactness.torch_engine import TorchEngine  # noqa: E402
from swathpack.hil_tests.exactness.worker import Stepped, batch_predictions, predictions, read_inputs  # noqa: E402
from tests.codec_models import random_parameters  # noqa: E402
from tests.edge.codec.engines.standin import StandinCuda  # noqa: E402


class Model:
    """What the tile makers read of a model."""

    parameters = random_parameters()


@pytest.fixture(scope="module")
def tiles() -> list[Any]:
    rng = np.random.default_rng(1)
    return synthetic_tiles(Model(), 4, 1, rng) + adversarial_tiles(4, rng)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def truth(tiles: list[Any]) -> Any:
    return predictions(ExactNetwork(random_parameters(), np.int64), tiles)


def test_the_latents_are_worth_predicting(truth: Any) -> None:
    assert truth["mean8"].size == (7 + 2 * 5) * 512 * 16, "five of the seven have a base, and so two passes more"
    assert len(np.unique(truth["table"])) > 100 and np.abs(truth["mean8"]).max() > 1000


@pytest.mark.long
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_torch_form_equals_the_twin(tiles: list[Any], truth: Any, dtype: Any) -> None:
    assert mismatches(truth, predictions(TorchEngine(random_parameters(), dtype), tiles)) == 0


def test_batches_keep_their_order(tiles: list[Any], truth: Any) -> None:
    assert mismatches(truth, batch_predictions(TorchEngine(random_parameters(), torch.float32), tiles, 3)) == 0


def test_cells_of_a_gpu_are_skipped_by_name_or_exact(tiles: list[Any], truth: Any) -> None:
    found = dict(cuda_cells.torch_cells(random_parameters(), tiles, (1, 3)))
    assert set(found) == {
        *(f"torch cuda {kind} batch {b}" for kind in ("float32", "float32 TF32") for b in (1, 3)),
        "torch cuda float64",
    }
    for result in found.values():
        assert (result is None) != torch.cuda.is_available()
        assert result is None or mismatches(truth, result) == 0


@pytest.mark.long
def test_the_same_cells_on_a_device_that_is_here(tiles: list[Any], truth: Any) -> None:
    before = torch.backends.cuda.matmul.allow_tf32
    for _, result in cuda_cells.torch_cells(random_parameters(), tiles, (3,), "cpu"):
        assert result is not None and mismatches(truth, result) == 0
    assert torch.backends.cuda.matmul.allow_tf32 == before


class Spoiling(StandinCuda):
    """Brings the first byte back otherwise."""

    def to_host(self, host: Any, address: int, stream: Any) -> None:
        super().to_host(host, address, stream)
        host[0] ^= 1


@pytest.mark.parametrize(("gpu", "wrong"), [(StandinCuda, 0), (Spoiling, len(cuda_cells.BUFFER_BYTES))])
def test_copies_through_buffers_are_compared(
    gpu: type[StandinCuda], wrong: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    def opened(library: str) -> StandinCuda:
        if library == "pycuda":
            raise CudaMissing("pycuda: not installed", absent=True)
        return gpu()

    monkeypatch.setattr(cuda_cells, "open_cuda", opened)
    found = dict(cuda_cells.buffer_cells(np.random.default_rng(1)))
    assert found == {"buffers pycuda": "pycuda: not installed", "buffers cuda-python": wrong}
    monkeypatch.setattr(gpu, "to_host", StandinCuda.wait)
    broken = gpu()
    broken.broken = "to_device"
    assert cuda_cells.changed_bytes(broken, 5, np.random.default_rng(1)) == 5, "a call that fails brings nothing"


def test_decoder_steps_equal_the_pass(tiles: list[Any], truth: Any) -> None:
    assert mismatches(truth, predictions(Stepped(ExactNetwork(random_parameters())), tiles)) == 0


def test_short_accumulators_are_found_out(tiles: list[Any], truth: Any) -> None:
    class Short(ExactNetwork):
        def _apply(self, layer: Any, x: Any, bits: int) -> Any:
            accumulator = np.matmul(x, layer.weight) + layer.bias
            accumulator = (accumulator.view(np.int32) & ~0x1FFF).view(np.float32)  # 11 bits, as in float16
            return self._round(accumulator, layer.exponent + layer.input_bits - bits)

    found = predictions(Short(random_parameters()), tiles)
    assert mismatches(truth, found) > 100
    rows = [
        Row("int64", "here", truth, ""),
        Row("short", "here", found, ""),
        Row("refused", "here", found, "why"),
    ]
    assert failures(rows, rows[0]) == ["short"]
    text = json.loads(json.dumps(report(rows, rows[:1], {"symbols": 1})))
    assert text["mismatched_symbols"]["int64"] == {"int64": 0}
    assert text["golden"] == {"int64": "", "short": "", "refused": "why"}


def test_inputs_survive_the_way_to_another_processor(tiles: list[Any], truth: Any, tmp_path: Path) -> None:
    exactness.write_inputs(tmp_path / "in.npz", tiles)
    assert mismatches(truth, predictions(ExactNetwork(random_parameters()), read_inputs(tmp_path / "in.npz"))) == 0


@pytest.mark.long
@pytest.mark.parametrize("bands", [5, pytest.param(12, marks=pytest.mark.slow)])
def test_pixels_are_the_same_by_every_way_and_a_difference_is_counted(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, bands: int
) -> None:
    payloads = [p for p in pixels.drawn_payloads() if p.shape[0] <= bands]
    pixels.save(tmp_path / "payloads.npz", payloads)
    assert pixels.load(tmp_path / "payloads.npz") == payloads
    truth, rows = pixels.digests(payloads), pixels.here(payloads)
    assert set(pixels.different(rows, truth).values()) == {0}
    unlike = [t for p, t in zip(payloads, truth) if p.max_error != 0]
    assert len(set(unlike)) == len(unlike), "none stands for another; exact ones may"

    def otherwise(basis: Any, components: Any) -> Any:
        return (basis[:, ::-1].astype(np.float64) @ components[::-1]).astype(np.float32)

    monkeypatch.setattr("swathpack.edge.codec.transform_coder.spectral.turned_back", otherwise)
    three, truth = zip(*[(p, t) for p, t in zip(payloads, truth) if p.shape[0] == 3][:3])
    rows = pixels.here(three)
    assert pixels.different(rows, truth)["pixels numpy"] > 0
    assert exactness.pixel_part("z80", rows, three)[1] != []


TRANSFORM_KINDS = {(False, False, False), (False, False, True), (False, True, False)}
KINDS = TRANSFORM_KINDS | {(True, True, False), (True, True, True)}


def _kind(payload: pixels.Payload) -> tuple[bool, bool, bool]:
    """Whether it is predictive, has a mask, and is dated or refined."""
    return payload.max_error != pixels.TRANSFORM, bool(payload.mask), bool(payload.date) or payload.refined


@pytest.mark.parametrize(
    ("part", "otherwise", "seen"),
    [
        ("swathpack.codec.filters.filtered", lambda samples, *_: samples, TRANSFORM_KINDS),
        ("swathpack.codec.seams.smoothed", lambda left, right, *_: (left[..., -8:], right[..., :8]), TRANSFORM_KINDS),
        ("swathpack.edge.codec.predictive.native.Workspace.decode", None, KINDS - TRANSFORM_KINDS),
    ],
)
def test_a_fault_of_any_part_is_seen(
    part: str, otherwise: Any, seen: set[tuple[bool, bool, bool]], monkeypatch: pytest.MonkeyPatch
) -> None:
    payloads = [p for p in pixels.drawn_payloads() if p.shape[0] <= 3]
    assert {_kind(p) for p in payloads} == KINDS
    truth, right = pixels.digests(payloads), predictive.Workspace.decode

    def one_off(workspace: Any, *given: Any) -> Any:
        found = right(workspace, *given)
        found.samples[0, 0, 0] += 1
        return found

    monkeypatch.setattr(part, otherwise or one_off)
    assert {_kind(p) for p, a, b in zip(payloads, truth, pixels.digests(payloads)) if a != b} == seen


def test_unknown_processor_is_named() -> None:
    with pytest.raises(EmulationMissing, match="expected one of haswell, nehalem, aarch64, found z80"):
        python_under("z80")


@pytest.mark.slow
@pytest.mark.parametrize("machine", ["haswell", "nehalem", "aarch64"])
def test_emulated_processor(machine: str) -> None:
    from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel

    try:
        python_under(machine)
    except EmulationMissing as error:
        pytest.skip(str(error))
    model = EdgeModel(DEFAULT_DIRECTORY, engine="float32")
    small = adversarial_tiles(4, np.random.default_rng(3))[3:4]
    payloads = pixels.drawn_payloads()
    rows, drawn = exactness.emulated_rows(DEFAULT_DIRECTORY, small, machine, payloads)
    assert set(pixels.different(drawn, pixels.digests(payloads)).values()) == {0}
    here = Row("int64", "here", predictions(ExactNetwork(model.parameters, np.int64), small), "")
    assert failures(rows, here) == []
    fused = {r.name: r.refused for r in rows if r.name in ("onnxruntime:extended", "onnxruntime:all")}
    assert all(fused.values()) == (machine == "haswell"), fused
