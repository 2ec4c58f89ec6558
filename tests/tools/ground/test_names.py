"""What the board says of tiles is told by the names that `receive --list` has for them."""

from __future__ import annotations

from swathpack.edge.events import FRAME_UNDATED, TILE_CODED, Event
from swathpack.tools.ground.names import spoken_event, spoken_tile


def test_events_name_tiles_and_times_as_the_list_does() -> None:
    values = {"tile": (17 << 16) + (2 << 8) + 3, "time": 1589155200, "bytes": 9, "contexts": 1}
    assert spoken_tile(values["tile"]) == "17/2/3"
    assert spoken_event(Event(TILE_CODED, 0, values)) == "tile 17/2/3 at 2020-05-11T00:00:00Z: 9 bytes, 1 contexts"


def test_a_forged_time_is_told_as_it_is_and_texts_stay_texts() -> None:
    values = {"tile": -1, "time": 1 << 62, "bytes": 9, "contexts": 1}
    assert f"at {1 << 62}:" in spoken_event(Event(TILE_CODED, 0, values))
    undated = {"frame": "a", "time": "2020-05-11T00:00:00Z"}
    assert spoken_event(Event(FRAME_UNDATED, 0, undated)).endswith("taken to be of 2020-05-11T00:00:00Z")
