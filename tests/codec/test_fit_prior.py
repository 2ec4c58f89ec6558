"""Priors: learned from real crops of training cubes, and worth bits from a payload's first symbol on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from swathpack.codec.data import CropSampler, Cube
from swathpack.codec.fit_prior import coded_crop, fit
from swathpack.edge.codec.layers import encode_layers
from swathpack.edge.codec.tables import PRIOR_LIMIT, PRIOR_SHAPE
from swathpack.hil_tests.simulation.made_frames import values
from tests.codec_models import shipped


def sampler(dates: int = 3, seed: int = 0) -> CropSampler:
    data = values(64, 64, dates, 5).astype(np.float32)
    return CropSampler([Cube("place", data, data.any(axis=1), 1.0, 12)], seed)


@pytest.mark.parametrize("dates", [1, 2, 5])
def test_crops_are_real_dates_of_one_place_unchanged(dates: int) -> None:
    found, cube = sampler(dates).as_taken(32), sampler(dates).cubes[0].data
    assert found.shape == (min(dates, 3), 12, 32, 32)
    places = {
        (d, y, x)
        for frame in found
        for d in range(dates)
        for y in range(33)
        for x in range(33)
        if np.array_equal(cube[d, :, y : y + 32, x : x + 32], frame)
    }
    assert len(places) == len(found) and len({p[1:] for p in places}) == 1 and len({p[0] for p in places}) == len(found)


def test_a_prior_saves_bits_of_scenes_like_those_it_was_learned_on() -> None:
    model = shipped()
    prior = fit(model, sampler(), 4)
    assert prior.shape == PRIOR_SHAPE and prior.dtype == np.int32 and 0 < np.abs(prior).max() <= PRIOR_LIMIT
    coded = coded_crop(model, sampler(seed=9).as_taken(64), np.random.default_rng(2))
    sizes = [
        int(encode_layers(replace(model.tables, prior=p), coded.prediction, coded.latent, base=coded.base).sizes[-1])
        for p in (prior, np.zeros(PRIOR_SHAPE, np.int32))
    ]
    assert sizes[0] < sizes[1]
