"""Whether large tiles are taken: by what places cost both ways."""

from __future__ import annotations

import numpy as np
import pytest

import swathpack
from swathpack.edge.codec.transform_coder import encode_tile
from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.errors import UserError
from swathpack.tools.files.sources import HeldSource
from swathpack.tools.files.tile_trial import share_out, small_are_better

BANDS = ("B02", "B03", "B04", "B08")


def of_one_kind() -> np.ndarray:
    """(4, 512, 512) uint16."""
    return np.ascontiguousarray(values(512, 512, 1, 5)[0, :4])


def of_several_kinds() -> np.ndarray:
    """Quarters of 256 pixels whose bands go together in ways of their own."""
    rng, found = np.random.default_rng(1), np.zeros((4, 512, 512))
    for top in (0, 256):
        for left in (0, 256):
            turned, _ = np.linalg.qr(rng.normal(size=(4, 4)))
            planes = np.stack(
                [np.repeat(np.repeat(rng.normal(size=(64, 64)), 4, 0), 4, 1) * s for s in (900, 20, 5, 1)]
            )
            found[:, top : top + 256, left : left + 256] = np.einsum("ij,jhw->ihw", turned, planes)
    return (found + 4000).clip(1, 10000).astype(np.uint16)


def source(data: np.ndarray) -> HeldSource:
    return HeldSource(Frame.from_array(data, BANDS))


def test_what_lies_side_by_side_decides() -> None:
    assert not small_are_better([source(of_one_kind())], 512, "equal", 0.2)
    assert small_are_better([source(of_several_kinds())], 512, "equal", 0.5)


def test_files_take_what_the_trial_says_and_nothing_where_it_is_told_or_fast() -> None:
    data = of_several_kinds()[None]

    def side(**options: object) -> int:
        return read_stream(
            bytes(swathpack.compress(data, bands=BANDS, bytes=60000, weights="equal", **options))
        ).header.tile_size  # type: ignore[arg-type]

    assert (side(), side(fast=True), side(tile=320)) == (256, 512, 320)


def test_small_tiles_whose_heads_take_all_bytes_are_none_that_are_better() -> None:
    """They were judged by the error of their heads, which a large tile has in fewer bytes."""
    for data in (of_one_kind(), of_several_kinds()):
        assert not any(small_are_better([source(data)], 512, "auto", 8 * n / data.size) for n in (1, 60, 86, 116))


def test_the_smallest_budget_is_that_of_large_tiles_and_is_taken() -> None:
    def said(budget: int, tile: int | None) -> str:
        with pytest.raises(swathpack.Error, match="expected at least") as found:
            swathpack.compress(of_one_kind()[None], bands=BANDS, bytes=budget, tile=tile)
        return str(found.value).partition("expected")[2]

    assert said(1, None) == said(1, 512)
    least = int(said(1, 512).split()[2].rstrip(","))
    assert said(least - 1, None) == said(least - 1, 512)
    stream = swathpack.compress(of_one_kind()[None], bands=BANDS, bytes=least)
    assert len(bytes(stream)) <= least and read_stream(bytes(stream)).header.tile_size == 512


def test_no_place_to_try_is_no_reason_for_small_tiles() -> None:
    empty = np.zeros((4, 512, 512), np.uint16)
    assert not small_are_better([source(empty)], 512, "auto", 0.1)


def test_what_cannot_be_read_is_left_to_whoever_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: HeldSource, window: object) -> Frame:
        raise UserError("gone")

    monkeypatch.setattr(HeldSource, "tile", fails)
    assert not small_are_better([source(of_several_kinds())], 512, "equal", 0.5)


def test_every_tile_has_its_head_where_bytes_are_shared_out() -> None:
    data = of_one_kind()[:3, :64, :64]
    tiles = [encode_tile(data * size, None, None, 1.0) for size in (1, 0)]
    given = share_out(tiles, sum(tile.head for tile in tiles) + 200)
    assert given[1] == tiles[1].head and tiles[0].head < given[0] <= tiles[0].head + 200
