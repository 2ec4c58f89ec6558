"""What payloads of tiles are aimed at."""

from __future__ import annotations

from swathpack.edge.codec.flight import aim_of, aims_at
from swathpack.edge.codec.rate import bytes_about

SAMPLES = 12 * 256 * 256


def test_aims_start_at_a_quarter_of_what_the_step_asks_for_and_rise_by_quarter_octaves_beyond_it() -> None:
    aims = aims_at(28, SAMPLES)
    usual = bytes_about(28, SAMPLES)
    assert aims[:3] == [usual // 4, usual // 2, usual] and aims == sorted(aims)
    assert all(abs(b / a - 2**0.25) < 1e-3 for a, b in zip(aims[3:], aims[4:]))


def test_a_tile_is_aimed_at_the_most_that_the_contact_has_room_for() -> None:
    aims = aims_at(28, SAMPLES)
    assert (
        aim_of(aims, 0) == aim_of(aims, 500) == aim_of(aims, aims[1] - 1) == aims[0] and aim_of(aims, None) == aims[2]
    )
    assert aim_of(aims, aims[3]) == aim_of(aims, aims[4] - 1) == aims[3] and aim_of(aims, 1 << 40) == aims[-1]
