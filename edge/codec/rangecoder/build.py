"""Build the C range coder beside its source: `python -m swathpack.edge.codec.rangecoder.build` prints the library's path.

Needs a C11 compiler: $CC, or cc, gcc or clang on the PATH. The library is moved into place in one step, so
that a process that starts meanwhile sees the old one or the new one.
"""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path

from swathpack.edge.clibrary import FOLDER, SOURCES, library_path, source_digest
from swathpack.edge.spoken import reason

# No contraction: a multiply-add that rounds once draws other pixels than one that rounds twice.
FLAGS = ("-std=c11", "-O3", "-ffp-contract=off", "-fPIC", "-fvisibility=hidden")


class BuildError(Exception):
    """No compiler, or the compiler refused."""


def find_compiler() -> list[str]:
    """The compiler command, as words; BuildError when there is none."""
    wanted = os.environ.get("CC")
    if wanted:
        command = shlex.split(wanted)
        found = shutil.which(command[0]) if command else None
        if found:
            return [os.path.abspath(found), *command[1:]]  # sources are compiled in another folder
        raise BuildError(f"CC={wanted!r} was not found; unset CC or name a C compiler")
    for name in ("cc", "gcc", "clang"):
        if shutil.which(name):
            return [name]
    raise BuildError(
        "no C compiler found (looked for cc, gcc, clang); install one (Debian: apt install gcc) or set CC. "
        "Without it the slow Python range coder is used"
    )


def build(directory: Path | None = None) -> Path:
    """Compile the C sources and put the library in place; returns its path."""
    target = library_path(directory)
    compiler = find_compiler()
    try:
        handle, name = tempfile.mkstemp(suffix=".so", dir=target.parent)
    except OSError as error:
        raise BuildError(f"cannot write to {target.parent}: {reason(error, target.parent)}") from error
    os.close(handle)
    try:
        compile_library(compiler, Path(name))
        os.chmod(name, 0o755)
        os.replace(name, target)
    finally:
        Path(name).unlink(missing_ok=True)
    return target


def compile_library(compiler: Sequence[str], out: Path, link: Sequence[str] = ()) -> None:
    """SOURCES into the library `out` (absolute), as many at a time as there are processors; `link`: more words for the linker.
    BuildError where the compiler refuses.

    Names are relative to FOLDER and linked in one order: the same sources and compiler give the same bytes.
    """
    define = f'-DSP_SOURCE_DIGEST="{source_digest()}"'
    with tempfile.TemporaryDirectory() as folder, ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        objects = {path: str(Path(folder, f"{i}.o")) for i, path in enumerate(SOURCES)}
        each = partial(_run, (*compiler, *FLAGS, define, "-c", "-o"))
        largest_first = sorted(objects, key=lambda path: -path.stat().st_size)
        list(pool.map(each, [(objects[path], str(path.relative_to(FOLDER))) for path in largest_first]))
        _run((*compiler, "-shared", *link, "-o", str(out)), [*objects.values(), "-lm"])


def _run(command: Sequence[str], more: Sequence[str]) -> None:
    words = [*command, *more]
    result = subprocess.run(words, cwd=FOLDER, capture_output=True, text=True)
    if result.returncode != 0:
        raise BuildError(f"{shlex.join(words)} failed:\n{result.stderr.strip()}")


def main() -> int:
    try:
        path = build()
    except BuildError as error:
        sys.stderr.write(f"error: {error}\n")
        return 1
    sys.stdout.write(f"{path}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
