"""A tile against an earlier date: fewer bytes where the date tells something, the same on both sides, refused without it."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.digest import array_digest, counts_digest
from swathpack.edge.codec.transform_coder import (
    CodedTile,
    TransformCoderError,
    counts_of,
    decode_tile,
    encode_against,
    encode_tile,
    is_predicted,
    layer_ends,
    native,
)
from swathpack.edge.codec.transform_coder.header import BitReader, BitWriter
from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.prediction import (
    Prediction,
    block_shape,
    columns_of,
    read_prediction,
    reference_bands,
    write_prediction,
)
from swathpack.edge.codec.transform_coder.rasters import Grid, Raster
from swathpack.edge.codec.transform_coder.weights import Weights
from swathpack.hil_tests.simulation import made_frames
from tests.edge.codec.transform_coder.damage import assert_decoded_or_refused

FOUR = ("B02", "B03", "B04", "B08")


def _dates(size: int = 96, names: tuple[str, ...] = FOUR, seed: int = 0) -> NDArray[np.uint16]:
    """Two dates of one place, the second brighter."""
    found = made_frames.values(size, size - 7, 2, seed)[:, [BANDS.index(name) for name in names]].astype(float)
    found[1] = 0.6 * found[0] + 0.4 * found[1] + 300
    return np.rint(found).astype(np.uint16)


def _held(tile: NDArray[np.uint16], names: tuple[str, ...] = FOUR, share: int = 30) -> NDArray[np.uint16]:
    """What a decoder has of a date."""
    coded = encode_tile(tile, names=names, max_bytes=tile.size // share)
    return counts_of(decode_tile(coded.payload, tile.shape, names).samples)


def _coded(
    names: tuple[str, ...] = FOUR, valid: NDArray[np.bool_] | None = None
) -> tuple[NDArray[np.uint16], NDArray[np.uint16], CodedTile, CodedTile]:
    first, tile = _dates(names=names)
    date, alone = (
        _held(first, names),
        encode_tile(tile, valid, names, max_bytes=tile.size // 3, aim_bytes=tile.size // 40),
    )
    other = _held(made_frames.values(96, 89, 1, 9)[0, : len(names)], names)
    return tile, date, alone, encode_against(alone, tile, valid, names, tile.size // 40, [other, date])


def _error(samples: NDArray[np.generic], tile: NDArray[np.generic]) -> float:
    return float(((samples.astype(np.float64) - tile) ** 2).sum())


@pytest.mark.parametrize("names", [FOUR, BANDS, ("B08",)], ids=len)
def test_the_right_date_is_taken_and_saves(names: tuple[str, ...]) -> None:
    tile, date, alone, coded = _coded(names)
    assert coded.reference == 1 and is_predicted(coded.payload) and not is_predicted(alone.payload)
    size = tile.size // 40
    with_date = decode_tile(coded.payload[:size], tile.shape, names, date).samples
    without = decode_tile(alone.payload[:size], tile.shape, names).samples
    assert _error(with_date, tile) < 0.8 * _error(without, tile)


def test_every_prefix_decodes_and_distortion_is_the_error_of_the_pixels() -> None:
    tile, date, _, coded = _coded()
    errors = [
        _error(decode_tile(coded.payload[:n], tile.shape, FOUR, date).samples, tile)
        for n in range(coded.head, len(coded.payload), 211)
    ]
    assert all(later <= 1.02 * earlier for earlier, later in zip(errors, errors[1:]))
    for k in range(4, 14):
        decoded = decode_tile(coded.payload[: coded.sizes[k]], tile.shape, FOUR, date)
        assert decoded.layers >= k
        assert coded.distortion[k] == pytest.approx(_error(decoded.samples, tile), rel=0.07)
    ends = layer_ends(coded.payload[: coded.head], tile.shape, FOUR, len(coded.payload))
    assert ends is not None and (ends >= coded.sizes).all()


def test_a_date_that_tells_nothing_leaves_the_tile_alone() -> None:
    tile = _dates()[1]
    alone = encode_tile(tile, names=FOUR, max_bytes=tile.size // 3, aim_bytes=tile.size // 40)
    for date in (np.zeros_like(tile), np.random.default_rng(1).integers(0, 9000, tile.shape).astype(np.uint16)):
        assert encode_against(alone, tile, None, FOUR, tile.size // 40, [date]) is alone
    assert encode_against(alone, tile, None, FOUR, tile.size // 40, []) is alone


def test_only_the_blocks_that_are_alike_are_taken() -> None:
    first, tile = _dates(128)
    first[:, :64] = made_frames.values(64, 121, 1, 5)[0, :4]  # a cloud over the upper half
    date, alone = _held(first), encode_tile(tile, names=FOUR, max_bytes=tile.size // 3, aim_bytes=tile.size // 40)
    coded = encode_against(alone, tile, None, FOUR, tile.size // 40, [date])
    assert coded.reference == 0
    size = tile.size // 40
    errors = [_error(decode_tile(c.payload[:size], tile.shape, FOUR, date).samples, tile) for c in (coded, alone)]
    assert errors[0] < 0.95 * errors[1]


def test_without_its_date_a_payload_is_refused() -> None:
    tile, date, _, coded = _coded()
    for wrong in (None, date[:, :-1]):
        with pytest.raises(TransformCoderError, match="earlier date that it was coded against is not here"):
            decode_tile(coded.payload, tile.shape, FOUR, wrong)
    with pytest.raises(TransformCoderError, match=r"expected uint16 \(4, 96, 89\), found float64"):
        encode_against(coded, tile, None, FOUR, 100, [date.astype(float)])  # type: ignore[list-item]
    assert counts_digest(date) != counts_digest(date + 1) and len(counts_digest(date)) == 4


def test_invalid_pixels_do_not_matter() -> None:
    tile, valid = _dates()[1], np.ones((96, 89), np.bool_)
    valid[20:60, 10:70] = False
    _, date, alone, coded = _coded(valid=valid)
    assert coded.reference == 1
    noise = np.where(valid, tile, np.random.default_rng(2).integers(0, 65535, tile.shape)).astype(np.uint16)
    other = encode_against(alone, noise, valid, FOUR, tile.size // 40, [date])
    assert other.payload == replace(coded).payload
    size = tile.size // 40
    errors = [
        _error(decode_tile(c.payload[:size], tile.shape, FOUR, date).samples[:, valid], tile[:, valid])
        for c in (coded, alone)
    ]
    assert errors[0] < 0.8 * errors[1]


@pytest.mark.skipif(not native.available(), reason="the C library is not built")
@pytest.mark.parametrize("names", [FOUR, BANDS], ids=len)
def test_c_and_numpy_predict_the_same_to_the_last_bit(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    tile, date, _, coded = _coded(names)
    payload = coded.payload[:700]
    fast = decode_tile(payload, tile.shape, names, date).samples
    monkeypatch.setattr(native, "available", lambda: False)
    assert np.array_equal(fast.view(np.int32), decode_tile(payload, tile.shape, names, date).samples.view(np.int32))


def test_a_known_prediction_stays_as_it_is() -> None:
    date = (np.add.outer(np.arange(3) * 77, np.add.outer(np.arange(41) ** 2 % 311, np.arange(50) * 7 % 97))).astype(
        np.uint16
    )
    raster, pyramid = Raster(Grid(1, 1, 0), (0, 2), (1,)), Pyramid(42, 50, 3, 2, 3)
    bands = reference_bands(date, raster, pyramid, Weights.equal(len(date)))
    gains = np.arange(12).reshape(3, 4) - 2
    blocks = np.array([[True, False], [False, True]])
    part = Prediction((gains,), blocks).of(0, bands, raster, pyramid)
    assert array_digest(bands, 8).hex() == "f6be0d63649ca9bf" and array_digest(part, 8).hex() == "f3d1f275b257bf20"


@pytest.mark.parametrize("shape", [(32, 32), (100, 33), (256, 256), (300, 20)])
def test_gains_and_blocks_come_back(shape: tuple[int, int]) -> None:
    rng = np.random.default_rng(3)
    pyramids = (Pyramid(*shape, 3, 2, 5), Pyramid(16, 8, 1, 1, 1))
    gains = tuple(rng.integers(-8, 20, (p.all, p.levels + 1)) for p in pyramids)
    gains[0][2:, 3] = 0  # bands without the finest level
    for share in (0.0, 0.3, 1.0):
        blocks = rng.random(block_shape(*shape)) < share
        out = BitWriter()
        write_prediction(Prediction(gains, blocks), pyramids, out)
        found = read_prediction(pyramids, *shape, BitReader(out.bytes()))
        assert all(np.array_equal(a, b) for a, b in zip(gains, found.gains)) and np.array_equal(blocks, found.blocks)


def test_columns_lie_in_their_blocks() -> None:
    pyramid = Pyramid(64, 96, 4, 1, 1)
    levels, blocks = columns_of(Grid(), pyramid, block_shape(64, 96))
    assert set(levels.tolist()) == {0, 1, 2, 3, 4}
    for _, level, height, width, at in pyramid.columns():
        inside = blocks[at : at + height * width].reshape(height, width)
        rows, columns = np.indices(inside.shape)
        assert np.array_equal(inside, (rows << level) // 32 * 3 + (columns << level) // 32)


def test_damaged_payloads_decode_to_something_or_are_refused() -> None:
    tile, date, _, coded = _coded()
    assert_decoded_or_refused(coded, FOUR, tile, date, times=150, length=600)
