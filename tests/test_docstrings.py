"""The check of docstrings sees what it is to see."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import docstrings
from tests.directions import modules
from tests.docstrings import missing


def found(root: Path, text: str, name: str = "edge/a.py") -> list[str]:
    """Names without docstring in a tree that has this module, with a docstring, beside edge/port.py with the Protocol Port."""
    files = {"edge/port.py": PORT, name: f'"""Things."""\n{text}'}
    for file, content in files.items():
        path = root / file
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(content)
    lines = missing(modules(root), root)
    assert all(line.startswith(f"{name}:") for line in lines)
    return [line.split(": ")[1] for line in lines]


PORT = '''"""Ways off the board."""
class Port(Protocol):
    """A way off the board."""

    def send(self, packet):
        """Hand over one packet."""
'''


@pytest.mark.slow
def test_everything_has_its_docstring(capsys: pytest.CaptureFixture[str]) -> None:
    """What lint asks beside the tests."""
    assert docstrings.main() == 0, capsys.readouterr().out


def test_functions_classes_and_methods_are_asked_for_those_under_an_if_too(tmp_path: Path) -> None:
    text = "def f(): ...\nif x:\n    class C:\n        def m(self): ...\n        async def n(self): ...\n"
    assert found(tmp_path, text) == ["f", "C", "C.m", "C.n"]


def test_what_is_private_inside_or_a_setter_is_not_asked_for(tmp_path: Path) -> None:
    text = '''
def _f():
    def g(): ...
class _C:
    def m(self): ...
class D:
    """Says something."""
    def _m(self): ...
    def __len__(self): ...
    @property
    def size(self):
        """In bytes."""
    @size.setter
    def size(self, value): ...
'''
    assert found(tmp_path, text) == []


@pytest.mark.parametrize("doc", ["", "Open model.", "Opens the models.", "To open a model"])
def test_a_docstring_that_repeats_the_name_is_none(tmp_path: Path, doc: str) -> None:
    assert found(tmp_path, f'def open_model():\n    """{doc}"""\n') == ["open_model"]
    assert found(tmp_path, 'def open_model():\n    """Open a model. Raises ModelError."""\n') == []


CLASS = '''
from swathpack.edge.port import Port
class Radio{bases}:
    """{doc}"""
    def send(self, packet): ...
'''


@pytest.mark.parametrize(
    ("bases", "doc", "wrong"),
    [
        ("", "Over the air.", ["Radio.send"]),
        ("", "A Port over the air.", ["Radio.send"]),
        ("", "A `Port` over the air.", []),
        ("", "A `swathpack.edge.port.Port` over the air.", []),
        ("(Port)", "Over the air.", []),
        ("(Port[int])", "Over the air.", []),
        ("(Unknown)", "Over the air.", ["Radio.send"]),
        ("", "A `Radio` of its own kind.", ["Radio.send"]),
        ("", "Over the air.\n\n    send: one packet.", []),
    ],
)
def test_a_base_a_protocol_that_is_named_or_the_class_may_speak_for_a_method(
    tmp_path: Path, bases: str, doc: str, wrong: list[str]
) -> None:
    assert found(tmp_path, CLASS.format(bases=bases, doc=doc)) == wrong


def test_a_base_speaks_at_any_distance_and_only_for_what_it_documents(tmp_path: Path) -> None:
    text = CLASS.format(bases="(_Between)", doc="Over the air.") + "    def receive(self): ...\n"
    assert found(tmp_path, text + "class _Between(Port): ...\n") == ["Radio.receive"]


def test_a_base_of_the_standard_library_speaks_for_what_it_has(tmp_path: Path) -> None:
    text = 'import io\nclass Sink(io.RawIOBase):\n    """To disk."""\n    def seek(self, to): ...\n    def heat(self): ...\n'
    assert found(tmp_path, text) == ["Sink.heat"]


def test_main_and_the_two_of_a_command_are_their_modules(tmp_path: Path) -> None:
    text = "def main(): ...\ndef run(): ...\ndef add_arguments(): ...\n"
    assert found(tmp_path, text) == ["run", "add_arguments"]
    assert found(tmp_path / "b", text, "tools/commands/count.py") == []


def test_a_module_needs_one(tmp_path: Path) -> None:
    (tmp_path / "edge").mkdir()
    (tmp_path / "edge/__init__.py").write_text("")
    assert missing(modules(tmp_path), tmp_path) == ["edge/__init__.py:1: module"]


def test_what_is_missing_is_printed_with_its_place(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert found(tmp_path, "\n\ndef f(): ...\n") == ["f"]
    assert docstrings.main(tmp_path, ()) == 1
    assert capsys.readouterr().out == "no docstring: edge/a.py:4: f\n"


def test_one_may_be_excused_as_long_as_it_needs_to_be(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    found(tmp_path, "def f(): ...\n")
    assert docstrings.main(tmp_path, ("f",)) == 0
    capsys.readouterr()
    assert docstrings.main(tmp_path, ("f", "g")) == 1
    assert capsys.readouterr().out == "EXCUSED, and not missing: g\n"
