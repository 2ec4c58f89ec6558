"""`python -m tests.sizes`: modules, lines, longest functions and files of each part, and loops of imports, as a table.

The table of docs/architecture.md.
"""

from __future__ import annotations

import ast
import sys
from pathlib import Path

from tests.directions import PARTS, ROOT, circles, graph, modules, neighbours


def functions(path: Path) -> list[tuple[int, str]]:
    """(lines, name) of every function of a file."""
    found = [n for n in ast.walk(ast.parse(path.read_text("utf-8"))) if isinstance(n, ast.FunctionDef)]
    return [((n.end_lineno or n.lineno) - n.lineno + 1, n.name) for n in found]


def row(name: str, paths: list[Path]) -> str:
    """One line of the table."""
    sizes = {path: path.read_text("utf-8").count("\n") for path in paths}
    lengths = sorted((length, f"{path.stem}.{name}") for path in paths for length, name in functions(path))
    longest, usual = max(paths, key=lambda path: sizes[path]), [lengths[len(lengths) * n // 10][0] for n in (5, 9)]
    cells = [len(paths), sum(sizes.values()), f"{usual[0]}, {usual[1]}", f"{lengths[-1][0]} `{lengths[-1][1]}`"]
    cells += [f"{sizes[longest]} `{longest.relative_to(ROOT / name)}`"]
    return f"| `{name}/` | {' | '.join(f'{c:,}' if isinstance(c, int) else c for c in cells)} |"


def main() -> int:
    sys.setrecursionlimit(10_000)
    found = modules()
    print("| part | modules | lines | functions: median, nine of ten at most | longest function | longest file |")
    print("|---|---|---|---|---|---|")
    for part in PARTS:
        print(row(part, [path for name, path in found.items() if name.split(".")[1] == part]))
    print(row("tests", sorted((ROOT / "tests").rglob("*.py"))))
    uses = graph(found)
    print(f"\nLoops of imports: {len({line for g in (uses, neighbours(uses)) for line in circles(g)})}.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
