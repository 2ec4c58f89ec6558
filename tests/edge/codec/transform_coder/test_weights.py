"""Weights of bands: the picture gains, the header tells, errors count by them."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder import (
    Weights,
    decode_tile,
    encode_against,
    encode_tile,
    weighted_errors,
    weights_for,
    weights_in,
)
from swathpack.edge.codec.transform_coder.header import BitReader, BitWriter
from swathpack.edge.codec.transform_coder.weights import read_weights, write_weights
from swathpack.hil_tests.simulation import made_frames

FOUR = ("B02", "B03", "B04", "B08")
TILE = made_frames.values(96, 96)[0, [BANDS.index(name) for name in FOUR]]


@pytest.mark.parametrize(
    ("choice", "bppb", "level"),
    [("auto", 0.1, 2), ("auto", 0.5, 1), ("auto", 2.0, 0), ("equal", 0.1, 0), ("visible", 2.0, 2)],
)
def test_what_an_option_says(choice: str, bppb: float, level: int) -> None:
    assert weights_for(choice, FOUR, bppb).level == level


def test_bands_that_are_all_alike_have_none() -> None:
    assert weights_for("visible", ("B04", "B03", "B02"), 0.1).level == 0
    assert weights_for("visible", ("B08", "B11"), 0.1).level == 0
    with pytest.raises(ValueError, match="expected one of auto, equal, visible, found 'much'"):
        weights_for("much", FOUR, 0.1)


def test_the_header_tells_them() -> None:
    weights = weights_for("visible", FOUR, 0.1)
    payload = encode_tile(TILE, names=FOUR, weights=weights).payload
    assert weights_in(payload, TILE.shape, FOUR) == weights
    assert weights_in(encode_tile(TILE, names=FOUR).payload, TILE.shape, FOUR) == Weights.equal(4)
    assert weights_in(payload[:2], TILE.shape, FOUR) is None


@pytest.mark.parametrize("bands", [(False,) * 4, (True,) * 4])
def test_weights_that_no_encoder_writes_are_refused(bands: tuple[bool, ...]) -> None:
    out = BitWriter()
    write_weights(Weights(2, bands), out)
    with pytest.raises(ValueError, match="of level 2 for . of 4 bands"):
        read_weights(4, BitReader(out.bytes()))


def test_every_weight_comes_back_to_the_finest_step() -> None:
    for level in (1, 2, 3):
        coded = encode_tile(TILE, names=FOUR, finest_step=0.5, weights=Weights.visible(FOUR, level))
        assert np.abs(decode_tile(coded.payload, TILE.shape, FOUR).samples - TILE).max() < 1.5


def test_visible_bands_gain_what_the_others_pay() -> None:
    rng, spread = np.random.default_rng(1), np.array([60, 70, 90, 400])[:, None, None]
    land = rng.normal(size=(4, 96, 96)).cumsum(1).cumsum(2)
    tile = (1500 + spread * land / land.std(axis=(1, 2), keepdims=True)).clip(1, 9000).astype(np.uint16)
    errors = []
    for level in (0, 2):
        coded = encode_tile(tile, names=FOUR, max_bytes=tile.size // 40, weights=Weights.visible(FOUR, level))
        image = decode_tile(coded.payload, tile.shape, FOUR).samples
        errors.append(((image - tile.astype(np.float64)) ** 2).mean(axis=(1, 2)))
    assert errors[1][:3].sum() < 0.8 * errors[0][:3].sum()
    assert errors[1].sum() < 1.25 * errors[0].sum()


def test_distortion_is_weighted() -> None:
    weights = Weights.visible(FOUR, 2)
    coded = encode_tile(TILE, names=FOUR, weights=weights)
    for layers in (4, 8, 12):
        image = decode_tile(coded.payload[: coded.sizes[layers]], TILE.shape, FOUR).samples
        true = (((image - TILE.astype(np.float64)) * weights.factors) ** 2).sum()
        assert coded.distortion[layers] == pytest.approx(true, rel=0.15)


def test_errors_without_weights_are_raised_between_none_and_all_of_the_spread() -> None:
    weights, valid = Weights.visible(FOUR, 2), np.ones(TILE.shape[1:], np.bool_)
    spreads = TILE.reshape(4, -1).var(axis=1) * TILE[0].size
    total, heavy = spreads.sum(), (spreads * weights.factors.ravel() ** 2).sum()
    errors = np.array([total, 0.01 * spreads.min(), 0.0])
    assert weighted_errors(errors, TILE, valid, weights) == pytest.approx([heavy, 0.01 * spreads.min() * 13 / 4, 0.0])
    assert (weighted_errors(errors, TILE, valid, Weights.equal(4)) == errors).all()


def test_weights_and_an_earlier_date_go_together() -> None:
    rng = np.random.default_rng(2)
    date = (TILE.astype(np.int64) + rng.integers(-20, 21, TILE.shape)).clip(0, 65535).astype(np.uint16)
    alone = encode_tile(TILE, names=FOUR, max_bytes=2000, weights=Weights.visible(FOUR, 2))
    coded = encode_against(alone, TILE, None, FOUR, 2000, [date])
    assert coded.reference == 0 and weights_in(coded.payload, TILE.shape, FOUR) == Weights.visible(FOUR, 2)
    decoded = decode_tile(coded.payload, TILE.shape, FOUR, date).samples
    other = decode_tile(alone.payload, TILE.shape, FOUR).samples
    assert ((decoded - TILE) ** 2).sum() < 0.5 * ((other - TILE) ** 2).sum()
