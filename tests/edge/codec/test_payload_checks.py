"""Checks within payloads: what they cost, and that nothing but true layers is ever confirmed."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from swathpack.edge.codec.base_layer import known_part
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.layers import encode_layers, tile_decoder
from swathpack.edge.codec.prediction import CodingError
from swathpack.edge.codec.rangecoder import RunChecks, new_decoder, new_encoder
from swathpack.edge.codec.rangecoder.checks import CHECK_BITS, CHECK_WORDS, CheckFailedError
from swathpack.edge.codec.tile_coder import CodedLatent, analyse_tile, encode_tile
from swathpack.edge.stream.quality import quality_of
from swathpack.hil_tests.simulation.made_frames import values
from tests.codec_models import shipped
from tests.edge.codec.test_rangecoder import TABLES, decoders

SIDE, SIZE = 64, (4, 4)
QUALITIES = [quality_of(8, 3), quality_of(12)]


@cache
def coded(quality: int, seed: int = 0) -> CodedLatent:
    frame = values(SIDE, SIDE, 1, 20 + seed)[0].astype(np.float32)
    return encode_tile(shipped(), analyse_tile(shipped(), frame, np.ones((SIDE, SIDE), bool)), quality)


def decoded(tile: CodedLatent, payload: bytes):
    """(decoder, whether it refused anything) for a payload of all layers."""
    found = tile_decoder(shipped().engine, shipped().tables, (), tile.quality, SIZE)
    try:
        found.decode(payload, LAYERS)
    except CodingError:
        return found, True
    return found, False


@pytest.mark.parametrize("quality", QUALITIES)
def test_they_cost_less_than_three_in_a_thousand(quality, monkeypatch):
    tile = coded(quality)
    sizes = tile.layers.sizes
    monkeypatch.setattr(RunChecks, "write", lambda self, encoder: None)
    without = encode_layers(shipped().tables, tile.prediction, tile.latent, base=tile.base).sizes
    extra = sizes - without
    assert extra[-1] >= 2 * CHECK_BITS // 8, "the payload should hold some checks"
    assert (extra <= 1 + sizes * CHECK_BITS / (32 * CHECK_WORDS)).all() and extra[-1] < 0.003 * sizes[-1]
    assert not extra[: int((sizes < 4 * CHECK_WORDS).sum())].any(), "the first layers need none behind them"


@pytest.mark.parametrize("quality", QUALITIES)
def test_a_cut_confirms_all_but_the_bytes_of_two_checks(quality):
    tile = coded(quality)
    payload, sizes = tile.layers.payload(LAYERS), tile.layers.sizes
    largest = int(np.diff(sizes).max())
    for cut in range(100, len(payload), 331):
        found, refused = decoded(tile, payload[:cut])
        assert not refused and found.confirmed <= found.layers
        assert sizes[found.confirmed] >= cut - 2 * (largest + 4 * CHECK_WORDS)
        found.forget(found.confirmed)
        np.testing.assert_array_equal(found.latent, known_part(tile.latent, found.layers, quality))


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("what", ["lost", "doubled", "changed", "spliced"])
def test_damage_never_confirms_a_wrong_layer(quality, what):
    """Seeds are fixed: noise passes two checks once in 4,096 x 4,096 times."""
    tile, rng = coded(quality), np.random.default_rng(7)
    payload, other = tile.layers.payload(LAYERS), coded(quality, 1).layers.payload(LAYERS)
    confirmed = []
    for at in range(64, len(payload) - 64, 613):
        n = int(rng.integers(1, 40))
        middle = {
            "lost": b"",
            "doubled": payload[at : at + n] * 2,
            "changed": rng.bytes(n),
            "spliced": other[at : at + n],
        }
        bad = payload[:at] + middle[what] + payload[at + n :]
        found, _ = decoded(tile, bad)
        found.forget(found.confirmed)
        np.testing.assert_array_equal(found.latent, known_part(tile.latent, found.layers, quality))
        confirmed.append(found.layers)
    assert max(confirmed) > 3, "the good beginning should be kept"


@pytest.mark.parametrize("quality", QUALITIES)
def test_noise_that_passes_one_check_is_not_confirmed(quality, monkeypatch):
    """As noise does once in 4,096 times: one check behind the damage holds by chance, and then the payload ends."""
    tile, sizes, read = coded(quality), coded(quality).layers.sizes, RunChecks.read
    lucky: list[int] = []

    class Lucky:
        def __init__(self, checks, decoder):
            self.checks, self.decoder, self.position = checks, decoder, decoder.position

        def decode_bits(self, bits):
            found, wanted = self.decoder.decode_bits(bits), self.checks._value()
            if found != wanted and not lucky:
                lucky.append(found)
                return wanted
            return found

    monkeypatch.setattr(RunChecks, "read", lambda self, decoder: read(self, Lucky(self, decoder)))
    payload, passed = tile.layers.payload(LAYERS), 0
    for layer in range(4, LAYERS - 3):
        lucky.clear()
        at = int(sizes[layer]) + 20
        bad = payload[:at] + payload[at + 29 :]
        for stop in range(at + 4 * CHECK_WORDS, len(bad), 2 * CHECK_WORDS):  # how far the file goes
            lucky.clear()
            found, _ = decoded(tile, bad[:stop])
            found.forget(found.confirmed)
            np.testing.assert_array_equal(found.latent, known_part(tile.latent, found.layers, quality))
            passed += bool(lucky)
    assert passed > 5, "noise should have passed a check"


def test_a_decoder_that_refused_goes_on_from_what_is_good():
    tile = coded(QUALITIES[0])
    payload = tile.layers.payload(LAYERS)
    found, refused = decoded(tile, payload[:-1400] + payload[-1390:])
    assert refused and 0 < found.layers == found.confirmed < LAYERS
    rest = tile.segment(0, 0, LAYERS, (), found.layers)
    found.decode(rest.payload, rest.layer_count)
    np.testing.assert_array_equal(found.latent, tile.latent)


@pytest.mark.parametrize("name", decoders())
def test_both_sides_agree_where_checks_stand(name):
    rng = np.random.default_rng(3)
    layers = [rng.integers(-300, 300, int(rng.integers(1, 900))).astype(np.int16) for _ in range(12)]
    index = [np.full(layer.size, 63) for layer in layers]
    encoder, checks = new_encoder(TABLES), RunChecks()
    for layer, tables in zip(layers, index):
        checks.write(encoder)
        encoder.encode(layer, tables)
        checks.cover(layer)
    decoder, checks = new_decoder(TABLES, encoder.payload(), name), RunChecks()
    for layer, tables in zip(layers, index):
        checks.read(decoder)
        assert np.array_equal(decoder.decode(tables), layer)
        checks.cover(layer)
    assert 5 <= checks.confirmed < checks.held < 12


def test_a_value_that_differs_fails_the_next_check():
    encoder, checks = new_encoder(TABLES), RunChecks()
    layer = np.full(2000, 5, np.int16)
    for _ in range(2):
        checks.write(encoder)
        encoder.encode(layer, np.full(layer.size, 40))
        checks.cover(layer)
    decoder, checks = new_decoder(TABLES, encoder.payload()), RunChecks()
    decoder.decode(np.full(layer.size, 40))
    layer[7] = 4
    checks.cover(layer)
    with pytest.raises(CheckFailedError, match="expected check"):
        checks.read(decoder)
