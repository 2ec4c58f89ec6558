"""`python -m tests.docstrings`: every module and every public class, function and method says what it is.

A docstring that only repeats the name counts as none. None is asked of

- a method that a base class documents, or a class (a Protocol, mostly) that the class's docstring names in backticks;
- a property or method that the class's docstring explains, as fields are: `name: what it is`;
- `main`, and `add_arguments` and `run` of a command: their module's docstring is theirs;
- what is private, a dunder, a setter, or inside a function.

Prints what is missing, exit code 1 then; part of `make lint`.
"""

from __future__ import annotations

import ast
import importlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from tests.directions import ROOT, modules

EXCUSED: tuple[str, ...] = ()  # may lack one; one that needs no excuse any more is reported
FILLER = {"a", "an", "the", "of", "for", "in", "is", "it", "this", "to", "return", "get"}

Function = ast.FunctionDef | ast.AsyncFunctionDef
Table = dict[str, dict[str, "Class"]]  # by name, then by full name


@dataclass
class Class:
    """A class as written: bases and docstring's backticked words as `others`, methods with and without docstring."""

    node: ast.ClassDef
    others: list[str] = field(default_factory=list)
    methods: list[Function] = field(default_factory=list)

    def documents(self, name: str) -> bool:
        """Whether the member has a docstring that counts, or the class's explains it; here and not in a base."""
        explained = re.search(rf"(?<![\w.]){name}((, | and )\w+)*: ", ast.get_docstring(self.node) or "")
        return explained is not None or any(m.name == name and says_something(m) for m in self.methods)


def says_something(node: Function | ast.ClassDef) -> bool:
    """Whether there is a docstring with a word that is not in the name already; singular and plural are one."""
    words = re.findall("[a-z0-9]+", (ast.get_docstring(node) or "").lower())
    name = re.findall("[a-z0-9]+", re.sub("(?<=[a-z0-9])(?=[A-Z])", "_", node.name).lower())
    return bool({w.rstrip("s") for w in words} - {w.rstrip("s") for w in name} - FILLER)


def statements(node: ast.AST) -> Iterator[ast.stmt]:
    """Those of a module or a class, and under its `if`s and `try`s; not what is inside of functions and classes."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.stmt):
            yield child
        if isinstance(child, (ast.If, ast.Try, ast.With, ast.ExceptHandler)):
            yield from statements(child)


def classes(module: str, tree: ast.Module) -> dict[str, Class]:
    """The classes of a module by their full names."""
    imports = (node for node in statements(tree) if isinstance(node, ast.ImportFrom))
    names = {alias.asname or alias.name: f"{node.module}.{alias.name}" for node in imports for alias in node.names}
    nodes = [node for node in statements(tree) if isinstance(node, ast.ClassDef)]
    names |= {node.name: f"{module}.{node.name}" for node in nodes}
    found = {}
    for node in nodes:
        bases = [ast.unparse(base.value if isinstance(base, ast.Subscript) else base) for base in node.bases]
        named = re.findall(r"`([\w.]+)`", ast.get_docstring(node) or "")
        methods = [one for one in statements(node) if isinstance(one, Function)]
        found[names[node.name]] = Class(node, [names.get(word, word) for word in bases + named], methods)
    return found


def inherited(name: str, one: Class, table: Table, seen: frozenset[str] = frozenset()) -> bool:
    """Whether a base of the class, or a class that its docstring names, documents the method; at any distance."""
    for other in set(one.others) - seen:
        module, _, word = other.rpartition(".")
        known = [other] if other in table.get(word, {}) else [*table.get(word, {})]
        for full in known:
            above = table[word][full]
            if above.documents(name) or inherited(name, above, table, seen | {other, full}):
                return True
        if module in sys.stdlib_module_names and hasattr(getattr(importlib.import_module(module), word, None), name):
            return True  # documented there
    return False


def _asked(method: Function) -> bool:
    """Whether a method must be documented somewhere."""
    marks = {ast.unparse(mark).split(".")[-1] for mark in method.decorator_list}
    return not (method.name.startswith("_") or {"setter", "deleter", "overload"} & marks)


def _wrong_in(module: str, tree: ast.Module, own: dict[str, Class], table: Table) -> Iterator[tuple[int, str]]:
    """(line, name) of what is missing in a module; own: its classes."""
    if not ast.get_docstring(tree):
        yield 1, "module"
    spoken_for = {"main"} | ({"add_arguments", "run"} if ".tools.commands." in module else set())
    for node in statements(tree):
        public = isinstance(node, (Function, ast.ClassDef)) and not node.name.startswith("_")
        if public and node.name not in spoken_for and not says_something(node):
            yield node.lineno, node.name
    for one in (one for one in own.values() if not one.node.name.startswith("_")):
        for method in filter(_asked, one.methods):
            if not (one.documents(method.name) or inherited(method.name, one, table)):
                yield method.lineno, f"{one.node.name}.{method.name}"


def missing(found: dict[str, Path], root: Path = ROOT) -> list[str]:
    """`file:line: name` of all that should have a docstring and has none."""
    trees = {name: ast.parse(path.read_text("utf-8")) for name, path in found.items()}
    written = {name: classes(name, tree) for name, tree in trees.items()}
    table: Table = {}
    for full, one in (pair for own in written.values() for pair in own.items()):
        table.setdefault(one.node.name, {})[full] = one
    lines = []
    for name, tree in trees.items():
        where = found[name].relative_to(root).as_posix()
        lines += [f"{where}:{line}: {word}" for line, word in sorted(_wrong_in(name, tree, written[name], table))]
    return lines


def main(root: Path = ROOT, excused: tuple[str, ...] = EXCUSED) -> int:
    found = modules(root) | {f"swathpack.{path.stem}": path for path in sorted((root / "swathpack").glob("*.py"))}
    lines = missing(found, root)
    names = {line: line.split(": ")[1] for line in lines}
    wrong = [f"no docstring: {line}" for line in lines if names[line] not in excused]
    wrong += [f"EXCUSED, and not missing: {name}" for name in excused if name not in names.values()]
    print("\n".join(wrong) or f"{len(found)} modules: nothing lacks its docstring")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
