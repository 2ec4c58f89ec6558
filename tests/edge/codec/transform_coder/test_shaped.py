"""Valid pixels alone: as many coefficients as pixels, the same from C and numpy, and masks that do not fit are refused."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.codec.digest import array_digest
from swathpack.edge.codec.transform_coder import (
    TransformCoderError,
    counts_of,
    decode_tile,
    encode_against,
    encode_tile,
    native,
    shaped,
)
from swathpack.edge.codec.transform_coder.shaped import Shape
from swathpack.edge.codec.transform_coder.wavelet import levels_of
from swathpack.hil_tests.simulation import made_frames

Mask = NDArray[np.bool_]


def disks(height: int, width: int) -> Mask:
    """Two holes, a narrow bridge and pixels without a neighbour."""
    rows, columns = np.indices((height, width))
    valid = (rows - height // 3) ** 2 + (columns - width // 4) ** 2 > (height // 5) ** 2
    valid &= (rows - height // 2) ** 2 + (columns - 3 * width // 4) ** 2 > (height // 4) ** 2
    valid[:4] = False
    valid[1, 1::2] = True
    return np.asarray(valid, np.bool_)


def speckle(height: int, width: int) -> Mask:
    return np.asarray(np.random.default_rng(height).random((height, width)) > 0.6, np.bool_)


@pytest.mark.parametrize("size", [(64, 75), (33, 48), (9, 8), (7, 5)])
@pytest.mark.parametrize("mask", [disks, speckle])
def test_as_many_coefficients_as_pixels_and_all_come_back(mask: object, size: tuple[int, int]) -> None:
    valid = mask(*size)  # type: ignore[operator]
    planes = np.random.default_rng(1).normal(0, 300, (2, *size)).astype(np.float32)
    shape = Shape.of(valid, levels_of(*size))
    found = shaped.forward(planes, shape)
    assert (~shape.holes).sum() == valid.sum()
    assert not found[:, shape.holes].any()
    back = shaped.inverse(found, shape)
    assert np.abs(back - planes)[:, valid].max() < 2e-3
    assert not back[:, ~valid].any()


def test_a_constant_has_no_details_whatever_the_mask() -> None:
    valid = speckle(40, 40)
    shape = Shape.of(valid, 3)
    found = shaped.forward(np.full((1, 40, 40), 1000, np.float32), shape)[0]
    assert np.abs(found[25:]).max() < 1.0
    mean = found[:25][~shape.holes[:25]]
    assert mean.min() > 8000 and mean == pytest.approx(mean[0], rel=1e-5)


@pytest.mark.skipif(not native.available(), reason="the C library is not built")
@pytest.mark.parametrize("mask", [disks, speckle])
def test_the_slow_twin_gives_the_same_bits(mask: object, monkeypatch: pytest.MonkeyPatch) -> None:
    valid = mask(45, 34)  # type: ignore[operator]
    planes = np.random.default_rng(2).normal(0, 300, (2, 45, 34)).astype(np.float32)
    shape = Shape.of(valid, 3)
    fast = shaped.forward(planes, shape)
    fast_back = shaped.inverse(fast, shape)
    monkeypatch.setattr(native, "available", lambda: False)
    assert shaped.forward(planes, shape).tobytes() == fast.tobytes()
    assert shaped.inverse(fast, shape).tobytes() == fast_back.tobytes()


@pytest.mark.parametrize("bands", [(0,), (1, 2, 3), (1, 2, 3, 4, 8, 10)])
def test_every_prefix_is_the_same_from_the_slow_twin_and_the_whole_is_near(
    bands: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
) -> None:
    valid = disks(40, 52)
    tile = made_frames.values(40, 52, 1, 3)[0, list(bands)]
    if len(bands) == 6:  # two bands on the grid half as fine, one on a third of it
        tile[1:3] = tile[1:3, ::2, ::2].repeat(2, 1).repeat(2, 2)
        tile[4] = tile[4, ::3, ::3].repeat(3, 0).repeat(3, 1)[:40, :52]
    coded = encode_tile(np.where(valid, tile, 0), valid, max_bytes=12000, aim_bytes=1500, shaped=True)
    assert coded.wanted is not None and coded.wanted.shaped
    whole = decode_tile(coded.payload, tile.shape, valid=valid).samples
    assert np.abs(whole - tile)[:, valid].max() < 2.5
    cuts = (coded.head, 100, 300)
    fast = [decode_tile(coded.payload[:size], tile.shape, valid=valid).samples for size in cuts]
    monkeypatch.setattr(native, "available", lambda: False)
    for size, found in zip(cuts, fast):
        assert np.array_equal(decode_tile(coded.payload[:size], tile.shape, valid=valid).samples, found)


def test_the_estimate_of_the_error_is_that_of_the_valid_pixels() -> None:
    valid = disks(96, 96)
    tile = made_frames.values(96, 96, 1, 5)[0, :3]
    coded = encode_tile(np.where(valid, tile, 0), valid, max_bytes=6000, aim_bytes=1000, shaped=True)
    for at in (20, 30, 40, 50):
        drawn = decode_tile(coded.payload[: int(coded.curve_bytes[at])], tile.shape, valid=valid).samples
        found = float(((drawn - tile)[:, valid].astype(np.float64) ** 2).sum())
        assert found == pytest.approx(coded.curve_error[at], rel=0.2)


def test_another_mask_or_none_is_refused_by_name() -> None:
    valid = disks(40, 52)
    tile = made_frames.values(40, 52, 1, 3)[0, :2]
    payload = encode_tile(tile, valid, max_bytes=900, aim_bytes=300, shaped=True).payload
    other = valid.copy()
    other[-1, -1] = not other[-1, -1]
    for mask in (None, other, ~valid):
        with pytest.raises(TransformCoderError, match="mask of valid pixels"):
            decode_tile(payload, tile.shape, valid=mask)


def test_against_an_earlier_date_the_mask_stays() -> None:
    valid = disks(64, 64)
    first, second = made_frames.values(64, 64, 2, 7)[:, :3]
    date = counts_of(first.astype(np.float32))
    alone = encode_tile(np.where(valid, second, 0), valid, max_bytes=2000, aim_bytes=500, shaped=True)
    coded = encode_against(alone, np.where(valid, second, 0), valid, None, 500, [date])
    assert coded.reference == 0

    def error(payload: bytes) -> float:
        drawn = decode_tile(payload, second.shape, date=date, valid=valid).samples
        return float(((drawn - second)[:, valid] ** 2).mean())

    assert error(coded.payload[:500]) < error(alone.payload[:500])
    with pytest.raises(TransformCoderError, match="mask"):
        decode_tile(coded.payload, second.shape, date=date)


def test_holes_as_large_as_clouds_cost_less_than_filled_ones_and_speckle_is_filled() -> None:
    def coded(valid: Mask, shaped: bool, seed: int) -> float:
        tile = made_frames.values(128, 128, 1, seed)[0, :4]
        found = encode_tile(np.where(valid, tile, 0), valid, max_bytes=2400, aim_bytes=1200, shaped=shaped)
        drawn = decode_tile(found.payload[:1200], tile.shape, valid=valid).samples
        return float(((drawn - tile)[:, valid] ** 2).mean())

    clouds, specks = disks(128, 128), np.random.default_rng(0).random((128, 128)) > 0.03
    gains = [coded(clouds, True, seed) / coded(clouds, False, seed) for seed in range(3)]
    assert max(gains) < 1 and np.mean(gains) < 0.98
    assert coded(specks, True, 0) == coded(specks, False, 0)


def test_where_all_or_nothing_is_valid_the_payload_is_as_it_was() -> None:
    tile = made_frames.values(32, 32, 1, 1)[0, :2]
    for valid in (np.ones((32, 32), np.bool_), np.zeros((32, 32), np.bool_)):
        assert encode_tile(tile, valid, shaped=True).payload == encode_tile(tile, valid).payload


def test_a_known_payload_is_drawn_as_ever() -> None:
    found = decode_tile(bytes.fromhex(GOLDEN), (3, 40, 52), valid=disks(40, 52)).samples
    assert array_digest(found, 8).hex() == "760e2c35f26432c6"


GOLDEN = (
    "b7221303c519b39908f735f802a684c1bc9cef8d764abf2e3ac9eeda6c028dace649dcd01a20865f710dcfbd38abef20df319d13c877ff3d"
    "b44d60da1d7c503b2dadb908c345d8bc96a8b60647d2068e89b67575b1a130e99551336b8c8a9f6db97ca9e1024ee01c044a5286eb8c232b"
    "6b8e64f9fe12eb3e07f9f35181e5ec6174218ac3bff92bc02af70783ba138f518c39b7b4960046043928aa7ffde26dcf265baabd0477031c"
    "5ea636b328666cee3df04fcdc6efa422bdc60bca5025216dddb25984319cb3b602f6c6836cdbda2b418a120be1043d4327593677fa25f3ec"
    "fbf7d2a73a7df07b409c76a29f5f2ecbaeb9e1687f936a2d9c5e21e3a8f6bf6d5c13ae05"
)
