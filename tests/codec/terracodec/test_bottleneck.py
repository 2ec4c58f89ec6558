"""The factorised prior: its cumulative distribution, and integer tables that follow it."""

import numpy as np
import torch

from swathpack.codec.terracodec.bottleneck import EntropyBottleneck
from swathpack.codec.terracodec.coding import decode_channels, encode_channels


def _random(channels: int = 6) -> EntropyBottleneck:
    torch.manual_seed(5)
    prior = EntropyBottleneck(channels).requires_grad_(False)
    for parameter in [*prior.matrices, *prior.factors]:
        parameter += 0.5 * torch.randn_like(parameter)
    prior.quantiles[:, 0, 1] = torch.randn(channels) * 3
    return prior


def _cumulative_by_hand(prior: EntropyBottleneck, channel: int, x: float) -> float:
    values = np.array([x])
    for k in range(5):
        matrix = np.log1p(np.exp(prior.matrices[k][channel].double().numpy()))
        values = matrix @ values + prior.biases[k][channel, :, 0].double().numpy()
        if k < 4:
            values = values + np.tanh(prior.factors[k][channel, :, 0].double().numpy()) * np.tanh(values)
    return float(1 / (1 + np.exp(-values[0])))


def test_tables_are_the_learned_distribution_around_the_median() -> None:
    prior = _random()
    tables = prior.tables()
    for channel in range(6):
        widths = tables.table_widths(channel).astype(float) / 2**24
        half, median = int(tables.half[channel]), float(prior.medians()[channel])
        for step in (-half, -1, 0, 1, half):
            low, high = (_cumulative_by_hand(prior, channel, median + step + e) for e in (-0.5, 0.5))
            assert abs(widths[step + half] - (high - low)) < 3e-6 * (half + 1)


def test_coded_size_is_the_estimated_one() -> None:
    prior = _random()
    symbols = torch.round(torch.randn(6, 40, 40) * 4)
    y = symbols + prior.medians()[:, None, None]
    payload = encode_channels(prior.tables(), symbols)
    estimate = float(prior.bits(y[None]).sum())
    assert abs(8 * len(payload) - estimate) < 0.01 * estimate + 64
    assert torch.equal(decode_channels(prior.tables(), payload, (6, 40, 40)), symbols)


def test_far_values_escape() -> None:
    prior = _random(2)
    symbols = torch.tensor([0.0, 90000.0, -5000.0, 3.0]).reshape(2, 1, 2)
    assert torch.equal(decode_channels(prior.tables(), encode_channels(prior.tables(), symbols), (2, 1, 2)), symbols)
