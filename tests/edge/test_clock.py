"""Clocks: what moves them and what the watch calls a jump."""

import pytest

from swathpack.edge.clock import ClockWatch, ManualClock, SystemClock


def test_only_jumps_of_the_wall_clock_are_jumps():
    clock = ManualClock()
    watch = ClockWatch(clock, tolerance_s=2.0)
    clock.advance(10_000)
    assert watch.check() is None
    clock.jump_wall(-3600)
    clock.advance(5)
    assert watch.check() == pytest.approx(-3600)
    assert watch.check() is None, "a jump is told once"
    clock.jump_wall(1.5)
    assert watch.check() is None


def test_manual_time_does_not_go_back():
    with pytest.raises(ValueError, match="found -1"):
        ManualClock().advance(-1)


def test_system_clock_moves():
    clock = SystemClock()
    before = clock.monotonic()
    clock.sleep(0.001)
    assert clock.monotonic() > before and clock.wall() > 1.6e9
