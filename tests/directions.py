"""`python -m tests.directions`: imports point down, between parts, folders and files, those in functions too.

Of what stands in one folder, files and folders alike, each may be used from one side only: no two reach into each other,
nor any circle of them. Prints what points up or in a circle, exit code 1 then; part of `make lint`. Imports for type
checkers only do not count.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
PARTS = ("edge", "codec", "calibration", "export", "tools", "hil_tests")  # low to high
Graph = dict[str, set[str]]


def modules(root: Path = ROOT) -> dict[str, Path]:
    """Every module of the parts by its dotted name."""
    found = {}
    for part in PARTS:
        for path in sorted((root / part).rglob("*.py")):
            words = path.relative_to(root).with_suffix("").parts
            found[".".join(("swathpack", *(words[:-1] if words[-1] == "__init__" else words)))] = path
    return found


def _imports(tree: ast.AST) -> Iterator[tuple[str, str]]:
    """(module, name) of every import that runs; name is empty for `import module`."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.If) and "TYPE_CHECKING" in ast.unparse(node.test):
            for other in node.orelse:
                yield from _imports(other)
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            yield from ((node.module, alias.name) for alias in node.names)
        elif isinstance(node, ast.Import):
            yield from ((alias.name, "") for alias in node.names)
        else:
            yield from _imports(node)


def graph(found: dict[str, Path]) -> Graph:
    """Which modules each module imports."""
    out: Graph = {}
    for name, path in found.items():
        uses = (f"{m}.{n}" if f"{m}.{n}" in found else m for m, n in _imports(ast.parse(path.read_text("utf-8"))))
        out[name] = {used for used in uses if used in found and used != name}
    return out


def upward(uses: Graph) -> list[str]:
    """Imports of a higher part by a lower one."""
    level = {part: i for i, part in enumerate(PARTS)}
    pairs = ((a, b) for a, used in uses.items() for b in sorted(used))
    return [f"{a} -> {b}" for a, b in pairs if level[b.split(".")[1]] > level[a.split(".")[1]]]


def neighbours(uses: Graph) -> Graph:
    """The same between what stands side by side: `a.b.c -> a.d.e` is `a.b -> a.d`."""
    out: Graph = {}
    for a, used in uses.items():
        for b in used:
            pair = list(zip(a.split("."), b.split(".")))
            depth = next((i for i, (x, y) in enumerate(pair) if x != y), len(pair)) + 1
            one, other = (".".join(name.split(".")[:depth]) for name in (a, b))
            if depth <= len(pair):  # else the one is the other's own folder
                out.setdefault(one, set()).add(other)
                out.setdefault(other, set())
    return out


def circles(uses: Graph) -> list[str]:
    """Groups of modules that import each other (Tarjan's strongly connected components)."""
    number: dict[str, int] = {}
    low: dict[str, int] = {}
    stack: list[str] = []
    found: list[str] = []

    def visit(v: str) -> None:
        number[v] = low[v] = len(number)
        stack.append(v)
        for w in sorted(uses[v]):
            if w not in number:
                visit(w)
            if w in stack:
                low[v] = min(low[v], low[w])
        if low[v] == number[v]:
            at = stack.index(v)
            if len(stack) - at > 1:
                found.append(" <-> ".join(sorted(stack[at:])))
            del stack[at:]

    for v in uses:
        if v not in number:
            visit(v)
    return found


def main() -> int:
    sys.setrecursionlimit(10_000)
    uses = graph(modules())
    wrong = [f"points up: {line}" for line in upward(uses)] + [
        f"circle: {line}" for g in (uses, neighbours(uses)) for line in circles(g)
    ]
    print("\n".join(dict.fromkeys(wrong)) or f"{len(uses)} modules: imports point down")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
