"""A tile beside an earlier date: what the date tells of means, bases and places, with gains and without, the same on both sides."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder import (
    CodedTile,
    TransformCoderError,
    counts_of,
    decode_tile,
    encode_against,
    encode_tile,
    is_predicted,
    native,
    refine_payload,
)
from swathpack.edge.codec.transform_coder.beside import Earlier
from swathpack.edge.codec.transform_coder.head import expected_of, write_head
from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.rasters import Grid, Raster
from swathpack.edge.codec.transform_coder.weights import Weights
from tests.edge.codec.transform_coder.damage import assert_decoded_or_refused
from tests.edge.codec.transform_coder.heads import head_of

FOUR = ("B02", "B03", "B04", "B08")
Counts = NDArray[np.uint16]


def _fields(names: tuple[str, ...] = FOUR, side: int = 96, seed: int = 3) -> tuple[Counts, Counts]:
    """Two dates of fields that keep their edges, while every field has become brighter or darker as it pleases."""
    rng = np.random.default_rng(seed)
    cells = rng.integers(0, 400, (side // 4, side // 4)) * (rng.random((side // 4, side // 4)) < 0.15)
    field = cells.repeat(4, 0).repeat(4, 1)  # most of it one plain
    found = []
    for _ in range(2):
        shades = (rng.normal(0, 700, 400) * (np.arange(400) > 0))[field]
        bands = shades[None] * np.linspace(0.5, 1.5, len(names))[:, None, None]
        found.append((3000 + bands + rng.normal(0, 15, bands.shape)).clip(0, 65535).astype(np.uint16))
    return found[0], found[1]


def _coded(names: tuple[str, ...] = FOUR, seed: int = 3) -> tuple[Counts, Counts, CodedTile, CodedTile]:
    """Tile, date as a decoder has it, and the tile coded alone and beside it."""
    first, tile = _fields(names, seed=seed)
    held = encode_tile(first, names=names, max_bytes=first.size // 16)
    date = counts_of(decode_tile(held.payload, first.shape, names).samples)
    alone = encode_tile(tile, names=names, max_bytes=tile.size // 3, aim_bytes=tile.size // 30)
    return tile, date, alone, encode_against(alone, tile, None, names, tile.size // 30, [date])


def _error(payload: bytes, tile: Counts, names: tuple[str, ...], date: Counts | None = None) -> float:
    return float(((decode_tile(payload, tile.shape, names, date).samples - tile) ** 2).mean())


@pytest.mark.parametrize(("names", "most"), [(FOUR, 0.93), (BANDS, 0.99), (("B08",), 0.99)])
def test_structure_saves_where_values_tell_nothing(names: tuple[str, ...], most: float) -> None:
    tile, date, alone, coded = _coded(names)
    assert coded.reference == 0 and is_predicted(coded.payload) and not is_predicted(alone.payload)
    size = tile.size // 30
    assert _error(coded.payload[:size], tile, names, date) < most * _error(alone.payload[:size], tile, names)
    with pytest.raises(TransformCoderError, match="earlier date that it was coded against is not here"):
        decode_tile(coded.payload, tile.shape, names)


def test_without_gains_nothing_is_said_of_them() -> None:
    tile, _, _, coded = _coded()
    head = head_of(coded.payload, tile.shape, FOUR)
    assert head.dated and head.needs_date and head.prediction is None


@pytest.mark.skipif(not native.available(), reason="the C library is not built")
@pytest.mark.parametrize("names", [FOUR, ("B08",)], ids=len)
def test_c_and_python_draw_the_same(names: tuple[str, ...], monkeypatch: pytest.MonkeyPatch) -> None:
    tile, date, _, coded = _coded(names)
    whole = np.ones(tile.shape[1:], np.bool_)
    refined = refine_payload(coded.payload[:700], tile, whole, names, date)
    assert refined is not None and head_of(refined, tile.shape, names).dated
    payloads = coded.payload[:700], coded.payload[:311], refined
    fast = [decode_tile(p, tile.shape, names, date).samples.view(np.int32) for p in payloads]
    monkeypatch.setattr(native, "available", lambda: False)
    for payload, samples in zip(payloads, fast):
        assert np.array_equal(samples, decode_tile(payload, tile.shape, names, date).samples.view(np.int32))


def test_the_head_says_what_stands_beside_a_date() -> None:
    tile, date, _, coded = _coded(BANDS)
    expected = expected_of(BANDS, len(BANDS))
    read = head_of(coded.payload, tile.shape, BANDS)
    earlier = Earlier.of(date, [p.raster for p in read.parts], read.pyramids, read.weights, None)
    head = earlier.resolved(read, expected)
    rasters = [part.raster for part in head.parts]
    for check in (None, 4711):
        for fine in (None, 33):
            for step in (16, 5):
                given = replace(head, check=check, fine=fine, step=step)
                written = write_head(given, len(BANDS), expected)
                found = earlier.resolved(head_of(written, tile.shape, BANDS), expected)
                assert (found.check, found.fine, found.step, found.means) == (check, fine, step, head.means)
                assert found.dated and is_predicted(written) and [p.raster for p in found.parts] == rasters
    assert coded.payload.startswith(write_head(head, len(BANDS), expected))


def test_a_dates_bases_are_taken_where_they_pay() -> None:
    tile, date, _, _ = _coded(BANDS)
    aim = tile.size // 200
    alone = encode_tile(tile, names=BANDS, max_bytes=tile.size // 3, aim_bytes=aim)
    head = head_of(encode_against(alone, tile, None, BANDS, aim, [date]).payload, tile.shape, BANDS)
    assert head.dated and all(part.spectrum.of_date for part in head.parts)


def test_moments_are_exact_in_any_order() -> None:
    rng = np.random.default_rng(1)
    rows = (rng.normal(size=(3, 9000)) * 1e5).astype(np.float32)
    rows[0, 5] = 3e7  # more than a coefficient can be
    whole = np.clip(np.rint(rows), -(1 << 20), 1 << 20).astype(np.int64)
    found = Earlier((rows,), np.zeros(3)).covariance(0)
    assert np.array_equal(found, [[int(a @ b) for b in whole] for a in whole])


def test_a_known_date_stays_as_it_is() -> None:
    counts = (np.add.outer(np.arange(3) * 77, np.add.outer(np.arange(41) ** 2 % 311, np.arange(50) * 7 % 97))).astype(
        np.uint16
    )
    raster, pyramid = Raster(Grid(1, 1, 0), (0, 2), (1,)), Pyramid(42, 50, 3, 2, 3)
    found = Earlier.of(counts, [raster], [pyramid], Weights.equal(3), None)
    assert found.covariance(0).astype(np.int64).tolist() == MOMENTS
    assert found.mean_units(expected_of(None, 3), 2) == (42, 61, 80)


def test_damaged_payloads_decode_to_something_or_are_refused() -> None:
    tile, date, _, coded = _coded()
    assert_decoded_or_refused(coded, FOUR, tile, date, times=100, length=400)


MOMENTS = [[27733297, 27733297, 20024804], [27733297, 27733297, 20024804], [20024804, 20024804, 20038568]]
