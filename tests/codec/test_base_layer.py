"""The base layer of training is that of the coder."""

from __future__ import annotations

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from swathpack.codec.base_layer import BASE_GROUPS, base_of, bin_of, bits_in_bins, with_base  # noqa: E402
from swathpack.codec.entropy import logistic_bits  # noqa: E402
from swathpack.edge.codec import base_layer  # noqa: E402
from swathpack.edge.codec.latents import CHANNELS, GROUP  # noqa: E402

VALUES = np.arange(-300, 301, dtype=np.int16)[None, :, None, None]


def test_the_base_has_as_many_groups() -> None:
    assert BASE_GROUPS == base_layer.BASE_GROUPS


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_bases_and_bins_are_those_of_the_coder(shift: int) -> None:
    y, shifts = torch.from_numpy(VALUES).float(), torch.tensor([shift])
    base = base_of(y, shifts)
    wanted = base_layer.base_of(VALUES, shift)
    np.testing.assert_array_equal(base.numpy(), wanted)
    for found, expected in zip(bin_of(base, shifts), base_layer.bin_of(wanted, shift)):
        np.testing.assert_array_equal(found.numpy(), expected)


@pytest.mark.parametrize("mean", [-3.2, 0.0, 90.0])
@pytest.mark.parametrize("index", [5.0, 25.0, 50.0])
def test_probabilities_in_a_bin_sum_to_one(mean: float, index: float) -> None:
    """Far out in the tails too, where the coder's least probability takes over."""
    for low, high in ((-4, 4), (5, 12), (-60, -53)):
        y = torch.arange(low, high + 1).float()
        like = torch.ones_like(y)
        bits = bits_in_bins(y, mean * like, index * like, low * like, high * like)
        assert torch.isfinite(bits).all() and abs(float(torch.exp2(-bits).sum()) - 1) < 0.01


def test_knowing_the_bin_saves_what_the_bin_costs() -> None:
    y, mean = torch.tensor([2.0]), torch.tensor([0.4])
    index, low, high = torch.tensor([30.0]), torch.tensor([-2.0]), torch.tensor([2.0])
    inside = torch.exp2(-logistic_bits(torch.arange(-2, 3).float(), mean, index)).sum()
    saved = logistic_bits(y, mean, index) - bits_in_bins(y, mean, index, low, high)
    assert float(saved) == pytest.approx(-float(torch.log2(inside)), abs=1e-3)


def test_only_groups_of_the_base_have_bins() -> None:
    found = with_base(torch.zeros(1, CHANNELS, 1, 1), torch.ones(1, CHANNELS, 1, 1))
    assert float(found.sum()) == BASE_GROUPS * GROUP
