"""The training form of the entropy model: gradients, rounding, causality, bits."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from swathpack.codec.entropy import (  # noqa: E402
    ACT,
    Context,
    EntropyModel,
    logistic_bits,
    neighbour_mean8,
    phase_map,
    planes,
    round_ste,
    saturate,
    weight_exponent,
)
from swathpack.edge.codec import latents  # noqa: E402
from tests.codec_models import random_latent  # noqa: E402

SIZE = (4, 4)


def tensors(seed: int = 0, dates: int = 2) -> tuple[Any, Context, Any]:
    latent, *contexts = (torch.from_numpy(random_latent(SIZE, seed + n).astype(np.float32))[None] for n in range(3))
    known = torch.zeros(1, 2, 16)
    known[:, :dates] = 1
    contexts = [c * (n < dates) for n, c in enumerate(contexts)]
    return latent, Context(*contexts, known), torch.tensor([24])


def test_planes_phases_and_neighbours_are_those_of_the_board() -> None:
    latent = random_latent(SIZE, 1)
    tensor = torch.from_numpy(latent.astype(np.float32))[None]
    ours = planes(tensor)[0].permute(1, 2, 0).numpy() * 8
    np.testing.assert_array_equal(ours, latents.latent_planes(latent))
    np.testing.assert_array_equal(phase_map(5, 7).numpy(), latents.phase_map(5, 7))
    np.testing.assert_array_equal(neighbour_mean8(tensor[:, :32])[0].numpy(), latents.neighbour_mean8(latent[:32]))


def test_rounding_goes_up_at_ties_and_lets_gradients_through() -> None:
    x = torch.tensor([-1.5, -0.5, 0.5, 1.49], requires_grad=True)
    y = round_ste(x)
    assert y.tolist() == [-1, 0, 1, 1]
    y.sum().backward()
    assert x.grad is not None and x.grad.tolist() == [1, 1, 1, 1]


@pytest.mark.parametrize("quantised", [False, True])
def test_saturation_is_that_of_int8(quantised: bool) -> None:
    x = saturate(torch.tensor([-99.0, 99.0, 0.3]), quantised)
    assert x[0] == -128 / 2**ACT and x[1] == 127 / 2**ACT
    assert x[2] == pytest.approx(round(0.3 * 32) / 32 if quantised else 0.3)


@pytest.mark.parametrize("scale", [1e-4, 0.05, 1.0, 3.9])
def test_weights_fit_int8_as_finely_as_they_can(scale: float) -> None:
    weight = scale * torch.rand(6, 40, generator=torch.Generator().manual_seed(1)) + 1e-6
    exponent = weight_exponent(weight, 0)
    peak = (weight * torch.exp2(exponent)).amax(1)
    assert torch.all(peak <= 127.5)
    assert torch.all((peak > 63) | (exponent[:, 0] == 14))


def test_every_parameter_learns() -> None:
    torch.manual_seed(1)
    model = EntropyModel(torch.ones(512))
    latent, context, q = tensors()
    logistic_bits(latent, *model(latent, context, q)).mean().backward()
    dead = [n for n, p in model.named_parameters() if p.grad is None or not torch.isfinite(p.grad).all()]
    silent = [n for n, p in model.named_parameters() if p.grad is not None and not p.grad.any()]
    assert not dead and not silent


def test_the_rounding_form_stays_near_the_float_form() -> None:
    torch.manual_seed(2)
    model = EntropyModel(torch.linspace(20, 0.3, 512)).eval()
    latent, context, q = tensors(3)
    with torch.no_grad():
        free = logistic_bits(latent, *model(latent, context, q)).mean()
        model.set_quantised(True)
        rounded = logistic_bits(latent, *model(latent, context, q)).mean()
    assert float(rounded) == pytest.approx(float(free), rel=0.03)


@pytest.mark.parametrize("quantised", [False, True])
def test_later_layers_do_not_reach_earlier_ones(quantised: bool) -> None:
    torch.manual_seed(3)
    model = EntropyModel(torch.ones(512)).eval()
    for p in model.parameters():
        p.requires_grad_(False).add_(0.02 * torch.randn_like(p))
    model.set_quantised(quantised)
    latent, context, q = tensors(4)
    changed = latent.clone()
    changed[:, 5 * 32 : 6 * 32] += 30
    before, after = model(latent, context, q), model(changed, context, q)
    for a, b in zip(before, after):
        assert torch.equal(a[:, : 6 * 32], b[:, : 6 * 32])
    assert not torch.equal(before[0][:, 6 * 32 :], after[0][:, 6 * 32 :])


def test_bits_are_those_of_a_logistic() -> None:
    """Sums of 2^-bits over all integers are 1; wide tables cost more at the mean and less far off."""
    symbols = torch.arange(-400, 401).float()
    for index, mean in ((20.0, 0.3), (45.0, -2.6)):
        bits = logistic_bits(symbols, torch.tensor(mean), torch.tensor(index))
        assert float(torch.exp2(-bits.double()).sum()) == pytest.approx(1, abs=3e-4)
    near, far = torch.tensor(0.0), torch.tensor(40.0)
    zero = torch.tensor(0.0)
    assert logistic_bits(near, zero, torch.tensor(10.0)) < logistic_bits(near, zero, torch.tensor(50.0))
    assert logistic_bits(far, zero, torch.tensor(10.0)) > logistic_bits(far, zero, torch.tensor(50.0))
