"""The transform coder as its users see it: any shape, any prefix, layers that are what they say."""

from __future__ import annotations

import contextlib

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder import LAYERS, TransformCoderError, decode_tile, encode_tile, layer_ends
from swathpack.edge.codec.transform_coder.weights import Weights
from swathpack.hil_tests.simulation import made_frames

FOUR = ("B02", "B03", "B04", "B08")


def _tile(height: int = 64, width: int = 64, names: tuple[str, ...] = FOUR) -> NDArray[np.uint16]:
    return made_frames.values(height, width)[0, [BANDS.index(name) for name in names]]


def _error(a: NDArray[np.generic], b: NDArray[np.generic]) -> float:
    return float(((a.astype(np.float64) - b) ** 2).sum())


@pytest.mark.parametrize("shape", [(1, 1, 1), (1, 7, 5), (16, 9, 64), (2, 64, 33), (3, 16, 100)])
def test_every_shape_comes_back_to_the_finest_step(shape: tuple[int, int, int]) -> None:
    rng = np.random.default_rng(1)
    tile = (500 + 200 * rng.normal(size=shape).cumsum(1).cumsum(2)).clip(0, 65535).astype(np.uint16)
    coded = encode_tile(tile, finest_step=0.5)
    decoded = decode_tile(coded.payload, shape)
    assert decoded.started and decoded.layers == coded.layers == LAYERS
    assert np.abs(decoded.samples - tile).max() < 1.5


@pytest.mark.parametrize("dtype", [np.uint8, np.int32])
def test_other_integer_types(dtype: type) -> None:
    tile = (_tile() / 32).astype(dtype)
    decoded = decode_tile(encode_tile(tile, finest_step=0.25).payload, tile.shape)
    assert np.abs(decoded.samples - tile).max() < 1


def test_every_prefix_decodes_and_more_bytes_are_never_much_worse() -> None:
    tile = _tile()
    payload = encode_tile(tile, names=FOUR).payload
    errors = [_error(decode_tile(payload[:n], tile.shape, FOUR).samples, tile) for n in range(0, len(payload), 397)]
    assert all(later <= 1.02 * earlier for earlier, later in zip(errors, errors[1:]))
    assert errors[-1] < 1e-4 * errors[0]


def test_layers_are_whole_at_their_sizes_and_not_a_byte_before() -> None:
    tile = _tile()
    coded = encode_tile(tile, names=FOUR)
    assert coded.layers == LAYERS and coded.sizes[-1] == len(coded.payload)
    for k in range(1, LAYERS + 1):
        size = int(coded.sizes[k])
        assert decode_tile(coded.payload[:size], tile.shape, FOUR).layers >= k
        if size > coded.sizes[k - 1]:
            assert decode_tile(coded.payload[: size - 1], tile.shape, FOUR).layers < k


def test_distortion_of_layers_is_the_error_of_the_pixels() -> None:
    tile = _tile(96, 96)
    coded = encode_tile(tile, names=FOUR)
    for k in range(3, LAYERS + 1):
        decoded = decode_tile(coded.payload[: coded.sizes[k]], tile.shape, FOUR)
        assert coded.distortion[k] == pytest.approx(_error(decoded.samples, tile), rel=0.07)
    assert (np.diff(coded.distortion) <= 0).all()


def test_room_is_never_exceeded_and_hardly_wasted() -> None:
    tile = _tile()
    for room in (40, 500, 3000):
        coded = encode_tile(tile, names=FOUR, max_bytes=room)
        assert room - 4 <= len(coded.payload) <= room
        assert coded.sizes[-1] == len(coded.payload) and coded.layers < LAYERS


def test_a_payload_cut_inside_its_header_gives_the_means_of_known_bands() -> None:
    tile = _tile()
    decoded = decode_tile(b"", tile.shape, FOUR)
    assert not decoded.started and decoded.layers == 0
    assert 300 < decoded.samples.mean() < 4000


def test_enlarged_bands_cost_what_their_own_samples_cost() -> None:
    tile = made_frames.values(48, 48)[0]
    own = tile.copy()
    for band, factor in ((0, 6), (4, 2), (5, 2), (6, 2), (8, 2), (9, 6), (10, 2), (11, 2)):
        own[band] = tile[band, ::factor, ::factor].repeat(factor, 0).repeat(factor, 1)[:48, :48]
    coded, plain = encode_tile(own, names=BANDS), encode_tile(tile, names=BANDS)
    assert len(coded.payload) < 0.6 * len(plain.payload)
    assert np.abs(decode_tile(coded.payload, own.shape, BANDS).samples - own).max() < 3


