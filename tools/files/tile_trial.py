"""Whether the tiles of a file are to be large ones: some places are coded both ways, at the bytes that they will have.

Most scenes take fewer bytes in large tiles. Where ground of several kinds lies side by side, clouds beside dark water, each
has bases and statistics of its own in small ones, and that may be worth more.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

import numpy as np

from swathpack.edge.codec.modes import Weighing
from swathpack.edge.codec.pixels import TILE, TileWindow, tile_windows
from swathpack.edge.codec.plain import FINEST_DN, known_names
from swathpack.edge.codec.rate import Curve
from swathpack.edge.codec.transform_coder import CodedTile, TransformCoderError, encode_tile
from swathpack.edge.frame import Frame
from swathpack.tools.errors import UserError
from swathpack.tools.files.coding_jobs import FIRST_FACTOR, ROOM_MORE, filled_tile, room_for
from swathpack.tools.files.kept_tiles import NEAR_END
from swathpack.tools.files.sources import FrameSource
from swathpack.tools.files.tile_side import side_for

PLACES = 4  # of all dates, evenly spread
AROUND = 12  # bytes of a segment beside its payload, about
HEADS = 2  # times what small tiles take at the least: below, that alone decides, and the file's own head takes its part
HALVINGS = 60


def usual_side(sources: Sequence[FrameSource], choice: str, bppb: float) -> int:
    """Pixels a side of the tiles of a file where nothing else is asked for; see `small_are_better`."""
    side = side_for(sources[0].height, sources[0].width, small=False)
    return TILE if side > TILE and small_are_better(sources, side, choice, bppb) else side


def small_are_better(sources: Sequence[FrameSource], side: int, choice: str, bppb: float) -> bool:
    """Whether tiles of TILE pixels have less error than those of `side` pixels in as many bytes (mean of the logarithms). choice:
    an option's word for the weights of bands. bppb: bits a sample that the file will have, about.
    """
    leads = [_lead(tile, choice, bppb) for tile in _places(sources, side)]
    return bool(leads) and float(np.mean(leads)) < 0


def _places(sources: Sequence[FrameSource], side: int) -> Iterator[Frame]:
    """Parts of frames that one tile of `side` pixels or some small ones may code: whole frames where a tile holds them, else
    squares of two small tiles a side, so that neither way has slivers that the file has not. What cannot be read is told later.
    """
    whole = max(sources[0].height, sources[0].width) <= side
    found = [
        (source, window)
        for source in sources
        for window in tile_windows(source.height, source.width, side)
        if max(window.height, window.width) > TILE and source.live(window)
    ]
    for tile in spread(found, PLACES):
        yield tile if whole else cropped(tile, TileWindow(0, 0, 0, 2 * TILE, 2 * TILE))


def spread(found: Sequence[tuple[FrameSource, TileWindow]], count: int) -> Iterator[Frame]:
    """Some tiles of all, evenly spread. What cannot be read is told later."""
    for number in sorted({len(found) * (2 * i + 1) // (2 * count) for i in range(count) if found}):
        source, window = found[number]
        with suppress(UserError):
            yield filled_tile(source.tile(window))


def cropped(tile: Frame, window: TileWindow) -> Frame:
    """The pixels of a tile within a window of it."""
    return replace(
        tile, data=np.ascontiguousarray(window.of(tile.data)), valid=np.ascontiguousarray(window.of(tile.valid))
    )


def _lead(tile: Frame, choice: str, bppb: float) -> float:
    """By how much the error of one tile is below that of small ones at as many bytes, in log2. 0 where either way cannot code it,
    1 where the bytes hold little more than the heads of small ones.
    """
    aim = max(1, int(bppb * tile.data.size / 8))
    weighing = Weighing.aimed(choice, aim, tile.data.size)
    windows = list(tile_windows(tile.height, tile.width, TILE))
    if len(windows) == 1 or not tile.valid.any():
        return 0.0
    try:
        large = _coded([tile], tile, weighing, aim)
        small = _coded([cropped(tile, w) for w in windows], tile, weighing, aim)
    except TransformCoderError:
        return 0.0
    if aim < HEADS * sum(AROUND + part.head for part in small):
        return 1.0
    errors = [_error_at(coded, aim) for coded in (small, large)]
    return float(np.log2(errors[0] / errors[1])) if min(errors) > 0 else 0.0


def _coded(parts: Sequence[Frame], tile: Frame, weighing: Weighing, aim: int) -> list[CodedTile]:
    """Parts of a tile that hold data, with the weights of all of it, each as far as its share of the bytes may go."""
    weights, names = weighing.of(tile.bands, tile.data, tile.valid), known_names(tile.bands)
    parts = [part for part in parts if part.valid.any()]
    owns = [max(1, aim * part.data.size // tile.data.size) for part in parts]
    rooms = [_near(own) if len(parts) > 1 else _all(own) for own in owns]

    def coded(part: Frame, room: int, own: int) -> CodedTile:
        return encode_tile(part.data, part.valid, names, FINEST_DN, room, own, weights)

    found = list(map(coded, parts, rooms, owns))
    shares = share_out(found, aim - AROUND * len(found)) if len(parts) > 1 else []
    for n, share in enumerate(shares):
        if len(found[n].payload) >= rooms[n] and share > NEAR_END * rooms[n]:
            found[n] = coded(parts[n], room_for(owns[n]), owns[n])
    return found


def _all(own: int) -> int:
    """Room of a tile that takes all the bytes."""
    return own + own // 4 + ROOM_MORE // 4


def _near(own: int) -> int:
    """Room of one that shares them with others."""
    return FIRST_FACTOR * own + ROOM_MORE // 4


def _error_at(tiles: Sequence[CodedTile], budget: int) -> float:
    """Squared error of tiles that share so many bytes, as their coder expects it."""
    sizes = share_out(tiles, budget - AROUND * len(tiles))
    return float(sum(np.interp(n, t.curve_bytes, t.curve_error) for n, t in zip(sizes, tiles)))


def share_out(tiles: Sequence[CodedTile], budget: int) -> list[int]:
    """Bytes a tile where the slope of squared error by bytes is the same for all; every tile has its head, as in files."""
    curves = [Curve.of(tile.curve_bytes, tile.curve_error) for tile in tiles]

    def at(slope: float) -> list[int]:
        return [max(curve.bytes_at(2.0**slope), tile.head) for curve, tile in zip(curves, tiles)]

    low, high = -60.0, 60.0
    for _ in range(HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if sum(at(middle)) <= budget else (middle, high)
    return at(high)
