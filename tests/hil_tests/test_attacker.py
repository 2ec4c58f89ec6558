"""What somebody sends in the board's name: a ground with keys counts all of it, one without is misled."""

from __future__ import annotations

import random

import pytest

from swathpack.hil_tests.simulation.attacker import FORGERIES, Attacker
from swathpack.hil_tests.simulation.fake_codec import FakeSegmentDecoder
from swathpack.hil_tests.simulation.two_ends import KEYS, Board, Ground
from swathpack.tools.ground.receiver import GroundReceiver
from tests.edge.downlink.test_signed import TILES, date, ground_of, signed_pass


@pytest.fixture
def board(tmp_path):
    return Board(tmp_path)


def fresh(ground: Ground) -> GroundReceiver:
    """As for every pass."""
    ground.receiver = GroundReceiver(ground.store, FakeSegmentDecoder(), 2048, KEYS, signed=True)
    return ground.receiver


@pytest.mark.parametrize("seed", range(4))
def test_every_packet_of_an_attacker_is_counted_and_none_believed(board, tmp_path, seed):
    ground, attacker = ground_of(tmp_path), Attacker(random.Random(seed))
    for number in range(1, 4):
        date(board, number)
        made = attacker.intrude(signed_pass(board, number, 30_000), 5)
        receiver = fresh(ground)
        ground.hear(number, made.packets)
        assert made.forged == 5 * len(FORGERIES) and made.replayed == (10 if number > 1 else 5)
        assert receiver.counts["forged packets"] == made.forged
        assert receiver.counts["replayed packets"] == made.replayed
        assert receiver.counts["lost image packets"] == receiver.counts["contradicting pieces"] == 0
    assert ground.wrong(board.truth) == [] and len(ground.store.tile_frames()) == 3 * TILES


def test_a_ground_that_asks_for_no_signature_is_misled(board, tmp_path):
    """So the campaign would see it."""
    ground, attacker = Ground(tmp_path), Attacker(random.Random(1))
    date(board, 1)
    ground.hear(1, attacker.intrude(signed_pass(board, 1, 30_000), 30).packets)
    counts = ground.receiver.counts
    assert counts["contradicting pieces"] > 0 and not counts["forged packets"] and not counts["replayed packets"]


def test_nothing_is_made_of_a_pass_that_nobody_signed(board):
    date(board, 1)
    stream = board.downlink(1, 30_000)
    made = Attacker(random.Random(1)).intrude(stream, 5)
    assert made.packets == stream and made.forged == made.replayed == 0
