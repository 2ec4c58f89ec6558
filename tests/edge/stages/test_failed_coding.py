"""Tiles that the codec cannot code: their own fault counts as a try, that of the memory does not."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.codec.protocol import CodecError
from swathpack.hil_tests.simulation.fake_codec import FakeTileCodec
from swathpack.hil_tests.simulation.flight import Flight


@pytest.mark.parametrize("struck_at", [0, 2], ids=["nothing held", "tiles held"])
def test_a_codec_that_fails_for_changed_memory_costs_no_tile(tmp_path: Path, struck_at: int) -> None:
    memory = np.arange(4096, dtype=np.uint8)
    right, strikes = memory.copy(), []

    class Struck(FakeTileCodec):
        """Memory is struck before each of thirteen codings, more than four tiles have tries, and nothing can be coded then."""

        def encode(self, tile, contexts):
            if self.calls >= struck_at and len(strikes) < 13:
                strikes.append(tile.key)
                memory[7] ^= 4
                raise CodecError("expected coefficients below 32759 steps, found 8.9e+36")
            return super().encode(tile, contexts)

    flight = Flight(tmp_path, frames=1)
    flight.scrubber.add("network", lambda: memory, lambda: memory.__setitem__(slice(None), right))
    flight.loop.encode.codec = Struck(64, 30)
    flight.loop.settle()
    counts = flight.board.log.counts
    assert len(strikes) == counts["memory_repaired"] == 13 and (memory == right).all()
    assert counts["tile_dropped"] == 0 and flight.board.queue.tiles.count() == 4


def test_a_tile_that_fails_by_itself_is_given_up_after_its_tries(tmp_path: Path) -> None:
    class Picky(FakeTileCodec):
        def encode(self, tile, contexts):
            if tile.key.tile & 255 and tile.key.tile >> 8 & 255:
                raise CodecError("never this one")
            return super().encode(tile, contexts)

    flight = Flight(tmp_path, frames=1)
    flight.loop.encode.codec = Picky(64, 30)
    flight.loop.settle()
    assert flight.board.log.counts["tile_failed"] == 3 and flight.board.queue.tiles.count() == 3
