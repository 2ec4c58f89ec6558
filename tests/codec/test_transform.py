"""The transform: the start basis, mirroring and its adjoint, and agreement with the exported graphs."""

from __future__ import annotations

from functools import lru_cache
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from swathpack.codec.basis import dct_klt_basis  # noqa: E402
from swathpack.codec.data import Cube  # noqa: E402
from swathpack.codec.transform import (  # noqa: E402
    CHANNELS,
    EdgeTransform,
    Expectation,
    fold_overlap,
    pad_overlap,
    step,
)
from swathpack.hil_tests.simulation.made_frames import values  # noqa: E402


@lru_cache(maxsize=1)
def basis() -> tuple[Any, Any, Any]:
    data = values(128, 128, 2, seed=1).astype(np.float32)
    return dct_klt_basis([Cube("made", data, np.ones((2, 128, 128), bool), 1.0, 12)], CHANNELS)


@lru_cache(maxsize=2)
def transform(perturbed: bool) -> EdgeTransform:
    torch.manual_seed(0)
    model = EdgeTransform()
    model.start_from(*(torch.from_numpy(x) for x in basis()))
    if perturbed:
        with torch.no_grad():
            for p in model.parameters():
                p += 0.02 * torch.randn_like(p) / max(p[0].numel(), 1) ** 0.5
    return model.eval().requires_grad_(False)


def frame(height: int = 64, width: int = 96, seed: int = 2) -> Any:
    return torch.from_numpy(values(height, width, 1, seed).astype(np.float32))


def test_the_basis_is_orthonormal_and_sorted_by_variance() -> None:
    vectors, mean, deviation = basis()
    flat = vectors.reshape(CHANNELS, -1).astype(np.float64)
    np.testing.assert_allclose(flat @ flat.T, np.eye(CHANNELS), atol=1e-5)
    assert np.all(np.diff(deviation) <= 1e-3)
    np.testing.assert_allclose(mean, values(128, 128, 2, seed=1).mean((0, 2, 3)), rtol=1e-3)


def test_the_basis_holds_most_of_the_energy() -> None:
    """512 of 3072 components keep nearly all of correlated bands."""
    model, x = transform(False), torch.from_numpy(values(128, 128, 2, seed=1).astype(np.float32))
    kept = model.synthesis(model.analysis(x), torch.zeros(2))
    assert float((kept - x).square().mean()) < 0.2 * float((x - x.mean((2, 3), keepdim=True)).square().mean())


def test_an_image_made_of_the_basis_comes_back_exactly() -> None:
    model = transform(False)
    coefficients = torch.randn(1, CHANNELS, 3, 4, generator=torch.Generator().manual_seed(1))
    image = model.synthesis(coefficients, torch.zeros(1))
    np.testing.assert_allclose(model.analysis(image).numpy(), coefficients.numpy(), atol=2e-3)


def test_folding_is_the_adjoint_of_mirroring() -> None:
    generator = torch.Generator().manual_seed(3)
    x = torch.randn(1, 2, 32, 48, generator=generator, dtype=torch.float64)
    y = torch.randn(1, 2, 40, 56, generator=generator, dtype=torch.float64)
    assert float((pad_overlap(x) * y).sum()) == pytest.approx(float((x * fold_overlap(y)).sum()))


def test_networks_start_as_nothing() -> None:
    model, latent, q = transform(False), torch.randn(1, CHANNELS, 2, 2), torch.tensor([20.0])
    assert not model.latent_network(latent, q).any()
    x = torch.randn(1, 12, 32, 32)
    assert torch.equal(model.post_filter(x, q), x)


def test_steps() -> None:
    assert step(torch.tensor([0, 8, 20])).tolist() == pytest.approx([1, 2, 2**2.5])


@pytest.mark.parametrize("size", [(64, 96), (16, 16), (48, 16)])
def test_the_graphs_do_what_torch_does(size: tuple[int, int]) -> None:
    """Weights are stored in half precision: a relative 2^-11 per weight."""
    ort = pytest.importorskip("onnxruntime")
    from swathpack.export.transform_graphs import analysis_graph, synthesis_graph

    model, x, q = transform(True), frame(*size), torch.tensor([17.0])

    def run(graph: Any, **feeds: Any) -> Any:
        return ort.InferenceSession(graph.SerializeToString(), providers=["CPUExecutionProvider"]).run(None, feeds)[0]

    coefficients = model.analysis(x)
    found = run(analysis_graph(model), frame=pad_overlap(x).numpy())
    scale = float(coefficients.std())
    np.testing.assert_allclose(found, coefficients.numpy(), atol=0.01 * scale)
    latent = torch.round(coefficients / step(q))
    generator = torch.Generator().manual_seed(2)
    away = torch.round(torch.randn(latent.shape, generator=generator) * 16) / 8
    expected = Expectation(latent + away, torch.randint(0, 64, latent.shape, generator=generator))
    image = model.synthesis(latent, q, expected).numpy()
    feeds = {"expected": expected.mean.numpy(), "scale": expected.scale.float().numpy()}
    found = run(synthesis_graph(model), latent=latent.numpy(), q=q.numpy()[None], **feeds)
    assert np.abs(found - image).max() < 0.01 * image.std()
