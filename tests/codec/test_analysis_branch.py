"""The nonlinear branch: nothing at the start, coefficients' shape, multiply-accumulates counted from its layers."""

from __future__ import annotations

import pytest

torch = pytest.importorskip("torch")

from swathpack.codec.analysis_branch import SIZES, AnalysisBranch, branch_of, gmac, linear_gmac  # noqa: E402


def test_it_starts_as_nothing_and_may_become_something() -> None:
    branch = AnalysisBranch(SIZES["small"])
    x = torch.randn(2, 12, 64, 32) * 10
    assert branch(x).shape == (2, 512, 4, 2) and not branch(x).any()
    branch.leave.weight.data.normal_()
    assert branch(x).std() > 0


@pytest.mark.parametrize(("name", "about"), [("small", 1), ("medium", 4), ("large", 10)])
def test_multiply_accumulates_are_those_of_its_layers(name: str, about: float) -> None:
    width, blocks = SIZES[name]
    total = 0
    for side, planes, count in zip((64, 32, 16), (width, 2 * width, 4 * width), blocks):
        total += count * 2 * side**2 * 9 * planes**2
    total += 64**2 * 192 * width + 32**2 * 9 * 2 * width**2 + 16**2 * 9 * 8 * width**2 + 16**2 * 4 * width * 512
    branch = branch_of(name)
    assert gmac(branch) == pytest.approx(total / 1e9, rel=1e-12) and gmac(branch) == pytest.approx(about, rel=0.2)
    assert gmac(branch, 128) == pytest.approx(total / 4e9, rel=1e-12)
    assert next(branch.parameters()).device.type == "cpu"  # counting leaves the branch as it is


def test_without_a_branch_nothing_is_added_to_the_linear_analysis() -> None:
    assert branch_of("none") is None and gmac(None) == 0
    assert linear_gmac() == pytest.approx(0.906, abs=5e-4)  # as swathpack.tools.bench.count_macs finds in the graph
    with pytest.raises(KeyError):
        branch_of("huge")
