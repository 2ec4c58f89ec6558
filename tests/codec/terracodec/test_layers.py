"""Convolutional parts against their formulas, written out with plain loops or numpy."""

import numpy as np
import torch

from swathpack.codec.terracodec.layers import GDN, AttentionBlock, BottleneckBlock, ResidualBlock, ResidualUnit


def _gdn_by_hand(x: np.ndarray, beta: np.ndarray, gamma: np.ndarray, inverse: bool) -> np.ndarray:
    pedestal = 2.0**-36
    beta = np.maximum(beta, np.sqrt(1e-6 + pedestal)) ** 2 - pedestal
    gamma = np.maximum(gamma, np.sqrt(pedestal)) ** 2 - pedestal
    out = np.empty_like(x)
    for i in range(x.shape[0]):
        norm = np.sqrt(beta[i] + sum(gamma[i, j] * x[j] ** 2 for j in range(x.shape[0])))
        out[i] = x[i] * norm if inverse else x[i] / norm
    return out


def test_gdn_follows_its_formula_on_reparametrised_values() -> None:
    rng = np.random.default_rng(0)
    for inverse in (False, True):
        gdn = GDN(5, inverse).requires_grad_(False)
        gdn.beta.copy_(torch.from_numpy(rng.normal(0.5, 0.6, 5)))  # some below the bound
        gdn.gamma.copy_(torch.from_numpy(rng.normal(0.1, 0.3, (5, 5))))
        x = rng.normal(size=(5, 4, 3))
        wanted = _gdn_by_hand(x, gdn.beta.numpy(), gdn.gamma.numpy(), inverse)
        found = gdn(torch.from_numpy(x).float()[None])[0].numpy()
        np.testing.assert_allclose(found, wanted, rtol=1e-5, atol=1e-6)


def test_gdn_starts_as_published() -> None:
    x = torch.randn(1, 3, 2, 2)
    wanted = x / torch.sqrt(1 + 0.1 * x * x)
    torch.testing.assert_close(GDN(3)(x), wanted, rtol=1e-4, atol=1e-5)


def test_gdn_stays_finite_for_any_stored_value() -> None:
    gdn = GDN(4).requires_grad_(False)
    gdn.beta.fill_(-3.0)
    gdn.gamma.fill_(-3.0)
    assert gdn(torch.randn(2, 4, 3, 3)).isfinite().all()


def test_residual_unit_ends_in_a_relu_and_bottleneck_block_does_not() -> None:
    x = -10 * torch.rand(1, 8, 6, 6)
    assert ResidualUnit(8)(x).min() >= 0
    assert BottleneckBlock(8)(x).min() < 0


def test_attention_is_a_gate_between_input_and_branch() -> None:
    block = AttentionBlock(8).requires_grad_(False)
    x = torch.randn(1, 8, 6, 6)
    block.conv_b[3].weight.zero_()
    block.conv_b[3].bias.fill_(-60.0)  # sigmoid closes
    torch.testing.assert_close(block(x), x)
    block.conv_b[3].bias.fill_(60.0)
    torch.testing.assert_close(block(x), x + block.conv_a(x))


def test_residual_block_uses_the_leak_twice() -> None:
    block = ResidualBlock(1).requires_grad_(False)
    for conv in (block.conv1, block.conv2):
        conv.weight.zero_()
        conv.bias.zero_()
        conv.weight[0, 0, 1, 1] = 1.0
    torch.testing.assert_close(block(torch.full((1, 1, 2, 2), -1.0)), torch.full((1, 1, 2, 2), -1.0001))
