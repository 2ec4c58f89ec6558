"""The small TOML reader agrees with the standard library's, or refuses."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from swathpack.edge.toml_lite import TomlError, parse

tomllib = pytest.importorskip("tomllib")

GOOD = [
    "",
    "# only a comment\n",
    "a = 1\nb = -2\nc = +3\nd = 1_000\ne = 0",
    "a = 1.5\nb = -0.25e-3\nc = 6.02E23\nd = 1e6\ne = inf\nf = -inf\n",
    "a = true\nb = false # why\n",
    'a = "x # y"\nb = \'c:\\raw\'\nc = "tab\\t quote\\" back\\\\ \\u00e9 \\U0001F6F0"',
    "[a]\nx = 1\n[a.b]\ny = 2\n[c]\n",
    "[a.b]\ny = 2\n[a]\nx = 1\n",
    "[[p]]\nid = 1\n[[p]]\nid = 2\n[p.q]\nz = 3\n[[p.r]]\nw = 1\n[[p.r]]\nw = 2\n[[p]]\n",
    'a = [1, 2,\n  3, # three\n ]\nb = [[1, 2], ["x"]]\nc = []\n',
    'a = { x = 1, "y z" = [1, { w = 2 }] }\nb = {}\n',
    "\"quoted key\" = 1\n'another' = 2\nbare-key_1 = 3\n1234 = 4\n",
    "a = 1\r\nb = 2\r\n",
    "[ spaced . name ]\nx = 1",
]
BAD = [
    "a",
    "a =",
    "a = 1 b = 2",
    "a = 1\na = 2",
    "[a]\n[a]",
    "a = 1\n[a]",
    "a = {x = 1}\n[a.b]",
    "a = [1]\n[[a]]",
    '"a',
    'a = "x',
    'a = "\\q"',
    'a = "\\ud800"',
    "a = [1 2]",
    "a = [1,",
    "a = {x = 1,}",
    "a = 01",
    "a = 1__0",
    "a = 1.",
    "a = .5",
    "a = tru",
    "a = truex",
    "[a",
    "[[a]",
    "= 1",
    "a = nope",
    "a = 1e",
    "a = _1",
    "[a]]\n",
    "a = 1_",
]
OUTSIDE = ["a.b = 1", "a = 1979-05-27", 'a = """x"""', "a = 0x10", "a = 1979-05-27T07:32:00Z"]


@pytest.mark.parametrize("text", GOOD)
def test_agrees_with_tomllib(text: str) -> None:
    assert parse(text) == tomllib.loads(text)
    assert repr(parse(text)) == repr(tomllib.loads(text))  # 1 is not 1.0, True is not 1


@pytest.mark.parametrize("text", BAD)
def test_refuses_what_tomllib_refuses(text: str) -> None:
    with pytest.raises(tomllib.TOMLDecodeError):
        tomllib.loads(text)
    with pytest.raises(TomlError):
        parse(text)


@pytest.mark.parametrize("text", OUTSIDE)
def test_refuses_what_is_outside_the_subset(text: str) -> None:
    tomllib.loads(text)
    with pytest.raises(TomlError):
        parse(text)


def test_names_the_line() -> None:
    with pytest.raises(TomlError, match="line 3"):
        parse("a = 1\n\nb = ?\n")


def test_nan() -> None:
    assert math.isnan(parse("a = nan")["a"])


@settings(max_examples=300, deadline=None)
@given(st.text(alphabet="ab1=[]{}\".,\n #\\-+_et'", max_size=40))
def test_never_disagrees_on_random_text(text: str) -> None:
    try:
        found = parse(text)
    except TomlError:
        return
    assert repr(found) == repr(tomllib.loads(text))


def test_reads_the_project_presets() -> None:
    files = sorted((Path(__file__).parents[2] / "tools/plan/presets").glob("*.toml"))
    for path in files:
        text = path.read_text(encoding="utf-8")
        assert parse(text) == tomllib.loads(text), path.name
