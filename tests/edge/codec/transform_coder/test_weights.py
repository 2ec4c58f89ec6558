"""Weights of bands: the picture gains, the header tells, errors count by them."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.plain import encode_transform
from swathpack.edge.codec.transform_coder import (
    Weights,
    decode_tile,
    encode_against,
    encode_tile,
    masks_count,
    weighted_errors,
    weights_for,
    weights_in,
)
from swathpack.edge.codec.transform_coder.header import BitReader, BitWriter
from swathpack.edge.codec.transform_coder.weights import read_weights, write_weights
from swathpack.hil_tests.simulation import made_frames

FOUR = ("B02", "B03", "B04", "B08")
TILE = made_frames.values(96, 96)[0, [BANDS.index(name) for name in FOUR]]
ALL = np.ones(TILE.shape[1:], np.bool_)


@pytest.mark.parametrize(
    ("choice", "bppb", "level"),
    [("auto", 0.1, 2), ("auto", 0.5, 1), ("auto", 2.0, 0), ("equal", 0.1, 0), ("visible", 2.0, 2)],
)
def test_what_an_option_says(choice: str, bppb: float, level: int) -> None:
    assert weights_for(choice, FOUR, bppb, TILE, ALL) == Weights.visible(FOUR, level)


def test_bands_that_are_all_alike_have_none() -> None:
    assert weights_for("visible", ("B04", "B03", "B02"), 0.1, TILE[:3], ALL).level == 0
    assert weights_for("auto", ("B04", "B03", "B02"), 0.1, TILE[:3], ALL).level == 0
    assert weights_for("visible", ("B08", "B11"), 0.1, TILE[:2], ALL).level == 0
    with pytest.raises(ValueError, match="expected one of auto, equal, visible, found 'much'"):
        weights_for("much", FOUR, 0.1, TILE, ALL)


def spread_tile(visible: float) -> NDArray[np.uint16]:
    """(12, 48, 48): B02, B03, B04 about 800 with a standard deviation of `visible`, others about 3,000 with 400."""
    noise = np.random.default_rng(4).normal(size=(12, 48, 48))
    seen = np.array([name in ("B02", "B03", "B04") for name in BANDS])[:, None, None]
    tile = np.where(seen, 800 + visible * noise, 3000 + 400 * noise)
    return tile.clip(1, 9000).astype(np.uint16)


@pytest.mark.parametrize(("visible", "level"), [(400, 2), (280, 2), (230, 3), (190, 3), (140, 4), (10, 4)])
def test_the_darker_visible_bands_are_beside_others_the_more_they_weigh(visible: float, level: int) -> None:
    tile = spread_tile(visible)
    assert weights_for("auto", BANDS, 0.1, tile, np.ones((48, 48), np.bool_)) == Weights.visible(BANDS, level)


def test_only_pixels_that_are_valid_are_looked_at() -> None:
    tile, valid = spread_tile(140), np.ones((48, 48), np.bool_)
    tile[:, :24], valid[:24] = 0, False
    tile[:3, :24:3] = 9000
    assert weights_for("auto", BANDS, 0.1, tile, valid).level == 4
    assert weights_for("auto", BANDS, 0.1, tile, np.zeros_like(valid)) == Weights.visible(BANDS, 2)


def test_infrared_weighs_more_where_water_masks_hang_on_it() -> None:
    land, valid = spread_tile(190), np.ones((48, 48), np.bool_)
    shore, bright = spread_tile(260), spread_tile(400)
    shore[BANDS.index("B08"), :, :4] = bright[BANDS.index("B08"), :, :4] = 100  # water that nothing turns to land
    found = weights_for("auto", BANDS, 0.1, shore, valid)
    assert found.levels == tuple({"B02": 3, "B03": 3, "B04": 3, "B08": 1}.get(name, 0) for name in BANDS)
    assert weights_for("auto", BANDS, 0.1, land, valid) == Weights.visible(BANDS, 3)
    assert weights_for("auto", BANDS, 0.1, bright, valid) == Weights.visible(BANDS, 2)


@pytest.mark.parametrize(("lake", "level"), [(440, 1), (430, 1), (450, 0)])  # NDWI -0.048, -0.036, -0.059
def test_infrared_weighs_more_where_many_pixels_lie_by_the_edge_of_the_water_mask(lake: int, level: int) -> None:
    tile, every = spread_tile(400), np.ones((48, 48), np.bool_)
    tile[BANDS.index("B03"), :, :4], tile[BANDS.index("B08"), :, :4] = 400, lake
    assert weights_for("auto", BANDS, 0.1, tile, every).levels[BANDS.index("B08")] == level
    tile[BANDS.index("B08"), :40, :4] = 3000
    assert weights_for("auto", BANDS, 0.1, tile, every) == Weights.visible(BANDS, 2)


def test_masks_count_at_low_rates_where_some_pixels_lie_by_the_edge() -> None:
    tile, every, land = spread_tile(190), np.ones((48, 48), np.bool_), np.ones((48, 48), np.bool_)
    tile[BANDS.index("B03"), :12, :4], tile[BANDS.index("B08"), :12, :4] = 800, 860  # a fiftieth
    land[:, :4] = False
    assert masks_count("auto", BANDS, 0.25, tile, every) and masks_count("auto", FOUR, 0.1, tile[[1, 2, 3, 7]], every)
    assert not masks_count("auto", BANDS, 0.26, tile, every) and not masks_count("equal", BANDS, 0.1, tile, every)
    assert not masks_count("auto", BANDS, 0.1, tile, land) and not masks_count("auto", BANDS, 0.1, tile, ~every)
    assert not masks_count("auto", BANDS[3:], 0.1, tile[3:], every)


def test_the_header_tells_them() -> None:
    weights = Weights.visible(FOUR, 2)
    payload = encode_tile(TILE, names=FOUR, weights=weights).payload
    assert weights_in(payload, TILE.shape, FOUR) == weights
    assert weights_in(encode_tile(TILE, names=FOUR).payload, TILE.shape, FOUR) == Weights.equal(4)
    assert weights_in(payload[:2], TILE.shape, FOUR) is None


@pytest.mark.parametrize(
    ("levels", "bits"), [((0, 3, 0, 3), 6), ((1, 4, 4, 0), 15), ((0, 4, 0, 0), 9), ((0, 0, 7, 2), 12)]
)
def test_weights_of_every_kind_come_back(levels: tuple[int, ...], bits: int) -> None:
    out = BitWriter()
    write_weights(Weights(levels), out)
    assert len(out) == bits and read_weights(4, BitReader(out.bytes())) == Weights(levels)


def test_levels_of_every_size_are_undone() -> None:
    weights = Weights(tuple(range(8)))
    assert weights.factors.ravel() == pytest.approx(2 ** (np.arange(8) / 2), rel=1e-6)
    assert weights.inverses.ravel() == pytest.approx(2 ** (-np.arange(8) / 2), rel=1e-6)
    coded = encode_tile(TILE, names=FOUR, finest_step=0.5, weights=Weights((4, 4, 5, 0)))
    assert np.abs(decode_tile(coded.payload, TILE.shape, FOUR).samples - TILE).max() < 1.5


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ([(2, 2), (0, 4)], "level 2 for 0"),
        ([(2, 2), (15, 4)], "level 2 for 4"),
        ([(0, 2), (0, 4)], "level 0 for 0"),
        ([(0, 2), *[(1, 1), (4, 3)] * 4], "level 0 for 4"),  # no band weighs 1
        ([(0, 2), (1, 1), (0, 3), (1, 1), (4, 3), (0, 2)], "level 0 for 2"),  # a band that weighs more weighs 1
        ([(0, 2), (1, 1), (3, 3), (1, 1), (3, 3), (0, 2)], "level 0 for 2"),  # there is a shorter way to say that
    ],
)
def test_weights_that_no_encoder_writes_are_refused(fields: list[tuple[int, int]], told: str) -> None:
    out = BitWriter()
    for value, bits in fields:
        out.put(value, bits)
    with pytest.raises(ValueError, match=f"{told} of 4 bands"):
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


def test_more_weight_moves_a_tile_s_bytes_not_how_many_it_gets() -> None:
    assert [Weights.visible(FOUR, level).balance for level in (0, 1, 2)] == [1, 1, 1]
    assert Weights((4, 4, 4, 0)).balance == pytest.approx(2 ** (-6 / 4)) and Weights((3, 0, 0, 1)).balance == 0.5**0.5
    assert Weights((2, 2, 2, 1)).balance == 2 ** (-1 / 4) and Weights((1, 0, 0, 0)).balance == 1
    tile, valid = spread_tile(140), np.ones((48, 48), np.bool_)
    ends = []
    for level in (2, 4):
        coded = encode_transform(tile, valid, BANDS, weights=Weights.visible(BANDS, level))
        ends.append(coded.curve.bytes_at(8 * 0.1155 * 20.0**2))
        assert (coded.distortion == coded.source.distortion * Weights.visible(BANDS, level).balance).all()
    assert 0.95 < ends[1] / ends[0] < 1.05


def test_weights_and_an_earlier_date_go_together() -> None:
    rng = np.random.default_rng(2)
    date = (TILE.astype(np.int64) + rng.integers(-20, 21, TILE.shape)).clip(0, 65535).astype(np.uint16)
    alone = encode_tile(TILE, names=FOUR, max_bytes=2000, weights=Weights.visible(FOUR, 2))
    coded = encode_against(alone, TILE, None, FOUR, 2000, [date])
    assert coded.reference == 0 and weights_in(coded.payload, TILE.shape, FOUR) == Weights.visible(FOUR, 2)
    decoded = decode_tile(coded.payload, TILE.shape, FOUR, date).samples
    other = decode_tile(alone.payload, TILE.shape, FOUR).samples
    assert ((decoded - TILE) ** 2).sum() < 0.5 * ((other - TILE) ** 2).sum()
