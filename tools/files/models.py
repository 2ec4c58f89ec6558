"""The models that tools work with, each opened once in a process: half a second of proofs on golden vectors otherwise, a call."""

from __future__ import annotations

import argparse
import os
from functools import lru_cache
from pathlib import Path

from swathpack.codec.restored import Restorer
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel, ModelError
from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.synthesis import SYNTHESES
from swathpack.tools.options import whole_number

MAX_THREADS = 256


def checked_threads(threads: object) -> int:
    """A number of threads that means something. Raises UsageError."""
    number = whole_number("threads", threads)
    if not 1 <= number <= MAX_THREADS:
        raise UsageError(f"--threads: expected 1 to {MAX_THREADS}, found {number}")
    return number


def open_model(folder: str | Path = DEFAULT_DIRECTORY, threads: int = 1, engine: str = "auto") -> EdgeModel:
    """The model of a folder; the one of before as long as its files are those of before. Raises UserError."""
    try:
        return _opened(Path(folder), _state(Path(folder)), threads, engine)
    except ModelError as error:
        raise UserError(str(error)) from error


@lru_cache(maxsize=1)  # a model is some 150 MB
def _opened(folder: Path, _: tuple[object, ...], threads: int, engine: str) -> EdgeModel:
    return EdgeModel(folder, threads, engine)


def open_restorer(synthesis: str, threads: int = 1) -> Restorer | None:
    """Who restores frames by a synthesis of that name, nobody by `fast`. Raises UserError."""
    if synthesis not in SYNTHESES:
        raise UsageError(f"--synthesis: expected one of {', '.join(SYNTHESES)}, found {synthesis!r}")
    try:
        return Restorer(threads=threads) if synthesis == "best" else None
    except ModelError as error:
        raise UserError(str(error)) from error


def add_synthesis(parser: argparse.ArgumentParser) -> None:
    """The option of commands that draw images."""
    how = "best: frames are restored by a network where that was shown to win (docs/pictures.md)"
    parser.add_argument("--synthesis", choices=SYNTHESES, default=SYNTHESES[0], help=how)


def _state(folder: Path) -> tuple[object, ...]:
    """What changes where a file of the folder does; empty where there is none to look at."""
    try:
        with os.scandir(folder) as entries:
            found = [(e.name, e.stat()) for e in entries]
    except OSError:
        return ()
    return tuple(sorted((name, s.st_ino, s.st_size, s.st_mtime_ns, s.st_ctime_ns) for name, s in found))
