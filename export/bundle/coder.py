"""The range coder's C library for the board, built here where a cross compiler is there."""

from __future__ import annotations

import os
import subprocess
import tempfile
from pathlib import Path

from swathpack.edge.clibrary import FOLDER, SOURCES, source_digest
from swathpack.edge.codec.rangecoder.build import FLAGS

COMPILER = "aarch64-linux-gnu-gcc"
LIBRARY = "_coder_linux_aarch64.so"  # the name that swathpack.edge.clibrary looks for on the board


class CoderMissing(Exception):  # noqa: N818
    """No cross compiler, or it refused; the message says what to do."""


def cross_compiled() -> bytes:
    """The library; the same sources and compiler give the same bytes. Raises CoderMissing."""
    compiler = os.environ.get("SWATHPACK_AARCH64_CC", COMPILER)
    with tempfile.TemporaryDirectory() as folder:
        out = Path(folder, LIBRARY)
        # Relative names in a fixed folder: no path of this machine gets into the library.
        names = [str(path.relative_to(FOLDER)) for path in SOURCES]
        define = f'-DSP_SOURCE_DIGEST="{source_digest()}"'
        command = [compiler, *FLAGS, "-Wl,--build-id=none", define, "-o", str(out), *names]
        try:
            done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, check=False)
        except OSError as error:
            hint = "Debian and Ubuntu: apt install gcc-aarch64-linux-gnu"
            raise CoderMissing(f"{compiler}: {error.strerror}; {hint}") from error
        if done.returncode:
            raise CoderMissing(f"{compiler} failed: {done.stderr.strip()[:300]}")
        return out.read_bytes()
