"""What `swathpack decompress` reads of a stream: the file, or of a part of it only what that takes."""

from __future__ import annotations

import argparse
from collections.abc import Callable, Container
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from swathpack.codec.restored import Restorer
from swathpack.edge.codec.pixels import TileWindow, tile_windows
from swathpack.edge.spoken import reason
from swathpack.edge.stream import Header, Stream
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.carried import metadata_of
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.frame_rows import EmptyFrames
from swathpack.tools.files.part_file import PartFile
from swathpack.tools.files.part_request import Part, check_dates, georeference_of, part_of, window_of_bbox
from swathpack.tools.files.synthesis import reach


def read_bytes(path: Path) -> bytes:
    """The file's bytes; UserError when it cannot be read."""
    try:
        return path.read_bytes()
    except OSError as error:
        raise UserError(f"cannot read {path}: {reason(error, path)}") from error


def stream_metadata(stream: Stream) -> dict[str, Any]:
    """What a stream says of its files; nothing where that cannot be read."""
    try:
        return metadata_of(stream)
    except UserError:
        return {}


@dataclass(frozen=True)
class Reading:
    """What is read: the whole file (data), or a part of it."""

    data: bytes = b""
    file: PartFile | None = None
    part: Part | None = None
    restorer: Restorer | None = None

    @classmethod
    def of(cls, args: argparse.Namespace, restorer: Restorer | None = None) -> Reading:
        """What the options ask for. Raises UserError, StreamError."""
        names, dates = _listed("--bands", args.bands), _listed("--dates", args.dates)
        if not (args.window or args.bbox or names or dates or args.preview):
            return cls(read_bytes(args.input), restorer=restorer)
        file = PartFile(args.input)
        header, window = file.header, args.window
        if args.bbox:
            window = window_of_bbox(
                georeference_of(stream_metadata(file.metadata)), args.bbox, (header.height, header.width)
            )
        return cls(
            file=file,
            part=part_of(header, window, names, _dates(args.dates, header.frames), args.preview or 1),
            restorer=restorer,
        )

    def stream(self, missing: Container[tuple[int, int]] | None = None) -> bytes | Stream:
        """What the decoder is given. missing: tiles of which a preview's beginning was too little."""
        if self.file is None or self.part is None:
            return self.data
        prefix = None if missing is not None else self.part.prefix_bytes(_samples(self.file.header))
        dates = self.part.dates or range(self.file.header.frames)
        windows = {w.index: w for w in tile_windows(*self.part.full, self.file.header.tile_size)}
        beside = self.beside(self.file.header.tile_size)
        wanted = {(f, t) for f, t in self.file.places if f in dates and beside(windows[t])}
        return self.file.stream({p for p in wanted if missing is None or p in missing}, prefix)

    def beside(self, side: int) -> Callable[[TileWindow], bool]:
        """Which tiles, of so many pixels a side, change what is read."""
        if self.part is None:
            return lambda window: False
        part = self.part if self.restorer is None else self.part.of_tiles(side)
        return lambda window: part.meets(window, reach(self.restorer))

    def tiles(self, decoder: StreamDecoder) -> set[int] | None:
        """Numbers of the tiles of which pixels come out; None for all."""
        return None if self.part is None else {w.index for w in decoder.windows if self.part.meets(w)}

    def dates_there(self, decoder: StreamDecoder) -> list[int]:
        """Dates that come out: some tile of them is there, or the stream says that they hold no data."""
        only, empty = self.tiles(decoder), EmptyFrames(decoder.stream, decoder.doubtful)
        wanted = range(decoder.header.frames) if self.part is None or not self.part.dates else self.part.dates
        return [i for i in wanted if i in decoder.tiles_of or empty.said(i, only)]

    def claimed(self, header: Header) -> Header:
        """A header of as many pixels as come out."""
        if self.part is None:
            return header
        height, width = self.part.size
        return replace(header, height=height, width=width, frames=len(self.part.dates) or header.frames, times=())

    def metadata(self, given: dict[str, Any], frames: int) -> dict[str, Any]:
        """What the stream says of its files, said of what comes out. What cannot be used is left as it is."""
        if self.part is None:
            return given
        try:
            return self.part.metadata(given, frames)
        except (UserError, KeyError, TypeError, ValueError, AttributeError):
            return {}


def _samples(header: Header) -> int:
    return len(header.bands) * min(header.tile_size, header.height) * min(header.tile_size, header.width)


def _listed(option: str, text: str | None) -> list[str]:
    """The words between commas, none where the option is not given. Raises UsageError where it is, without any."""
    words = [w for w in map(str.strip, (text or "").split(",")) if w]
    if text is not None and not words:
        raise UsageError(f"{option}: expected at least one between commas, found {text!r}")
    return words


def _dates(text: str | None, frames: int) -> list[int]:
    """`0,3,5-7`, of so many. Raises UserError."""
    try:
        found: list[int] = []
        for word in (text or "").split(",") if text else []:
            first, dash, last = word.partition("-")
            run = range(int(first), int(last if dash else first) + 1)
            if not run:
                raise ValueError(word)
            found += run[: frames + 1]  # one number beyond them is enough to be refused by
    except ValueError as error:
        raise UsageError(f"--dates: expected numbers such as 0,3,5-7, found {text!r}") from error
    check_dates(found, frames, text)
    return found
