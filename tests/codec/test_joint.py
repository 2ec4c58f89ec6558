"""The joint network: the shipped codec at its start, the rate of the stream, gradients through the rounding."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from swathpack.codec.joint import alone, band_weights, distortion, plain, read_joint, staged, straight  # noqa: E402
from swathpack.codec.shipped import read_transform  # noqa: E402
from swathpack.codec.train_entropy import make_context, quantise, staged_bits, total_bits  # noqa: E402
from swathpack.edge.codec.model import DEFAULT_DIRECTORY  # noqa: E402
from swathpack.edge.stream.quality import usual_shift  # noqa: E402
from swathpack.hil_tests.simulation.made_frames import values  # noqa: E402


@pytest.fixture(scope="module")
def joint():
    return read_joint(DEFAULT_DIRECTORY, "small")


@pytest.fixture(scope="module")
def frames():
    return torch.stack([torch.from_numpy(values(64, 64, 1, n)[0].astype("float32")) for n in (1, 2)])


def test_at_the_start_coefficients_are_those_of_the_shipped_analysis_bit_for_bit(joint, frames) -> None:
    linear = read_transform(DEFAULT_DIRECTORY).analysis(frames)
    assert torch.equal(joint.coefficients(frames), linear)
    assert torch.equal(read_joint(DEFAULT_DIRECTORY, "none").coefficients(frames), linear)
    joint.bf16 = True
    assert torch.equal(joint.coefficients(frames), linear)
    joint.bf16 = False


def test_the_rate_is_that_of_stage_2(joint, frames) -> None:
    z = joint.coefficients(frames)
    q = torch.tensor([16, 40])
    batch = alone(straight(z, q, 0.08), q)
    with torch.no_grad():
        bits, expected = staged(joint.entropy, batch, torch.tensor([usual_shift(16), usual_shift(40)]))
        told, _ = plain(joint.entropy, batch)
        fine, _ = staged(joint.entropy, batch, torch.tensor([usual_shift(16), usual_shift(40)]), base=False)
        for n in range(2):
            y, own = quantise(z[n : n + 1], q[n : n + 1], 0.08), q[n : n + 1]
            assert float(bits[n]) == pytest.approx(staged_bits(joint.entropy, y, own), rel=1e-5)
            nothing = make_context(torch.zeros_like(y), torch.zeros_like(y), torch.zeros(1, 2, 16))
            assert float(told[n]) == pytest.approx(total_bits(joint.entropy, y, nothing, own), rel=1e-5)
    assert (fine < bits).all() and expected.mean.shape == z.shape


def test_rounding_gives_integers_and_lets_gradients_through() -> None:
    z = (torch.randn(3, 512, 2, 2) * torch.logspace(-1, 4, 512)[None, :, None, None]).requires_grad_()
    q = torch.tensor([4, 24, 50])
    y = straight(z, q, 0.1)
    assert torch.equal(y.detach(), quantise(z.detach(), q, 0.1)) and torch.equal(y, y.round())
    y.sum().backward()
    assert torch.allclose(z.grad[:, 0, 0, 0], torch.exp2(-q / 8))


def test_bits_pull_on_the_analysis_and_not_through_the_base(joint, frames) -> None:
    z = joint.coefficients(frames).requires_grad_()
    q, shift = torch.tensor([24, 32]), torch.tensor([3, 2])
    grads = []
    for base in (True, False):
        bits, _ = staged(joint.entropy, alone(straight(z, q, 0.08), q), shift, base)
        grads.append(torch.autograd.grad(bits.sum(), z)[0])
    assert grads[0].abs().sum() > 0 and torch.equal(*grads)


def test_visible_bands_weigh_four_times_as_much_and_the_mean_is_one() -> None:
    equal, visible = band_weights("equal"), band_weights("visible")
    assert torch.equal(equal, torch.ones(12, 1, 1)) and visible.mean() == pytest.approx(1)
    assert visible[2, 0, 0] / visible[0, 0, 0] == pytest.approx(4)
    with pytest.raises(ValueError, match=r"equal or visible, found loud"):
        band_weights("loud")
    found, frame = torch.zeros(1, 12, 8, 8), torch.zeros(1, 12, 8, 8)
    found[:, 1] = 64.0  # one UNIT in B02
    blue, all_alike = (float(distortion(found, frame, torch.tensor([0]), w)) for w in (visible, equal))
    assert all_alike == pytest.approx(1 / 12 / 0.09) and blue / all_alike == pytest.approx(4 / (21 / 12))
