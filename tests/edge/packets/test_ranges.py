"""Sets of byte ranges against sets of bytes; and that very many ranges stay cheap."""

from __future__ import annotations

import random
import time

import pytest

from swathpack.edge.packets.errors import PacketError
from swathpack.edge.packets.ranges import RangeSet


def octets(ranges) -> set[int]:
    return {x for a, b in ranges for x in range(a, b)}


def test_ranges_are_what_sets_of_bytes_are():
    rng = random.Random(1)
    for _ in range(400):
        held, truth, other = RangeSet(), set(), RangeSet([(5, 9), (20, 33)])
        for _ in range(rng.randrange(1, 30)):
            a, b = rng.randrange(40), rng.randrange(40)
            if rng.random() < 0.6:
                held.add(a, b)
                truth |= set(range(a, b))
            else:
                held.remove(a, b)
                truth -= set(range(a, b))
            start, stop = sorted((rng.randrange(42), rng.randrange(42)))
            inside = set(range(start, stop))
            assert octets(held) == truth and held.covered(stop) == len(truth & set(range(stop)))
            assert octets(held.missing(start, stop)) == inside - truth
            assert octets(held.within(start, stop)) == inside & truth
            assert octets(held.common(other)) == truth & octets(other)
        ranges = list(held)
        assert all(x[1] < y[0] for x, y in zip(ranges, ranges[1:])) and all(a < b for a, b in ranges)
        assert RangeSet.unpack(held.pack()) == held


def test_very_many_ranges_are_cheap():
    start, held = time.process_time(), RangeSet()
    for at in range(0, 100_000, 2):
        held.add(at, at + 1)
        held.missing(at // 2, at // 2 + 3)
    assert len(held) == 50_000 and time.process_time() - start < 2


def test_odd_bytes_are_refused():
    with pytest.raises(PacketError):
        RangeSet.unpack(b"1234567")
