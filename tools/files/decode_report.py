"""What became of a stream that was decoded: per frame and tile, in words and in numbers."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, field
from itertools import groupby

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.plain import PlainError, greatest_error
from swathpack.edge.frame import Frame
from swathpack.edge.stream import Header, Segment, Stream
from swathpack.edge.stream.quality import PREDICTIVE


@dataclass
class TileReport:
    """What became of one tile of one frame. `latent_digest`: of the decoded latent, the same on every
    machine. max_error: no value of it that is there is off by more, None: nothing is promised. rows_lacking: rows of an exact
    tile in which pixels with data did not come.
    """

    tile: int
    layers: int = 0
    q: int = -1
    contexts: list[int] = field(default_factory=list)
    latent_digest: str = ""
    problem: str = ""
    max_error: int | None = None
    rows_lacking: int = 0


Range = tuple[int, int]  # the first and the last


@dataclass
class FrameReport:
    """Per frame: the tiles that are in the stream, ranges of those that should be, and what is wrong in words."""

    frame: int
    time: str | None
    tiles: list[TileReport] = field(default_factory=list)
    absent: list[Range] = field(default_factory=list)
    problem: str = ""

    @property
    def empty(self) -> bool:
        """Nothing of the frame is in the stream, and something should be."""
        return bool(self.absent) and not self.tiles and not self.problem

    @property
    def missing(self) -> list[str]:
        """What is missing or damaged, a line each."""
        if self.empty:
            return [f"frame {self.frame}: not in the stream"]
        own = [f"frame {self.frame}: {self.problem}"] if self.problem else []
        own += [f"frame {self.frame}, tile {t.tile}: {t.problem}" for t in self.tiles if t.problem]
        return own + [f"frame {self.frame}, {_several('tile', r)}: not in the stream" for r in self.absent]


def _several(what: str, found: Range) -> str:
    return f"{what} {found[0]}" if found[0] == found[1] else f"{what}s {found[0]}-{found[1]}"


def promised_by(segment: Segment) -> int | None:
    """The greatest error that the segment's samples come back with, where it is one of the predictive coder that says so."""
    if segment.quality_byte != PREDICTIVE or segment.layer_start:
        return None
    try:
        return greatest_error(segment.payload)
    except PlainError:  # it was cut before that
        return None


def tell_strips(report: TileReport, valid: NDArray[np.bool_], known: NDArray[np.bool_]) -> None:
    """Say of an exact tile how many rows with data did not come: its layers are strips of rows, and fewer of them are a part of
    the image, not a coarser one. valid, known: (h, w), what has data, and what of it came; the rest of the report is made.
    """
    report.rows_lacking, rows = (int(lines.any(axis=1).sum()) for lines in (valid & ~known, valid))
    if not report.rows_lacking:
        return
    lacking = f"{report.rows_lacking} of {rows} rows"
    strips = f"{lacking} are not among its first {report.layers} layers, which are strips of rows"
    report.problem = f"{report.problem}; {lacking} lack" if report.problem else strips


def spoken_strips(reports: Iterable[FrameReport]) -> str:
    """How many exact tiles lack how many rows; nothing where none does."""
    lacking = [t.rows_lacking for r in reports for t in r.tiles if t.rows_lacking]
    return f"exact: {_tiles(len(lacking))} without {sum(lacking):,} rows, which are nodata" if lacking else ""


def spoken_errors(errors: Iterable[int | None]) -> str:
    """How many tiles keep which greatest error, `3 tiles lossless, 1 tile without a guarantee`; nothing where none keeps any."""
    counts = Counter(errors)
    if not counts or set(counts) == {None}:
        return ""
    said = [f"{_tiles(counts[e])} {spoken_error(e)}" for e in sorted(e for e in counts if e is not None)]
    return ", ".join([*said, *([f"{_tiles(counts[None])} without a guarantee"] if counts[None] else [])])


def spoken_error(max_error: int) -> str:
    """lossless, or within so many counts."""
    return "lossless" if max_error == 0 else f"within {max_error}"


def _tiles(count: int) -> str:
    return f"{count} tile" if count == 1 else f"{count} tiles"


def ranges_of(flags: NDArray[np.bool_]) -> list[Range]:
    """First and last index of every run of True in (n,) bool."""
    edges = np.flatnonzero(np.diff(np.concatenate([[False], flags, [False]]).astype(np.int8)))
    return [(int(first), int(behind) - 1) for first, behind in edges.reshape(-1, 2)]


@dataclass
class Report:
    """What became of a stream: its own problems and those of its frames."""

    stream: Stream
    frames: list[FrameReport]

    @property
    def whole(self) -> int:
        """Frames of which nothing is missing."""
        return sum(not r.missing for r in self.frames)

    @property
    def problems(self) -> list[str]:
        """Everything that is not as it should be, in words; empty for a whole stream."""
        found = [f"byte {p.offset}: {p.message}" for p in self.stream.problems]
        for empty, some in groupby(self.frames, key=lambda r: r.empty):
            run = list(some)
            if empty and len(run) > 1:
                found.append(f"frames {run[0].frame}-{run[-1].frame}: not in the stream")
            else:
                found += [line for report in run for line in report.missing]
        return found


@dataclass
class Decoded:
    """Frames as they were given (bands, grid, offset), and the report."""

    frames: list[Frame]
    report: Report

    @property
    def problems(self) -> list[str]:
        """See `Report.problems`."""
        return self.report.problems

    @property
    def reports(self) -> list[FrameReport]:
        """Per frame."""
        return self.report.frames

    @property
    def header(self) -> Header:
        """Of the stream."""
        return self.report.stream.header
