"""What is said of received images: which tiles keep a greatest error, which strips and tiles are missing."""

from swathpack.edge.codec.protocol import TileKey
from swathpack.edge.stages.intake import TILE_BITS
from swathpack.tools.ground.guarantees import Kept, guarantee_lines


def kept(row: int, column: int, time: int, layers: int = 16, error: int | None = 0) -> Kept:
    tile = (17 << TILE_BITS | row) << TILE_BITS | column
    return Kept(TileKey(tile, time), layers, error)


def test_tiles_of_which_nothing_came_are_named_by_date():
    whole = [kept(r, c, 0) for r in range(2) for c in range(2)]
    later = [kept(0, 1, 86400), kept(1, 0, 86400, layers=4)]
    assert list(guarantee_lines([*whole, *later])) == [
        "1970-01-01T00:00:00Z: 4 tiles lossless",
        "1970-01-02T00:00:00Z: 2 tiles lossless; not whole, the rest is nodata: 17/1/0 4 of 16 strips; nothing of 17/0/0, 17/1/1",
    ]


def test_of_many_some_are_named_and_the_rest_counted():
    (line,) = guarantee_lines([kept(100, 200, 0)])
    assert line.endswith(f"nothing of {', '.join(f'17/0/{c}' for c in range(8))}, and {101 * 201 - 1 - 8} more")
