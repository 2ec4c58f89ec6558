"""What is said of received images: which tiles keep a greatest error, which strips and tiles are missing."""

from dataclasses import replace

from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.stages.intake import TILE_BITS
from swathpack.tools.ground.guarantees import Kept, date_lines


def kept(row: int, column: int, time: int, layers: int = 16, error: int | None = 0) -> Kept:
    tile = (17 << TILE_BITS | row) << TILE_BITS | column
    return Kept(TileKey(tile, time), layers, error)


def test_tiles_of_which_nothing_came_are_named_by_date():
    whole = [kept(r, c, 0) for r in range(2) for c in range(2)]
    later = [kept(0, 1, 86400), kept(1, 0, 86400, layers=4)]
    found = list(date_lines([*whole, *later]))
    assert [line.whole for line in found] == [True, False]
    assert [line.text for line in found] == [
        "1970-01-01T00:00:00Z: 4 tiles lossless",
        "1970-01-02T00:00:00Z: 2 tiles lossless; not whole, the rest is nodata: 17/1/0 4 of 16 strips; nothing of 17/0/0, 17/1/1",
    ]


def test_of_many_some_are_named_and_the_rest_counted():
    (line,) = date_lines([kept(100, 200, 0)])
    assert line.text.endswith(f"nothing of {', '.join(f'17/0/{c}' for c in range(8))}, and {101 * 201 - 1 - 8} more")


def test_missing_tiles_are_named_where_nothing_is_promised_too():
    """Half an image was written without a word."""
    whole = [kept(0, c, 0, 5, None) for c in range(3)]
    found = list(date_lines([*whole, kept(0, 2, 86400, 9, None)]))
    assert [(line.text, line.whole) for line in found] == [
        ("1970-01-02T00:00:00Z: 1 tile; nothing of 17/0/0, 17/0/1", False)
    ]
    assert not list(date_lines(whole)), "fewer layers are an image all the same"


def test_tiles_that_cannot_be_drawn_are_named_with_what_is_in_the_way():
    held = [kept(0, c, 0, error=None) for c in range(3)]
    lost = [replace(kept(0, c, 86400, error=None), problem="its segment is not here") for c in range(2)]
    (line,) = date_lines([*held, *lost])
    assert (
        line.text
        == "1970-01-02T00:00:00Z: 0 tiles; not drawn, its segment is not here: 17/0/0, 17/0/1; nothing of 17/0/2"
    )
    assert not line.whole


def test_tiles_of_another_side_are_other_places():
    """A mission that went from tiles of 256 to tiles of 512 lacked most of every date, for ever."""
    small, large = (
        [kept(r, c, 0, 16, None) for r in range(3) for c in range(3)],
        [kept(r, c, 86400) for r in (0, 1) for c in (0, 1)],
    )
    sides = {0: 256, 86400: 512}
    assert [line.text for line in date_lines([*small, *large], sides.__getitem__)] == [
        "1970-01-02T00:00:00Z: 4 tiles lossless"
    ]
    (line,) = date_lines([*small, *large[1:]], sides.__getitem__)
    assert line.text.endswith("3 tiles lossless; nothing of 17/0/0") and not line.whole
