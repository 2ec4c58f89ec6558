"""Modes without the network behind one door: what a cut or a layer limit leaves of a payload."""

from __future__ import annotations

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.plain import TRANSFORM, decode_plain
from swathpack.edge.codec.transform_coder import encode_tile, first_target
from swathpack.hil_tests.simulation import made_frames

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
