"""TEC-FP and TEC-ELIC against compressai, the library whose layout their checkpoints have.

    pip install --no-deps compressai        (and what its import asks for)

compressai is no dependency of this project; without it the tests are skipped.
"""

import numpy as np
import pytest
import torch

from swathpack.codec.terracodec.checkpoint import model_from_state

pytestmark = pytest.mark.slow
zoo = pytest.importorskip("compressai.models")


@pytest.fixture(autouse=True)
def _no_gradients():  # type: ignore[no-untyped-def]
    with torch.no_grad():
        yield


def _lively(model: torch.nn.Module) -> torch.nn.Module:
    torch.manual_seed(4)
    for name, parameter in model.named_parameters():
        if "quantiles" not in name:
            parameter += 0.3 * parameter.std().nan_to_num(0.1) * torch.randn_like(parameter)
    return model.eval()


def test_factorised_prior() -> None:
    theirs = _lively(zoo.FactorizedPrior(16, 24))
    theirs.entropy_bottleneck.quantiles[:, 0, 1] += torch.randn(24)
    theirs.g_a[6].weight *= 40
    family, mine = model_from_state(theirs.state_dict())
    assert family == "fp"
    x = torch.randn(2, 3, 64, 96)
    torch.testing.assert_close(mine.analysis(x), theirs.g_a(x), rtol=1e-4, atol=1e-4)
    ours, bits = mine(x)
    out = theirs(x)
    torch.testing.assert_close(ours, out["x_hat"], rtol=1e-4, atol=1e-4)
    wanted = -torch.log2(out["likelihoods"]["y"])
    torch.testing.assert_close(bits, wanted, rtol=1e-3, atol=1e-3)


def test_factorised_tables() -> None:
    theirs = _lively(zoo.FactorizedPrior(16, 24))
    theirs.entropy_bottleneck.update(force=True, update_quantiles=True)
    _, mine = model_from_state(theirs.state_dict())
    tables = mine.entropy_bottleneck.tables()
    prior = theirs.entropy_bottleneck
    for channel in range(24):
        length = int(prior._cdf_length[channel])
        cdf = prior._quantized_cdf[channel, :length].numpy() / 2**16
        widths = tables.table_widths(channel).astype(float) / 2**24
        half, offset = int(tables.half[channel]), int(prior._offset[channel])
        for slot, mass in enumerate(np.diff(cdf)[:-1]):
            if abs(slot + offset) <= half:
                assert abs(widths[half + slot + offset] - mass) < 1e-3


def test_elic() -> None:
    from compressai.models.sensetime import Elic2022Chandelier

    theirs = _lively(Elic2022Chandelier(N=16, M=48, groups=[8, 8, 8, 8, 16]))
    theirs.g_a[13].weight *= 40
    family, mine = model_from_state(theirs.state_dict())
    assert family == "elic"
    x = torch.randn(1, 3, 128, 64)
    torch.testing.assert_close(mine.analysis(x), theirs.g_a(x), rtol=1e-4, atol=1e-4)
    ours, means, sigmas = mine(x)
    torch.testing.assert_close(ours, theirs(x)["x_hat"], rtol=1e-3, atol=1e-3)
    assert means.abs().max() > 0 and sigmas.std() > 0
