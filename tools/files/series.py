"""What the frames of a series must have in common."""

from __future__ import annotations

from collections.abc import Sequence

from swathpack.edge.codec.plain import MAX_BANDS, PlainError
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
        if found != shape or own.bands != first.bands:
            raise UserError(
                f"frame {i}: expected shape {shape} and bands {' '.join(first.bands)} as in "
                "frame 0, "
                f"found {found} and {' '.join(own.bands)}"
            )
        if own.radiometry != first.radiometry:
            raise UserError(f"frame {i}: expected {first.radiometry} as in frame 0, found {own.radiometry}")


def _shape(source: FrameSource) -> tuple[int, int, int]:
    return len(source.outline.bands), source.height, source.width
