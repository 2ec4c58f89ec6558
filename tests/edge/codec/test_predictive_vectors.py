"""Wide vectors (AVX2) and those that every processor has: the same payloads, the same samples."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.predictive import decode
from swathpack.edge.codec.predictive.native import use_narrow_vectors
from swathpack.edge.codec.rangecoder import native
from swathpack.edge.codec.rangecoder.build import build
from tests.edge.codec.test_predictive import KINDS, encode, encode_refined, fields, samples_of, scene
from tests.edge.codec.test_predictive_reference import GOLDEN, test_golden_payloads


@pytest.fixture(autouse=True)
def _wide():
    """Wide vectors to begin with, and afterwards; nothing to compare where there are none."""
    if not native.available():
        build()
        native.library.cache_clear()
    if not use_narrow_vectors(False):
        pytest.skip("this processor has no wider vectors")
    yield
    use_narrow_vectors(False)


def both_ways(function, *given):
    """What a function gives with wide vectors and with narrow ones."""
    wide = function(*given)
    assert not use_narrow_vectors(True)
    narrow = function(*given)
    assert use_narrow_vectors(False)
    return wide, narrow


def assert_alike(samples, valid=None, max_error=0):
    for code, refined in ((encode, False), (encode_refined, True)):
        wide, narrow = both_ways(code, samples, valid, max_error)
        assert wide.payload == narrow.payload and (wide.sizes == narrow.sizes).all()
        given = wide.payload, samples.shape, valid, max_error, None, refined
        assert np.array_equal(*(tile.samples for tile in both_ways(decode, *given)))


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_error", [0, 6])
def test_every_kind_of_samples(kind, max_error):
    samples = samples_of(kind, len(kind), 4, 40, 37)
    assert_alike(samples, None, max_error)
    assert_alike(samples[:2], np.random.default_rng(3).random((40, 37)) < 0.8, max_error)


@pytest.mark.parametrize("width", [*range(1, 20), 31, 33, 64, 255, 256])
def test_every_width(width):
    assert_alike(scene(width, 2, 20, width))


def test_steep_edges_and_large_values():
    """Inputs and sums at their limits."""
    assert_alike(fields(3, 90, 100) * 12)
    assert_alike(np.random.default_rng(1).choice([0, 32767], (2, 30, 40)))


@pytest.mark.parametrize("max_error", GOLDEN)
def test_pinned_payloads_without_wide_vectors(max_error):
    assert not use_narrow_vectors(True)
    test_golden_payloads(max_error)
