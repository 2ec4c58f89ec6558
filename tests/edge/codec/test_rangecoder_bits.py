"""Plain numbers among coded symbols, and the position that both sides know."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.rangecoder import PayloadEnded, RangeCoderError, new_decoder, new_encoder
from tests.edge.codec.test_rangecoder import ODD, TABLES, batches_of, decoders

NUMBERS = ((0, 0), (1, 1), (0x5A3, 12), (0xFFFF, 16), (0, 16), (0xC3, 8))


def coded(name: str, seed: int, tables=TABLES):
    """Batches with a number behind each: (payload, batches, the position behind each number)."""
    encoder, places = new_encoder(tables, name), []
    batches = batches_of(seed, tables)
    for n, (symbols, index) in enumerate(batches):
        encoder.encode(symbols, index)
        encoder.encode_bits(*NUMBERS[(seed + n) % len(NUMBERS)])
        places.append(encoder.position)
    return encoder.payload(), batches, places


@pytest.mark.parametrize("seed", range(8))
def test_numbers_and_positions_are_the_same_on_all_sides(seed):
    tables = ODD if seed % 4 == 3 else TABLES
    payload, batches, places = coded("native", seed, tables)
    assert (payload, places) == coded("reference", seed, tables)[::2]
    assert places == sorted(places) and 4 * places[-1] <= len(payload) + 3
    for name in decoders():
        decoder = new_decoder(tables, payload, name)
        for n, (symbols, index) in enumerate(batches):
            assert np.array_equal(decoder.decode(index), symbols)
            value, bits = NUMBERS[(seed + n) % len(NUMBERS)]
            assert decoder.decode_bits(bits) == value and decoder.position == places[n]


@pytest.mark.parametrize("name", decoders())
def test_a_number_that_a_cut_payload_does_not_settle_has_ended(name):
    payload, batches, _ = coded("native", 2)
    decoder = new_decoder(TABLES, payload[:1], name)
    with pytest.raises(PayloadEnded):
        decoder.decode_bits(16)
    assert decoder.overran
    with pytest.raises(PayloadEnded):
        decoder.decode(batches[0][1])


@pytest.mark.parametrize("name", ["native", "reference"])
@pytest.mark.parametrize(("value", "bits"), [(2, 1), (-1, 4), (0, 17), (1 << 16, 16), (0, -1)])
def test_numbers_that_do_not_fit_are_refused_and_change_nothing(name, value, bits):
    encoder = new_encoder(TABLES, name)
    encoder.encode_bits(5, 3)
    before = encoder.payload()
    with pytest.raises(RangeCoderError):
        encoder.encode_bits(value, bits)
    with pytest.raises(RangeCoderError):
        new_decoder(TABLES, before, name).decode_bits(17)
    assert encoder.payload() == before
