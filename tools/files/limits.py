"""How many pixels and dates are made arrays or files of: a head may claim them, whatever the stream holds."""

from __future__ import annotations

from swathpack.edge.codec.plain import MAX_BANDS
from swathpack.edge.stream import Header
from swathpack.tools.errors import UserError

MAX_PIXELS = 1 << 30  # in all frames, unless more is asked for
MAX_FILES = 4096  # of dates, a file each: empty ones take 3 ms of CPU, and a head of 60 bytes may claim 65,535 of them


def check_pixels(header: Header, limit: int) -> None:
    """Refuse a stream that claims more than `limit` pixels in all its frames. Raises UserError."""
    what, claimed = counted(header.frames, header.height, header.width, len(header.bands))
    if claimed > limit:
        raise UserError(f"the stream claims {what}; the limit is {limit:,} (--max-pixels)")


def check_files(dates: int) -> None:
    """Refuse more than MAX_FILES dates with a file each. Raises UserError."""
    if dates > MAX_FILES:
        ways = "give an .npz, .nc or .zarr, or some with --dates"
        raise UserError(f"expected at most {MAX_FILES:,} dates with a GeoTIFF each, found {dates:,}: {ways}")


def check_window(frames: int, rows: int, columns: int, bands: int) -> None:
    """Refuse arrays of more than MAX_PIXELS. Raises UserError."""
    what, claimed = counted(frames, rows, columns, bands)
    if claimed > MAX_PIXELS:
        raise UserError(
            f"expected at most {MAX_PIXELS:,} pixels at a time, found {what}: read a window or frame by frame"
        )


def counted(frames: int, rows: int, columns: int, bands: int) -> tuple[str, int]:
    """So many frames in words, and their pixels; each counts once for every MAX_BANDS of its bands, begun ones too."""
    pixels, times = frames * rows * columns, -(-bands // MAX_BANDS)
    what = f"{frames} frames of {rows} x {columns}, {pixels:,} pixels"
    if times > 1:
        what += f" of {bands} bands, as much as {pixels * times:,} of {MAX_BANDS} bands"
    return what, pixels * times
