"""See the package's docstring."""

from __future__ import annotations

import argparse
import importlib
import sys
import tempfile
from pathlib import Path

from swathpack.edge.spoken import reason

NAMES = (
    "budgets",
    "loss",
    "kill",
    "disk",
    "fuzz",
    "soak",
    "erasure",
    "rate",
    "powercut",
    "forgery",
    "hostile",
    "splices",
)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m swathpack.hil_tests.promises")
    parser.add_argument("name", choices=NAMES)
    parser.add_argument("--size", type=int, help="passes, kills, tiles or seconds: see the campaign")
    parser.add_argument("--codec", choices=["fake", "edge"], default="fake")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    args = parser.parse_args()
    if args.size is not None and args.size < 1:
        parser.error(f"--size: expected at least 1, found {args.size}")
    try:
        if args.folder is not None:
            args.folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        parser.error(f"--folder {args.folder}: expected a folder: {reason(error, args.folder)}")
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        text, good = _run(args, Path(name))
    print(text)
    if not good:
        print("not shown: something above is wrong, or so small a --size did no harm to look at", file=sys.stderr)
    return 0 if good else 1


def _run(args: argparse.Namespace, folder: Path) -> tuple[str, bool]:
    module = importlib.import_module(f"swathpack.hil_tests.promises.{args.name}")
    text, good = module.main(folder, args.size, args.codec)
    return str(text), bool(good)


if __name__ == "__main__":
    sys.exit(main())
