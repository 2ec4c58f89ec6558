"""One target under libFuzzer, in a process of its own.

python -m tests.fuzz.one NAME [libFuzzer's options] CORPUS...
"""

from __future__ import annotations

import contextlib
import os
import sys

SELF = "SWATHPACK_FUZZ_SELF"  # what libFuzzer starts when it wants this process once more, to merge


def main() -> None:
    import atheris

    with atheris.instrument_imports(include=["swathpack"]):
        from tests.fuzz import targets
        from tests.fuzz.unchecked import switch_off
    switch_off()
    target = targets.target_of(sys.argv[1])
    if os.path.isdir(sys.argv[-1]):
        for n, seed in enumerate(target.seeds):
            with open(f"{sys.argv[-1]}/seed-{n}", "wb") as file:
                file.write(seed)

    def call(data: bytes) -> None:
        with contextlib.suppress(*target.errors):
            target.call(data)

    atheris.Setup([os.environ.get(SELF, sys.argv[0]), *sys.argv[2:]], call)
    atheris.Fuzz()


if __name__ == "__main__":
    main()
