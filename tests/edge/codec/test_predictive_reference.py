"""The predictive coder in C and in Python write and read the same bytes, and these bytes are pinned."""

from __future__ import annotations

import hashlib
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.codec import predictive
from swathpack.edge.codec.predictive import PredictiveError, decode, encode, reference
from swathpack.edge.codec.predictive.interface import checked_errors, checked_samples, checked_valid
from swathpack.edge.codec.predictive.reference.refine import network
from swathpack.edge.codec.rangecoder import native
from swathpack.edge.codec.rangecoder.build import build
from tests.edge.codec.test_predictive import KINDS, encode_refined, samples_of, scene


@pytest.fixture(scope="module", autouse=True)
def _built():
    if not native.available():
        build()
        native.library.cache_clear()


def by_reference(samples, valid, max_error, refined=False):
    errors = checked_errors(max_error, len(samples))
    return reference.encode(checked_samples(samples), checked_valid(valid, samples.shape), errors, refined)


def assert_alike(samples, valid=None, max_error=0, refined=False):
    """Same payload, same layers; what the one decodes from any prefix, the other does."""
    ours = (encode_refined if refined else encode)(samples, valid, max_error)
    theirs = by_reference(samples, valid, max_error, refined)
    assert ours.payload == theirs.payload and np.array_equal(ours.sizes, theirs.sizes)
    mask, errors = checked_valid(valid, samples.shape), checked_errors(max_error, len(samples))
    for cut in (len(ours.payload), len(ours.payload) // 2):
        a = decode(ours.payload[:cut], samples.shape, valid, max_error, refined=refined)
        b = reference.decode(ours.payload[:cut], samples.shape, mask, errors, refined)
        assert np.array_equal(a.samples, b.samples) and np.array_equal(a.since, b.since) and a.layers == b.layers


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("max_error", [0, 6])
def test_native_and_reference_write_the_same(kind, max_error):
    samples = samples_of(kind, len(kind), 3, 21, 18)
    assert_alike(samples, None, max_error)
    assert_alike(samples[:2], np.random.default_rng(3).random((21, 18)) < 0.8, max_error)


@pytest.mark.parametrize("kind", KINDS)
def test_refined_predictions_are_the_same(kind):
    samples = samples_of(kind, len(kind), 2, 14, 13)
    assert_alike(samples, refined=True)
    assert_alike(samples, np.random.default_rng(3).random((14, 13)) < 0.8, 6, refined=True)


@pytest.mark.parametrize("max_error", [0, 6])
def test_what_the_first_layers_take_is_the_same(max_error):
    samples = samples_of("scene", 3, 1, 64, 11)
    ours, theirs = encode_refined(samples, None, max_error), by_reference(samples, None, max_error, refined=True)
    assert ours.tried == theirs.tried and min(ours.tried) > 0
    given = checked_samples(samples), checked_valid(None, samples.shape), checked_errors(max_error, 1)
    chosen, either = encode(samples, None, max_error, refined=True), reference.encode_either(*given)
    assert (chosen.payload, chosen.refined) == (either.payload, either.refined)


def test_sums_of_the_network_fit_32_bits():
    """Whatever pixels and errors there are: inputs are limited to 6 times 64, that of the scale to 2 * 16 * 20 + 30."""
    net, most = network(), 700
    units = [abs(b) + most * sum(abs(w[h]) for w in net.row + net.near) for h, b in enumerate(net.bias)]
    assert max(units) < 2**31 and max(abs(w) for w in sum(net.row + net.near, [])) < 2**15
    for bias, weights in zip(net.out_bias, net.out):
        assert abs(bias) + sum(min(u >> 8, 32767) * abs(w) for u, w in zip(units, weights)) < 2**31


@pytest.mark.long
def test_classes_of_activity_and_long_taps_are_the_same():
    samples = scene(1, 2, 90, 80, noise=4)
    samples[:, :, 40:] += 30 * np.random.default_rng(2).integers(-3, 4, (2, 90, 40))
    assert_alike(samples)


@pytest.mark.long
def test_small_predictors_of_quiet_tiles_are_the_same():
    assert_alike(scene(5, 1, 40, 40, noise=8) // 12, max_error=10)


def test_cells_that_two_bands_share_are_the_same():
    assert_alike(samples_of("skewed", 5, 3, 60, 40))
    assert_alike(samples_of("skewed", 5, 3, 60, 40), max_error=40)


@pytest.mark.long
def test_listed_values_and_fine_bits_are_the_same():
    assert_alike(np.floor(scene(3, 1, 90, 90, noise=90) * 1.7).astype(int))
    assert_alike(np.floor(scene(4, 1, 90, 90, noise=90) * 0.6).astype(int))


def test_hostile_payloads_end_the_same():
    samples, rng = scene(6, 2, 20, 20), np.random.default_rng(6)
    payload, mask = encode(samples).payload, np.ones((20, 20), np.uint8)
    for _ in range(40):
        changed = bytearray(payload)
        changed[rng.integers(len(changed))] ^= 1 << int(rng.integers(8))
        outcomes = []
        for coder in (decode, lambda *a: reference.decode(*a, mask, np.zeros(2, np.int32))):
            try:
                back = coder(bytes(changed), samples.shape)
                outcomes.append((back.samples.tolist(), back.layers))
            except PredictiveError:
                outcomes.append("corrupt")
        assert outcomes[0] == outcomes[1]


def whole_numbers(bands: int, height: int, width: int) -> np.ndarray:
    """A scene of integer arithmetic alone, the same everywhere."""
    rows, columns = np.mgrid[:height, :width]
    ground = (rows * rows // 7 + 3 * columns + (columns > 20) * 90) % 700
    state = (np.arange(bands * height * width) * 2654435761 + 12345) % 2**32
    noise = (state * 1103515245 >> 20) % 23
    return 500 + ground * np.arange(2, 2 + bands)[:, None, None] // 3 + noise.reshape(bands, height, width)


GOLDEN = {0: "d65d6740a91e0b4b", 3: "c5394aad5034f520"}
GOLDEN_REFINED = {0: "923003d9d6bcb3bb", 3: "2a41a3337b4486d9"}


@pytest.mark.parametrize("max_error", GOLDEN)
def test_golden_payloads(max_error):
    """Pinned: a change of these bytes is a change of format."""
    samples = whole_numbers(3, 40, 36)
    samples[2] = np.kron(samples[2, ::2, ::2], np.ones((2, 2), int))
    valid = (np.mgrid[:40, :36].sum(0) % 11) != 0
    for code, golden in ((encode, GOLDEN), (encode_refined, GOLDEN_REFINED)):
        payload = code(samples, valid, max_error).payload
        assert hashlib.sha256(payload).hexdigest()[:16] == golden[max_error]


def test_without_the_library_the_reference_takes_its_place(monkeypatch):
    samples = scene(9, 2, 20, 20)
    payload = encode(samples).payload
    monkeypatch.setattr(native, "library_path", lambda: Path("none.so"))
    native.library.cache_clear()
    try:
        assert predictive.backend() == "reference"
        assert encode(samples).payload == payload
        assert np.array_equal(decode(payload, samples.shape).samples, samples)
    finally:
        monkeypatch.undo()
        native.library.cache_clear()
