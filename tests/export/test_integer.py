"""The proof of exactness: worst-case inputs reach the claimed bounds, and what does not fit is refused by name."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

torch = pytest.importorskip("torch")

from swathpack.export.integer import LIMIT, BoundError, integer_parameters, prove_bounds  # noqa: E402
from tests.codec_models import random_entropy, random_parameters, shipped  # noqa: E402


def linear_layers(parameters: dict[str, NDArray[Any]]) -> list[str]:
    return sorted(k[: -len(".weight")] for k in parameters if k.endswith(".weight"))


def worst_inputs(weight: NDArray[Any], sign: int) -> NDArray[np.int64]:
    """(..., outputs, inputs) int8 values that push every output as far as they can."""
    up = weight.swapaxes(-1, -2).astype(np.int64) * sign > 0
    return np.where(up, 127, -128)


@pytest.mark.parametrize("which", ["shipped", "random"])
def test_adversarial_inputs_stay_within_the_bound_and_float32_is_exact_there(which: str) -> None:
    parameters = shipped().parameters if which == "shipped" else random_parameters()
    network = {
        k: v
        for k, v in parameters.items()
        if k.endswith((".weight", ".bias", ".exponent")) or k in ("heads", "step_embed")
    }
    bounds = {b.layer: b.worst for b in prove_bounds(network)}
    rng = np.random.default_rng(0)
    for name in linear_layers(network):
        weight, bias = network[f"{name}.weight"], network[f"{name}.bias"].astype(np.int64)
        order = rng.permutation(weight.shape[-2])
        for sign in (-1, 1):
            x = worst_inputs(weight, sign)
            exact = np.einsum("...oi,...io->...o", x, weight.astype(np.int64)) + bias
            assert np.abs(exact).max() <= bounds[name] < LIMIT
            products = (x.swapaxes(-1, -2) * weight).astype(np.float32)
            for rows in (np.arange(len(order)), order):
                total = np.float32(0.25) + bias.astype(np.float32)
                for row in rows:
                    total = total + products[..., row, :]
                np.testing.assert_array_equal(total.astype(np.float64), exact + 0.25, err_msg=name)


def test_the_bound_is_reached() -> None:
    """A layer of negative weights at inputs of -128 gives exactly the claimed sum."""
    parameters = dict(random_parameters())
    name = "blocks.1.spatial.up"
    parameters[f"{name}.weight"] = -np.abs(parameters[f"{name}.weight"])
    parameters[f"{name}.bias"] = np.abs(parameters[f"{name}.bias"])
    bound = {b.layer: b.worst for b in prove_bounds(parameters)}[name]
    total = (-128 * parameters[f"{name}.weight"].astype(np.int64)).sum(0) + parameters[f"{name}.bias"]
    assert int(total.max()) == bound


@pytest.mark.parametrize(
    "name",
    [
        "embed",
        "embed_context",
        "context_spatial.down",
        "blocks.0.attention.query",
        "blocks.2.spatial.kernel",
        "blocks.3.spatial.down",
        "head",
        "first_hidden",
    ],
)
def test_a_layer_that_is_too_large_is_refused_by_name(name: str) -> None:
    parameters = dict(random_parameters())
    parameters[f"{name}.bias"] = np.full_like(parameters[f"{name}.bias"], LIMIT)
    with pytest.raises(BoundError, match=f"^{name}: worst-case sum .* is not below"):
        prove_bounds(parameters)


@pytest.mark.parametrize(
    "name",
    [
        "embed",
        "embed_context",
        "context_spatial.down",
        "blocks.0.attention.out",
        "blocks.3.spatial.down",
        "head",
        "first_head",
    ],
)
def test_a_layer_that_is_too_coarse_is_refused_by_name(name: str) -> None:
    parameters = dict(random_parameters())
    parameters[f"{name}.exponent"] = np.zeros_like(parameters[f"{name}.exponent"])
    with pytest.raises(BoundError, match=f"^{name}: accumulator is coarser"):
        prove_bounds(parameters)


@pytest.mark.parametrize("branch", ["blocks.1.attention.out", "embed", "step_embed"])
def test_a_residual_stream_that_is_too_large_is_refused(branch: str) -> None:
    parameters = dict(random_parameters())
    key = branch if branch == "step_embed" else f"{branch}.bias"
    shift = 0 if branch == "step_embed" else 2
    parameters[key] = np.full_like(parameters[key], LIMIT - 1 if not shift else LIMIT // 2)
    if shift:
        parameters[f"{branch}.exponent"] = np.full_like(parameters[f"{branch}.exponent"], 5 if branch == "embed" else 3)
    for block in range(4):
        name = f"blocks.{block}.spatial.down"
        parameters[f"{name}.bias"] = np.full_like(parameters[f"{name}.bias"], LIMIT // 2)
        parameters[f"{name}.exponent"] = np.full_like(parameters[f"{name}.exponent"], 3)
    with pytest.raises(BoundError, match="^residual: worst-case sum"):
        prove_bounds(parameters)


def test_the_context_stream_is_bounded_too() -> None:
    parameters = dict(random_parameters())
    for name, exponent in (("embed_context", 5), ("context_spatial.down", 3)):
        parameters[f"{name}.bias"] = np.full_like(parameters[f"{name}.bias"], LIMIT * 5 // 8)
        parameters[f"{name}.exponent"] = np.full_like(parameters[f"{name}.exponent"], exponent)
        parameters[f"{name}.weight"] = parameters[f"{name}.weight"] // 8
    with pytest.raises(BoundError, match="^context residual: worst-case sum"):
        prove_bounds(parameters)


def test_integers_are_of_the_stated_types_and_reproducible() -> None:
    model = random_entropy()
    first, second = integer_parameters(model), integer_parameters(model)
    for key, array in first.items():
        np.testing.assert_array_equal(array, second[key])
        if key.endswith(".weight"):
            assert array.dtype == np.int8 and np.abs(array.astype(int)).max() <= 127
            name = key[: -len(".weight")]
            assert first[f"{name}.bias"].dtype == np.int32 and first[f"{name}.exponent"].dtype == np.uint8
    assert first["step_embed"].shape == (64, 96) and first["base_index"].shape == (64, 512)
    assert np.abs(first["step_embed"]).max() > 0
