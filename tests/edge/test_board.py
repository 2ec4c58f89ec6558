"""The board opened on state of which a part is lost: what is left goes on as it was."""

import pytest

from swathpack.edge.__main__ import main
from swathpack.edge.downlink.queue import NUMBERS_PER_BOOT
from swathpack.hil_tests.simulation.flight import Flight, Station

QUICK = """
[source]
settle_s = 0.0
[uplink]
insecure = true
[passes]
bytes = 1000
every_s = 1000.0
[context]
slots = 1024
[coding]
mode = "transform"
[limits]
min_free_mb = 0
ballast_mb = 0
"""


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


def test_what_is_found_damaged_at_the_start_is_printed(tmp_path, capsys):
    """It stood in the log of events alone: whoever prints them was told only when all was open."""
    (tmp_path / "mission.toml").write_text(QUICK)
    (tmp_path / "state").mkdir()
    (tmp_path / "state/queue").write_bytes(b"no database" * 999)
    (tmp_path / "state/link").write_bytes(b"\xff" * 5000)
    assert main(["--config", str(tmp_path / "mission.toml"), "--once"]) == 0
    said = capsys.readouterr().err
    assert "critical: queue: file is not a database" in said and "error: link: both copies damaged" in said


def test_a_queue_that_cannot_be_used_is_named(tmp_path, capsys):
    (tmp_path / "mission.toml").write_text(QUICK)
    (tmp_path / "state/queue").mkdir(parents=True)
    assert main(["--config", str(tmp_path / "mission.toml"), "--once"]) == 1
    assert f"swathpack: {tmp_path}/state/queue: unable to open database file\n" in capsys.readouterr().err
