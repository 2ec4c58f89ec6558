"""Exported files: a model written from random weights loads, codes and decodes; graphs count what they cost."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from swathpack.edge.codec.model import EdgeModel  # noqa: E402
from swathpack.export.edge_model import write_model  # noqa: E402
from swathpack.hil_tests.simulation.made_frames import series  # noqa: E402
from swathpack.tools.files.decoder import StreamDecoder  # noqa: E402
from swathpack.tools.files.encoder import SeriesEncoder  # noqa: E402
from tests.codec.test_transform import transform  # noqa: E402
from tests.codec_models import random_entropy, shipped  # noqa: E402


@pytest.fixture(scope="module")
def written(tmp_path_factory: pytest.TempPathFactory) -> Path:
    out = tmp_path_factory.mktemp("model")
    write_model(transform(True), random_entropy(), out, {"attribution": "noise"})
    return out


@pytest.mark.long
def test_a_written_model_codes(written: Path) -> None:
    model, frames = EdgeModel(written), series(48, 64, 2)
    data = SeriesEncoder(model, frames, mode="learned").at_quality(24)
    decoded = StreamDecoder(EdgeModel(written, engine="int64"), data).frames()
    assert not decoded.problems and decoded.frames[1].valid.all()
    assert model.digest != shipped().digest


def test_the_manifest_names_digests_bounds_and_notes(written: Path) -> None:
    manifest = json.loads((written / "manifest.json").read_text())
    assert manifest["model_digest"] == EdgeModel(written).digest.hex() and manifest["attribution"] == "noise"
    assert {"residual", "context residual", "attention.mix", "head"} <= set(manifest["bounds"])


def test_gains_are_the_energy_of_the_synthesis_kernels(written: Path) -> None:
    """A unit of one coefficient, synthesised, has the error that the gain says."""
    model = EdgeModel(written)
    for channel in (0, 100, 511):
        latent = np.zeros((512, 5, 5), np.float32)
        base = transform(True).linear_synthesis(_tensor(latent)).numpy()
        latent[channel, 2, 2] = 1
        changed = transform(True).linear_synthesis(_tensor(latent)).numpy()
        assert np.square(64 * (changed - base)).sum() == pytest.approx(model.gains[channel], rel=1e-3)


def _tensor(array: np.ndarray) -> object:
    import torch

    return torch.from_numpy(array[None])


def test_counting_multiply_accumulates(written: Path) -> None:
    import onnx

    from swathpack.tools.bench import count_macs

    model = onnx.load(str(written / "analysis.onnx"))
    assert count_macs.count(model, count_macs.feeds_of("analysis", 64)) == {"Conv": 512 * 12 * 24 * 24 * 16}
    assert count_macs.parameters(model) == 512 * 12 * 24 * 24 + 512


def test_the_shipped_model_is_within_the_board_s_limit() -> None:
    from swathpack.tools.bench import count_macs

    found = count_macs.measure(side=64)
    assert 0 < found["board_gmac"] <= found["board_limit_gmac"] == 5 / 16
    assert "within" in count_macs.text(found)
