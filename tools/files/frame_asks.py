"""What frames of a series ask of the weights of their bands, each looked at once (`swathpack.edge.codec.frame_weights`)."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from swathpack.edge.codec.frame_weights import Asked, asked_by, asked_by_all, looked_at
from swathpack.edge.codec.modes import Weighing
from swathpack.edge.codec.pixels import TileWindow
from swathpack.tools.errors import UserError
from swathpack.tools.files.coding_jobs import filled_tile
from swathpack.tools.files.sources import FrameSource


class FrameAsks:
    """Remembers what frames asked for by their numbers."""

    def __init__(self) -> None:
        self._found: dict[int, float | None] = {}

    def weighing(
        self, number: int, source: FrameSource, windows: Sequence[TileWindow], choice: str, aim_bytes: int
    ) -> Weighing:
        """For all tiles of a frame, each of which is to take so many bytes. choice: an option's word."""
        bands = source.outline.bands
        found = Weighing(choice, aimed_bppb(bands, windows, aim_bytes))
        if not found.follows(bands):
            return found
        if number not in self._found:
            self._found[number] = asked_by_all(_asked(source, windows))
        return Weighing(found.choice, found.bppb, self._found[number])


def aimed_bppb(bands: Sequence[str], windows: Sequence[TileWindow], aim_bytes: int) -> float:
    """Bits a sample of the largest tile where each is to take so many bytes."""
    return 8 * aim_bytes / (len(bands) * max((w.height * w.width for w in windows), default=1))


def _asked(source: FrameSource, windows: Sequence[TileWindow]) -> list[Asked | None]:
    """By tile. What cannot be read is told when its own turn comes."""
    found = list[Asked | None]()
    for window in looked_at([w for w in windows if source.live(w)]):
        with suppress(UserError):
            found.append(asked_by(filled_tile(source.tile(window))))
    return found
