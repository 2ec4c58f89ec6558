"""The range coder's C library for the board, built here where a cross compiler is there."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

from swathpack.edge.codec.rangecoder.build import BuildError, compile_library

COMPILER = "aarch64-linux-gnu-gcc"
LIBRARY = "_coder_linux_aarch64.so"  # the name that swathpack.edge.clibrary looks for on the board


class CoderMissing(Exception):  # noqa: N818
    """No cross compiler, or it refused; the message says what to do."""


def cross_compiled() -> bytes:
    """The library; the same sources and compiler give the same bytes. Raises CoderMissing."""
    compiler = os.environ.get("SWATHPACK_AARCH64_CC", COMPILER)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, LIBRARY)
        try:
            compile_library([compiler], out, ["-Wl,--build-id=none"])
        except OSError as error:
            hint = "Debian and Ubuntu: apt install gcc-aarch64-linux-gnu"
            raise CoderMissing(f"{compiler}: {error.strerror}; {hint}") from error
        except BuildError as error:
            raise CoderMissing(str(error)[-300:]) from error
        return out.read_bytes()
