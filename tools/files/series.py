"""What the frames of a series must have in common."""

from __future__ import annotations

from collections.abc import Sequence

from swathpack.edge.codec.plain import MAX_BANDS, PlainError
from swathpack.edge.frame import Frame
from swathpack.tools.errors import UserError
from swathpack.tools.files.sources import FrameSource


def check_alike(sources: Sequence[FrameSource]) -> None:
    """Frames of one stream have one shape, one list of bands and one radiometry. Raises UserError, and
    PlainError for more bands than a stream holds: whoever has the files names them.
    """
    if not sources:
        raise UserError("nothing to encode: the series has no frames")
    first = sources[0].outline
    shape = _shape(sources[0])
    if shape[0] > MAX_BANDS:
        raise PlainError(f"expected 1 to {MAX_BANDS} bands in a stream, found {shape[0]}")
    for i, source in enumerate(sources):
        own, found = source.outline, _shape(source)
        at, begun = _date(i, own), _date(0, first)
        if found[1:] != shape[1:]:
            raise UserError(
                f"{at}: expected {shape[1]} x {shape[2]} pixels as in {begun}, found {found[1]} x {found[2]}"
            )
        if own.bands != first.bands:
            raise UserError(
                f"{at}: expected the bands {', '.join(first.bands)} as in {begun}, found {', '.join(own.bands)}; give the "
                "bands that all dates have, or a file for each kind of date"
            )
        if own.radiometry != first.radiometry:
            raise UserError(f"{at}: expected {first.radiometry} as in {begun}, found {own.radiometry}")


def _date(number: int, outline: Frame) -> str:
    """What a date is called in a message."""
    return f"frame {number}" + (f" ({outline.time})" if outline.time else "")


def _shape(source: FrameSource) -> tuple[int, int, int]:
    return len(source.outline.bands), source.height, source.width
