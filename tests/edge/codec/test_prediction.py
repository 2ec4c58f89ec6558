"""Exact coding: what goes in comes out, prefixes give whole layers, every decoder agrees."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from swathpack.edge.codec.latents import CHANNELS, GROUP, LAYERS, Latent, quantise
from swathpack.edge.codec.layers import CodedLayers, encode_layers
from swathpack.edge.codec.network import ExactNetwork
from swathpack.edge.codec.prediction import CodingContext, CodingError, Prediction, TileDecoder, predict
from swathpack.edge.codec.rangecoder import native
from swathpack.hil_tests.simulation.made_frames import values
from tests.codec_models import random_latent, random_parameters, shipped

Q = 26
SIZE = (4, 6)


@cache
def latents() -> tuple[Latent, ...]:
    """Three dates of a real-looking tile in steps of Q, Q + 5, Q - 7."""
    frames = values(16 * SIZE[0], 16 * SIZE[1], 3, seed=4).astype(np.float32)
    return tuple(quantise(shipped().analyse(f), q, 0.1) for f, q in zip(frames, (Q, Q + 5, Q - 7)))


def contexts(*layers: int) -> list[CodingContext]:
    return [CodingContext(latents()[1 + n], (Q + 5, Q - 7)[n], k) for n, k in enumerate(layers)]


@cache
def coded(*layers: int) -> tuple[Prediction, CodedLayers]:
    model = shipped()
    prediction = predict(model.engine, latents()[0], contexts(*layers), Q)
    return prediction, encode_layers(model.tables, prediction, latents()[0])


def decoder(*layers: int) -> TileDecoder:
    return TileDecoder(shipped().engine, shipped().tables, contexts(*layers), Q, SIZE)


@pytest.mark.parametrize("known", [(), (16,), (16, 16), (3,), (1, 9), (16, 2)], ids=str)
def test_round_trip(known: tuple[int, ...]) -> None:
    found = decoder(*known)
    assert found.decode(coded(*known)[1].payload(LAYERS), LAYERS) == LAYERS
    np.testing.assert_array_equal(found.latent, latents()[0])


@pytest.mark.parametrize("size", [(1, 1), (1, 5), (3, 2), (16, 16)], ids=str)
@pytest.mark.parametrize("q", [0, 40, 63])
def test_round_trip_of_any_values_and_sizes(size: tuple[int, int], q: int) -> None:
    """Values at the limits, far from any prediction, under a network that knows nothing."""
    engine, tables = ExactNetwork(random_parameters()), shipped().tables
    latent, earlier = random_latent(size, 8), [CodingContext(random_latent(size, 9), 30, 7)]
    payload = encode_layers(tables, predict(engine, latent, earlier, q), latent).payload(LAYERS)
    found = TileDecoder(engine, tables, earlier, q, size)
    assert found.decode(payload, LAYERS) == LAYERS
    np.testing.assert_array_equal(found.latent, latent)


def test_contexts_save_bytes_and_more_layers_save_more() -> None:
    sizes = [int(coded(*k)[1].sizes[-1]) for k in ((), (3,), (16,))]
    assert sizes[2] < sizes[1] < sizes[0]


@pytest.mark.parametrize("known", [(), (16, 5)], ids=str)
def test_every_prefix_is_its_layers(known: tuple[int, ...]) -> None:
    layers = coded(*known)[1]
    assert layers.sizes[0] == 0 and np.all(np.diff(layers.sizes) >= 0)
    for k in range(LAYERS + 1):
        payload = layers.payload(k)
        assert len(payload) == layers.sizes[k]
        found = decoder(*known)
        assert found.decode(payload, k) == k
        np.testing.assert_array_equal(found.latent[: k * GROUP], latents()[0][: k * GROUP])
        assert not found.latent[k * GROUP :].any()


def test_a_cut_at_any_byte_gives_whole_layers_only() -> None:
    layers = coded(16)[1]
    payload = layers.payload(LAYERS)
    for cut in [*range(0, len(payload), 1 + len(payload) // 40), len(payload) - 1]:
        found = decoder(16)
        count = found.decode(payload[:cut], LAYERS)
        # A layer is there at the latest when one more word than its own payload is.
        assert int(np.searchsorted(layers.sizes, cut - 4, side="right")) - 1 <= count < LAYERS
        assert layers.sizes[count] <= cut
        np.testing.assert_array_equal(found.latent[: count * GROUP], latents()[0][: count * GROUP])
        assert not found.latent[count * GROUP :].any()


@pytest.mark.parametrize("split", [1, 6, 15])
def test_segments_in_turn_equal_one_segment(split: int) -> None:
    model, prediction = shipped(), coded(16)[0]
    parts = [encode_layers(model.tables, prediction, latents()[0], a, b) for a, b in ((0, split), (split, LAYERS))]
    found = decoder(16)
    assert found.decode(parts[0].payload(split), split) == split
    assert found.decode(parts[1].payload(LAYERS - split), LAYERS - split) == LAYERS - split
    np.testing.assert_array_equal(found.latent, latents()[0])


def test_a_segment_after_a_cut_one_goes_on_where_it_stopped() -> None:
    payload = coded(16)[1].payload(LAYERS)
    found = decoder(16)
    count = found.decode(payload[: len(payload) // 2], LAYERS)
    assert 0 < count < LAYERS
    rest = encode_layers(shipped().tables, coded(16)[0], latents()[0], count, LAYERS)
    found.decode(rest.payload(LAYERS - count), LAYERS - count)
    np.testing.assert_array_equal(found.latent, latents()[0])


@pytest.mark.parametrize("coder", ["native", "reference", "constriction"])
def test_every_decoder_gives_the_same_latent(coder: str) -> None:
    if coder == "native" and not native.available():
        pytest.skip("the C range coder is not built")
    if coder == "constriction":
        pytest.importorskip("constriction")
    found = decoder(16, 16)
    assert found.decode(coded(16, 16)[1].payload(LAYERS), LAYERS, coder) == LAYERS
    np.testing.assert_array_equal(found.latent, latents()[0])


def test_both_encoders_write_the_same_bytes() -> None:
    if not native.available():
        pytest.skip("the C range coder is not built")
    prediction, model = coded()[0], shipped()
    payloads = {
        c: encode_layers(model.tables, prediction, latents()[0], coder=c).payload(LAYERS)
        for c in ("native", "reference")
    }
    assert payloads["native"] == payloads["reference"]


def test_the_estimate_keeps_what_came_and_predicts_the_rest() -> None:
    found, target = decoder(16), latents()[0].astype(np.float64)
    found.decode(coded(16)[1].payload(6), 6)
    estimate = found.estimate()
    np.testing.assert_array_equal(estimate[: 6 * GROUP], latents()[0][: 6 * GROUP])
    error, zeros = np.square(estimate - target).sum(), np.square(found.latent - target).sum()
    assert 0 < error < zeros
    np.testing.assert_array_equal(found.estimate(4)[: 4 * GROUP], latents()[0][: 4 * GROUP])
    assert found.layers == 6 and not found.latent[6 * GROUP :].any()


def test_predictions_without_any_layer_come_from_the_context() -> None:
    """A date known whole in the same step predicts itself better than nothing does."""
    same = [CodingContext(latents()[0], Q)]
    target = latents()[0].astype(np.float64)
    errors = [
        np.square(TileDecoder(shipped().engine, shipped().tables, c, Q, SIZE).estimate(0) - target).sum()
        for c in (same, ())
    ]
    assert errors[0] < 0.5 * errors[1]


def test_damage_is_an_error_or_other_values_but_never_another_exception() -> None:
    payload = bytearray(coded(16)[1].payload(LAYERS))
    for at in range(0, len(payload), 1 + len(payload) // 25):
        payload[at] ^= 0x10
        found = decoder(16)
        try:
            found.decode(bytes(payload), LAYERS)
        except CodingError as error:
            assert "layer" in str(error)
        payload[at] ^= 0x10


def test_inputs_that_do_not_fit_are_refused() -> None:
    engine, latent = shipped().engine, latents()[0]
    three = [CodingContext(latent, Q)] * 3
    with pytest.raises(CodingError, match="at most 2 contexts, found 3"):
        predict(engine, latent, three, Q)
    with pytest.raises(CodingError, match=r"context 0: expected shape \(512, 4, 6\), found \(512, 4, 4\)"):
        predict(engine, latent, [CodingContext(np.zeros((CHANNELS, 4, 4), np.int16), Q)], Q)
    with pytest.raises(CodingError, match=r"expected \(512, h, w\)"):
        predict(engine, latent[:40], (), Q)
