"""The board's own tests on an emulated aarch64 processor, with the codec's C code compiled for it.

    python -m swathpack.hil_tests.boards.emulated_tests                       tests/edge/codec: an hour of one core
    python -m swathpack.hil_tests.boards.emulated_tests tests/edge/stream     what pytest takes: files, folders, -k, --durations

Needs `python -m swathpack.hil_tests.boards.emulated_root` once and gcc-aarch64-linux-gnu. Tests run from a checkout: they are no part of an
installed package. Exits as pytest does; 2 where something is missing.
"""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

from swathpack.hil_tests.boards.emulated_root import ROOT, EmulationMissing, install_wheels, place_coder, python_under

CHECKOUT = Path(__file__).resolve().parents[2]
DEFAULT = ("tests/edge/codec", "-m", "not slow", "--ignore=tests/edge/codec/engines")  # engines need what no board has
PACKAGES = ("pytest>=8,<10", "hypothesis>=6,<7")
# Behind all else in the path: what the board's own packages bring counts.
START = "import sys; sys.path.append(sys.argv.pop(1)); import pytest; sys.exit(pytest.main(sys.argv[1:]))"


def command(wheels: Path, wanted: Sequence[str]) -> list[str]:
    """Raises EmulationMissing."""
    return [
        *python_under("aarch64"),
        "-c",
        START,
        str(wheels),
        "-o",
        "addopts=",
        "-p",
        "no:cacheprovider",
        "-q",
        *wanted,
    ]


def run(wanted: Sequence[str]) -> int:
    """Exit status of pytest there. Raises EmulationMissing."""
    if not (CHECKOUT / "tests").is_dir():
        raise EmulationMissing(f"expected a checkout with tests, found none in {CHECKOUT}")
    wheels = ROOT / "opt/test-wheels"
    line = command(wheels, wanted or DEFAULT)
    if missing := place_coder():
        raise EmulationMissing(missing)
    if not wheels.exists():
        install_wheels(wheels, PACKAGES)
    return subprocess.run(line, cwd=CHECKOUT, check=False).returncode


def main() -> int:
    if {"-h", "--help"} & set(sys.argv[1:]):
        print(__doc__)
        return 0
    try:
        return run(sys.argv[1:])
    except EmulationMissing as error:
        print(f"error: {error}", file=sys.stderr)
        return 2


if __name__ == "__main__":
    sys.exit(main())
