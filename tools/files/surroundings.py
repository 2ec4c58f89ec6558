"""What the coders of all frames of a file share."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field

from swathpack.edge.codec.pixels import TileWindow
from swathpack.edge.stream import Header
from swathpack.tools.files.frame_asks import FrameAsks
from swathpack.tools.files.pool import Pool
from swathpack.tools.files.shelf import Shelf


@dataclass(frozen=True)
class Surroundings:
    """What the coders of all frames share. pool: who codes tiles. shelf: where what was made of them waits. header: of the
    file, which decides what its records take; None for those of segments that fly alone. tick: called for each job done.
    keep_going: a tile that cannot be coded is left out, and `fail` told (frame, tile, why). apart: numbers of tiles that rate
    control leaves alone. asks: what frames ask of weights.
    """

    pool: Pool
    shelf: Shelf
    header: Header | None
    tick: Callable[[], None] = lambda: None
    keep_going: bool = False
    fail: Callable[[int, TileWindow, str], None] = lambda *_: None
    apart: Container[int] = ()
    asks: FrameAsks = field(default_factory=FrameAsks)
