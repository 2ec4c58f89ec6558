"""Errors of the system in words: the reason, and the file where the sentence does not name it yet."""

from __future__ import annotations

import os
import re
from pathlib import Path

_NUMPY_WRITES = re.compile(r"^(\d+) requested and (\d+) written$")  # what numpy makes of the system's error


def reason(error: BaseException, named: str | Path | None = None) -> str:
    """`No such file or directory` for `[Errno 2] No such file or directory: 'a.toml'` where a.toml is named already; of a file
    in a folder that is named, its name there before it; of other errors, their own text.
    """
    if isinstance(error, UnicodeDecodeError):
        return "expected text in UTF-8, found other bytes"
    if not isinstance(error, OSError) or not error.strerror:
        short = _NUMPY_WRITES.match(str(error))
        said = f"no room for {short[1]} samples (full disk, or a limit on file sizes)" if short else str(error)
        return said or type(error).__name__
    if not isinstance(error.filename, str):
        return error.strerror
    if named is None:
        return f"{error.filename}: {error.strerror}"
    where = os.path.relpath(error.filename, named)
    if where == ".":
        return error.strerror
    return f"{error.filename if where.startswith(os.pardir) else where}: {error.strerror}"
