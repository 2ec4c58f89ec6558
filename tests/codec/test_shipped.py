"""Reading a shipped model back: the same networks, and damaged directories named."""

import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from swathpack.codec.shipped import ShippedModelError, read_entropy, read_transform
from swathpack.edge.codec.model import DEFAULT_DIRECTORY
from swathpack.export.integer import integer_parameters
from tests.codec_models import shipped


@pytest.fixture(scope="module")
def transform():
    return read_transform(DEFAULT_DIRECTORY)


def test_transform_is_the_shipped_one(transform) -> None:
    rng = np.random.default_rng(1)
    tile = rng.uniform(200, 4000, (12, 64, 64)).astype(np.float32)
    model = shipped()
    coefficients = model.analyse(tile)
    with torch.no_grad():
        found = transform.analysis(torch.from_numpy(tile)[None])[0].numpy()
        # A bias of float32 kernels stands beside half-precision kernels in the graph, hence the tolerance.
        assert np.abs(found - coefficients).max() < 0.05
        latent = np.rint(coefficients / 2**3)
        image = transform.synthesis(torch.from_numpy(latent)[None], torch.tensor([24]))[0].numpy()
    assert np.abs(image - model.synthesise(latent, 24)).max() < 0.5


def test_integer_weights_survive() -> None:
    again = integer_parameters(read_entropy(DEFAULT_DIRECTORY))
    first = shipped().parameters
    for name, value in again.items():
        if name in ("base_index", "step_embed"):
            assert np.abs(value.astype(int) - first[name].astype(int)).max() <= 1
        else:
            np.testing.assert_array_equal(value, first[name], err_msg=name)


def test_other_layouts_are_named(tmp_path: Path) -> None:
    with pytest.raises(ShippedModelError, match="analysis.onnx"):
        read_transform(tmp_path)
    shutil.copy(DEFAULT_DIRECTORY / "analysis.onnx", tmp_path / "analysis.onnx")
    shutil.copy(DEFAULT_DIRECTORY / "analysis.onnx", tmp_path / "synthesis.onnx")
    with pytest.raises(ShippedModelError, match="latent.enter"):
        read_transform(tmp_path)
    with pytest.raises(ShippedModelError, match="entropy.npz"):
        read_entropy(tmp_path)
    np.savez(tmp_path / "entropy.npz", heads=np.array(3))
    with pytest.raises(ShippedModelError, match="embed"):
        read_entropy(tmp_path)
