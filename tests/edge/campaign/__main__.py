"""See the package's docstring."""

from __future__ import annotations

import argparse
import sys
import tempfile
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.edge.campaign")
    parser.add_argument("name", choices=["budgets", "loss", "kill", "disk", "fuzz", "soak", "erasure", "rate"])
    parser.add_argument("--size", type=int, help="passes, kills, tiles or seconds: see the campaign")
    parser.add_argument("--codec", choices=["fake", "edge"], default="fake")
    parser.add_argument("--folder", type=Path, help="where to work (default: a temporary folder)")
    args = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=args.folder) as name:
        text, good = _run(args, Path(name))
    print(text)
    return 0 if good else 1


def _run(args: argparse.Namespace, folder: Path) -> tuple[str, bool]:
    if args.name == "budgets":
        from tests.edge.campaign import budgets

        results = budgets.campaign(folder, args.size or 200)
        return budgets.report(results), all(r.good for r in results)
    if args.name == "loss":
        from tests.edge.campaign import loss

        found = loss.campaign(folder, args.size or 40, 1500 * (args.size or 40))
        return loss.report(found), not any(r.wrong for r in found)
    if args.name == "kill":
        from tests.edge.campaign import kill

        result = kill.campaign(folder, args.size or 300)
        return kill.report(result), not (result.wrong or result.lost_frames or result.over_budget or result.crashes)
    import importlib

    module = importlib.import_module(f"tests.edge.campaign.{args.name}")
    return module.main(folder, args.size, args.codec)


if __name__ == "__main__":
    sys.exit(main())
