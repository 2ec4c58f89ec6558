"""The check of import directions sees what it is to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.directions import circles, graph, modules, neighbours, upward


def made(root: Path, **files: str) -> dict[str, set[str]]:
    for name, text in files.items():
        path = root / (name.replace("__", "/") + ".py")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return graph(modules(root))


@pytest.mark.long
def test_imports_point_down() -> None:
    uses = graph(modules())
    assert len(uses) > 300 and upward(uses) == [] and circles(uses) == [] and circles(neighbours(uses)) == []


def test_an_arrow_up_is_found_even_inside_a_function(tmp_path: Path) -> None:
    uses = made(tmp_path, edge__a="def f():\n    from swathpack.tools import b\n", tools__b="import swathpack.edge.a\n")
    assert upward(uses) == ["swathpack.edge.a -> swathpack.tools.b"]
    assert circles(uses) == ["swathpack.edge.a <-> swathpack.tools.b"]


def test_folders_that_use_each_other_are_a_circle_though_their_files_are_none(tmp_path: Path) -> None:
    files = {
        "edge__a__low": "",
        "edge__a__high": "import swathpack.edge.b.x\n",
        "edge__b__x": "import swathpack.edge.a.low\n",
    }
    uses = made(tmp_path, **files)
    assert circles(uses) == [] and circles(neighbours(uses)) == ["swathpack.edge.a <-> swathpack.edge.b"]


def test_what_only_type_checkers_see_does_not_count(tmp_path: Path) -> None:
    text = "from typing import TYPE_CHECKING\nif TYPE_CHECKING:\n    from swathpack.tools import b\n"
    assert upward(made(tmp_path, edge__a=text, tools__b="")) == []
