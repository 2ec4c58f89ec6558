"""Whether large tiles are taken: by what places cost both ways."""

from __future__ import annotations

import numpy as np
import pytest

import swathpack
from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.errors import UserError
from swathpack.tools.files.sources import HeldSource
from swathpack.tools.files.tile_trial import small_are_better

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
            bytes(swathpack.compress(data, bands=BANDS, bytes=65536, weights="equal", **options))
        ).header.tile_size  # type: ignore[arg-type]

    assert (side(), side(fast=True), side(tile=320)) == (256, 512, 320)


def test_no_place_to_try_is_no_reason_for_small_tiles() -> None:
    empty = np.zeros((4, 512, 512), np.uint16)
    assert not small_are_better([source(empty)], 512, "auto", 0.1)


def test_what_cannot_be_read_is_left_to_whoever_reads_it(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(self: HeldSource, window: object) -> Frame:
        raise UserError("gone")

    monkeypatch.setattr(HeldSource, "tile", fails)
    assert not small_are_better([source(of_several_kinds())], 512, "equal", 0.5)