def test_enlarged_bands_with_any_phase() -> None:
    tile = made_frames.values(51, 53)[0, :4]
    for top, left in ((1, 0), (0, 1), (1, 1)):
        rows, columns = (np.arange(51) + top) // 2, (np.arange(53) + left) // 2
        own = tile.copy()
        own[3] = tile[3][rows[:, None], columns]
        coded = encode_tile(own, names=BANDS[:4])
        assert np.abs(decode_tile(coded.payload, own.shape, BANDS[:4]).samples - own).max() < 3


def test_invalid_pixels_do_not_matter_and_cost_little() -> None:
    tile = _tile(64, 64)
    valid = np.ones((64, 64), np.bool_)
    valid[10:40, 20:60] = False
    hole, noise = tile.copy(), tile.copy()
    hole[:, ~valid] = 0
    noise[:, ~valid] = np.random.default_rng(2).integers(0, 65535, (4, int((~valid).sum())))
    coded = encode_tile(hole, valid, FOUR)
    assert coded.payload == encode_tile(noise, valid, FOUR).payload
    assert len(coded.payload) < 0.86 * len(encode_tile(tile, names=FOUR).payload)
    decoded = decode_tile(coded.payload, tile.shape, FOUR)
    assert np.abs(decoded.samples - tile)[:, valid].max() < 3


def test_a_tile_without_valid_pixels_takes_a_few_bytes() -> None:
    tile = _tile()
    assert len(encode_tile(tile, np.zeros((64, 64), np.bool_), FOUR).payload) < 16


@pytest.mark.parametrize(
    ("tile", "message"),
    [
        (np.zeros((17, 8, 8), np.uint16), "1 to 16 bands"),
        (np.zeros((1, 8, 8), np.float32), "integers"),
        (np.zeros((8, 8), np.uint16), "expected 1 to 16 bands of integers"),
        (np.zeros((1, 0, 8), np.uint16), "sides of 1"),
    ],
)
def test_what_cannot_be_coded_is_refused(tile: NDArray[np.generic], message: str) -> None:
    with pytest.raises(TransformCoderError, match=message):
        encode_tile(tile)


def test_names_must_fit() -> None:
    with pytest.raises(TransformCoderError, match="expected 4 names, found 2"):
        encode_tile(_tile(), names=("B02", "B03"))


def test_damaged_payloads_decode_to_something_or_are_refused() -> None:
    tile = _tile(32, 32)
    payload = bytearray(encode_tile(tile, names=FOUR).payload)
    rng = np.random.default_rng(3)
    for _ in range(200):
        damaged = bytearray(payload)
        for at in rng.integers(0, min(len(payload), 40), 3):
            damaged[at] = rng.integers(0, 256)
        with contextlib.suppress(TransformCoderError):
            assert decode_tile(bytes(damaged), tile.shape, FOUR).samples.shape == tile.shape


@pytest.mark.parametrize("seed", [*range(10), 38, 58])
def test_layers_end_where_any_prefix_says_they_do(seed: int) -> None:
    """What `layer_ends` computes from the header alone must hold the layer, and waste at most the slack."""
    rng = np.random.default_rng(seed)
    bands, height, width = int(rng.integers(1, 6)), int(rng.integers(40, 130)), int(rng.integers(40, 130))
    tile = (2000 + 300 * rng.normal(size=(bands, height, width)).cumsum(1)).clip(0, 65535).astype(np.uint16)
    coded = encode_tile(tile)
    ends = layer_ends(coded.payload[:400], tile.shape, None, len(coded.payload))
    assert ends is not None
    assert (ends >= coded.sizes).all() and (ends[1:-1] <= coded.sizes[1:-1] + 5).all()
    for k in range(1, LAYERS):
        assert decode_tile(coded.payload[: ends[k]], tile.shape).layers >= k


def test_steps_say_how_finely_each_band_was_coded() -> None:
    tile, weights = _tile(), Weights.visible(FOUR, 2)
    coded = encode_tile(tile, names=FOUR, weights=weights)
    found = [decode_tile(coded.payload[:n], tile.shape, FOUR).steps for n in (300, 1000, 4000, len(coded.payload))]
    assert all(np.diff([steps[0] for steps in found]) < -4)  # half an octave and more
    visible = [step for step, level in zip(found[1], weights.levels) if level]
    others = [step for step, level in zip(found[1], weights.levels) if not level]
    assert visible == [others[0] - 8] * 3 and found[-1][0] <= 8 * 1  # 2 times finer; to the finest step at the end
    assert decode_tile(coded.payload[:3], tile.shape, FOUR).steps == ()
