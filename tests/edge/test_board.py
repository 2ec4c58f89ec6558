"""The board opened on state of which a part is lost: what is left goes on as it was."""

import pytest

from swathpack.edge.downlink.queue import NUMBERS_PER_BOOT
from swathpack.hil_tests.simulation.flight import Flight, Station


@pytest.mark.parametrize("damage", [b"", b"\xff" * 5000, None])
def test_a_lost_boot_count_gives_no_number_that_is_still_in_the_queue(tmp_path, damage):
    flight = Flight(tmp_path, frames=1, size=64)
    flight.loop.settle()
    for frames in (2, 3):  # each coded in a life of its own
        flight.restart()
        flight.loop.intake.source._count = frames
        flight.loop.settle()
    before = flight.board.queue.tiles.table().number.tolist()
    assert [number // NUMBERS_PER_BOOT for number in before] == [1, 2, 3]

    flight.board.close()
    boots = tmp_path / "state/boots"
    boots.unlink() if damage is None else boots.write_bytes(damage)
    flight.start()
    failed = []
    flight.board.log.add_sink(lambda event: failed.append(event.text()) if event.kind.name == "stage_failed" else None)
    flight.loop.intake.source._count = 4
    flight.loop.settle()
    numbers = flight.board.queue.tiles.table().number.tolist()
    assert not failed and numbers[:3] == before and numbers[3] // NUMBERS_PER_BOOT == 4
    flight.restart()
    assert flight.board.boot.boots == 5
    station = Station(tmp_path, flight)
    station.hear(1, flight.contact(1, 1_000_000))
    assert len(station.store.tile_frames()) == 4
