"""Targets under libFuzzer, each in a process of its own.

python -m tests.fuzz.one NAME [libFuzzer's options] CORPUS...      one target
python -m tests.fuzz.one                                           a line of JSON for each, on standard input: [[NAME, ...], LOG]

The second form loads and instruments the package once and forks for every line, which takes a hundredth of the time; it
answers with the exit code.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import sys

SELF = "SWATHPACK_FUZZ_SELF"  # what libFuzzer starts when it wants this process once more, to merge


def load() -> None:
    """The package, instrumented, with its checksums off."""
    import atheris

    with atheris.instrument_imports(include=["swathpack"]):
        from tests.fuzz import targets
        from tests.fuzz.unchecked import switch_off

        targets.load_all()
    switch_off()


def fuzz(words: list[str]) -> None:
    """Fuzz one target; libFuzzer ends the process. words: as on the command line."""
    import atheris

    from tests.fuzz import targets

    target = targets.target_of(words[0])
    if os.path.isdir(words[-1]):
        for n, seed in enumerate(target.seeds):
            with open(f"{words[-1]}/seed-{n}", "wb") as file:
                file.write(seed)

    def call(data: bytes) -> None:
        with contextlib.suppress(*target.errors):
            target.call(data)

    atheris.Setup([os.environ.get(SELF, sys.argv[0]), *words[1:]], call)
    atheris.Fuzz()


LEAVE = ctypes.CFUNCTYPE(None, ctypes.c_void_p)(lambda _: os._exit(0))


def leave_at_once() -> None:
    """At the end of a run, nothing behind it: atheris joins a thread then that a fork does not have. What libFuzzer finds
    ends the process in another way, with a code of its own.
    """
    ctypes.CDLL(None)["__cxa_atexit"](LEAVE, None, None)


def serve() -> None:
    """A fork for every line."""
    load()
    for line in sys.stdin:
        words, log = json.loads(line)
        child = os.fork()
        if not child:
            try:
                handle = os.open(log, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
                os.dup2(handle, 1)
                os.dup2(handle, 2)
                leave_at_once()
                fuzz(words)
            except (
                BaseException
            ):  # of a parser, told by atheris: libFuzzer keeps the input and leaves with a code of its own
                os.abort()
            finally:
                os._exit(70)
        print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)


def main() -> None:
    if len(sys.argv) < 2:
        serve()
        return
    load()
    fuzz(sys.argv[1:])


if __name__ == "__main__":
    main()
