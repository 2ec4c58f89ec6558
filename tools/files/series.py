"""What the frames of a series must have in common."""

from __future__ import annotations

from collections.abc import Sequence

from swathpack.edge.frame import Frame
from swathpack.tools.errors import UserError


def check_alike(frames: Sequence[Frame]) -> None:
    """Frames of one stream have one shape, one list of bands and one radiometry. Raises UserError."""
    if not frames:
        raise UserError("nothing to encode: the series has no frames")
    first = frames[0]
    for i, frame in enumerate(frames):
        if frame.data.shape != first.data.shape or frame.bands != first.bands:
            raise UserError(
                f"frame {i}: expected shape {first.data.shape} and bands {' '.join(first.bands)} as in "
                "frame 0, "
                f"found {frame.data.shape} and {' '.join(frame.bands)}"
            )
        if frame.radiometry != first.radiometry:
            raise UserError(f"frame {i}: expected {first.radiometry} as in frame 0, found {frame.radiometry}")
