"""Reading a shipped model back: the same networks, and damaged directories named."""

import json
import shutil
from pathlib import Path

import numpy as np
import pytest
import torch

from swathpack.codec.restored import DIRECTORY, Restorer
from swathpack.codec.shipped import ShippedModelError, read_entropy, read_restoration, read_transform
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


def test_the_network_over_frames_says_what_the_shipped_graph_adds(tmp_path: Path) -> None:
    network, restorer = read_restoration(DIRECTORY), Restorer()
    strength = json.loads((DIRECTORY / "manifest.json").read_text())["strength"]
    rng = np.random.default_rng(7)
    drawn = (1000 + rng.normal(0, 200, (12, 80, 96)).cumsum(2)).astype(np.float32)
    steps, learned = np.full_like(drawn, 100), (rng.random((1, 80, 96)) < 0.5).astype(np.float32)
    with torch.no_grad():
        found = network(*(torch.from_numpy(plane[None]) for plane in (drawn, steps, learned)))[0].numpy() - drawn
    expected = restorer.run(drawn, steps, learned)
    assert np.abs(expected).max() > 1
    np.testing.assert_allclose(strength * found, expected, atol=0.05)
    with pytest.raises(ShippedModelError, match="restoration.onnx"):
        read_restoration(tmp_path)
