"""The network of refined predictions is fitted to what the coder shows it, and written as the coder reads it."""

from __future__ import annotations

import re

import numpy as np
import torch

from swathpack.codec.fit_refinement import Network, fit, missed, seen, table_of
from swathpack.edge.codec.predictive.reference import refine
from swathpack.edge.codec.predictive.reference.tile import Plane
from tests.edge.codec.test_predictive import fields


def test_inputs_are_those_that_the_coder_has() -> None:
    ((codes, errors, has_refs, scale),) = missed(fields(1, 26, 24).astype(np.int32))
    inputs, _, _ = seen(codes, errors, has_refs, scale)
    plane = Plane(26, 24)
    plane.rows[:] = codes >> 4
    refiner = refine.Refiner(plane, 24, scale, has_refs)
    for y in range(20):
        refiner.start_row()
        refiner.missed[-1].extend(errors[y].tolist())
    for x in (5, 11, 20):
        refiner.missed[-1] = errors[19, :x].tolist()
        above = int(codes[18, x]) >> 4
        found = _inputs(
            refiner, 19, x, int(codes[19, x] - errors[19, x]), above, [int(codes[19, x - i]) for i in (1, 2)]
        )
        assert found == inputs[:, 19, x].tolist()


def _inputs(refiner: refine.Refiner, y: int, x: int, predicted: int, above: int, before: list[int]) -> list[int]:
    scale = refiner._scale(x)
    near = refiner._near_inputs(y, x, scale, predicted - 16 * above, [v - 16 * above for v in before])
    return refiner._row_inputs(y, x, scale) + near


def test_the_network_learns_and_its_table_is_read_as_it_was() -> None:
    torch.manual_seed(1)
    network, n = Network(), 8192
    inputs = torch.randint(-64, 64, (n, 40)).to(torch.int16)
    scale, total = torch.full((n,), 100), torch.full((n,), 10600)
    error = inputs[:, 3] * 2 + torch.randn(n) * 20
    before = network.bits(inputs, error, scale, total).mean()
    fit(network, [inputs, error, scale, total], 12)
    assert network.bits(inputs, error, scale, total).mean() < before - 0.5
    text = table_of(network)
    numbers = list(map(int, re.findall(r"-?\d+", text.split("REFINE_NETWORK =")[1])))
    assert len(numbers) == 40 * 32 + 2 * 32 + 32 + 2
    weight = network.hidden.weight.detach().numpy()
    assert numbers[:4] == np.rint(256 * weight[[0, 0, 1, 1], [0, 1, 0, 1]]).astype(int).tolist()
