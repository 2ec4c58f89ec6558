"""Modes without the network behind one door: what a cut or a layer limit leaves of a payload."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec import predictive
from swathpack.edge.codec.plain import (
    PREDICTIVE,
    TRANSFORM,
    CodedPlain,
    decode_plain,
    encode_predictive,
    error_bytes,
    greatest_error,
    read_error,
)
from swathpack.edge.codec.predictive import PredictiveError
from swathpack.edge.codec.transform_coder import encode_tile, first_target
from swathpack.hil_tests.simulation import made_frames
from tests.edge.codec.test_predictive import fields

FOUR = ("B02", "B03", "B04", "B08")


def test_no_layer_still_tells_the_means_however_short_the_payload() -> None:
    tile = made_frames.values(64, 64)[0, [BANDS.index(name) for name in FOUR]]
    coded = encode_tile(tile, names=FOUR)
    payload = coded.payload
    valid = np.ones(tile.shape[1:], np.bool_)
    whole = decode_plain(TRANSFORM, payload, tile.shape, valid, FOUR, 0)
    for length in range(coded.head, coded.head + 2 * first_target(tile.shape)):
        cut = decode_plain(TRANSFORM, payload[:length], tile.shape, valid, FOUR, 0)
        assert cut.layers == whole.layers == 0
        assert (cut.counts == whole.counts).all() and (cut.known == whole.known).all()


@pytest.mark.parametrize(("least", "first"), [(1, 20), (40, 60)])
def test_what_nothing_decodes_without_is_no_point_of_a_curve(least: int, first: int) -> None:
    """As if a head could be saved, dates had less than theirs."""
    sizes, errors = np.array([0, 20, 60, 100]), np.array([1000.0, 300, 100, 10])
    curve = CodedPlain(0, bytes(100), sizes, errors, (1, 1), least).curve
    cuts = [curve.bytes_at(slope) for slope in (50.0, 40, 30, 10, 3, 1)]
    assert cuts == sorted(cuts) and cuts[0] == 0 and [cut for cut in cuts if cut][0] == first


def test_the_head_of_a_predictive_payload_says_whether_predictions_are_refined() -> None:
    for error in (0, 254, 255, 65535):
        for refined in (False, True):
            head = error_bytes(error, refined)
            assert read_error(head + b"payload") == (error, len(head), refined)
    assert error_bytes(3) == b"\x03" and greatest_error(error_bytes(3, True)) == 3


def test_exact_tiles_come_back_refined_or_not() -> None:
    tile = fields(3, 100, 90).astype(np.uint16)
    valid = np.ones(tile.shape[1:], np.bool_)
    plain, refined = encode_predictive(tile, valid), encode_predictive(tile, valid, refined=True)
    assert read_error(refined.payload)[2] and len(refined.payload) < len(plain.payload)
    for coded in (plain, refined):
        back = decode_plain(PREDICTIVE, coded.payload, tile.shape, valid, ("B08",))
        assert back.max_error == 0 and (back.counts == tile).all()


def test_readers_of_before_refuse_refined_payloads_as_too_great_an_error() -> None:
    """They take the four bytes for the greatest error."""
    with pytest.raises(PredictiveError, match="greatest errors from 0 to 65535, found 2147483651"):
        predictive.decode(b"payload", (1, 4, 4), None, int.from_bytes(error_bytes(3, True)[1:], "little"))
