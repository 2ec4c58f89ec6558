"""TOML for the flight runtime, which also runs on Python 3.10 where the standard library has no reader.

`loads` uses `tomllib` where it exists (Python 3.11 and newer) and `parse` elsewhere. `parse` reads the part
of TOML 1.0 that this project writes: comments, `[table]` and `[[array]]` headers (dotted names too),
bare and quoted keys, one-line strings, integers, floats, booleans, arrays over several lines, inline tables.
Everything else (dates, multi-line strings, dotted keys, hex numbers) is refused with its line, so a file
either means the same to both readers or is rejected here; the tests hold `parse` against `tomllib`.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

_BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")
_NUMBER = re.compile(r"[+-]?(?:inf|nan|[0-9][0-9_]*(?:\.[0-9][0-9_]*)?(?:[eE][+-]?[0-9][0-9_]*)?)")
_INTEGER = re.compile(r"[+-]?(?:0|[1-9](?:_?[0-9])*)")
_DIGITS = r"[0-9](?:_?[0-9])*"
_FLOAT = re.compile(rf"[+-]?(?:inf|nan|(?:0|[1-9](?:_?[0-9])*)(?:\.{_DIGITS})?(?:[eE][+-]?{_DIGITS})?)")
_ESCAPES = {"b": "\b", "t": "\t", "n": "\n", "f": "\f", "r": "\r", '"': '"', "\\": "\\"}
_VALUE_END = " \t\r\n,]}#"


class TomlError(ValueError):
    """Text that is no TOML, or TOML outside the subset. The message names the line."""


def loads(text: str) -> dict[str, Any]:
    """The document as nested dicts. Raises TomlError."""
    reader = _standard_reader()
    return parse(text) if reader is None else reader(text)


def _standard_reader() -> Callable[[str], dict[str, Any]] | None:
    """`tomllib.loads` with its error translated, or None on Python 3.10."""
    try:
        import tomllib
    except ModuleNotFoundError:
        return None

    def read(text: str) -> dict[str, Any]:
        try:
            return tomllib.loads(text)
        except tomllib.TOMLDecodeError as error:
            raise TomlError(str(error)) from error

    return read


def parse(text: str) -> dict[str, Any]:
    """The document as nested dicts, without `tomllib`. Raises TomlError."""
    return _Parser(text.replace("\r\n", "\n")).document()


class _Parser:
    """Recursive descent over one text; `_at` is the next character."""

    def __init__(self, text: str) -> None:
        self._text = text
        self._at = 0
        self._root: dict[str, Any] = {}
        # Headers and inline tables may not be opened twice; ids stay valid because the document holds them.
        self._closed: set[int] = set()

    def document(self) -> dict[str, Any]:
        table = self._root
        while True:
            self._skip(" \t\n", comments=True)
            if self._at >= len(self._text):
                return self._root
            if self._peek() == "[":
                table = self._header()
            else:
                self._pair(table)
            self._end_of_line()

    def _header(self) -> dict[str, Any]:
        """Open `[a.b]` or `[[a.b]]` and return the table that the following pairs fill."""
        many = self._text.startswith("[[", self._at)
        self._at += 2 if many else 1
        names = [self._key()]
        while self._peek() == ".":
            self._at += 1
            names.append(self._key())
        self._expect("]]" if many else "]")
        table = self._root
        for name in names[:-1]:
            table = self._descend(table, name)
        return self._append(table, names[-1]) if many else self._open(table, names[-1])

    def _descend(self, table: dict[str, Any], name: str) -> dict[str, Any]:
        inner = table.setdefault(name, {})
        if isinstance(inner, list) and inner and id(inner) not in self._closed:
            inner = inner[-1]
        if not isinstance(inner, dict) or isinstance(inner, _Inline):
            raise self._error(f"{name!r} is a value, not a table")
        return inner

    def _open(self, table: dict[str, Any], name: str) -> dict[str, Any]:
        inner = table.setdefault(name, {})
        if not isinstance(inner, dict) or id(inner) in self._closed:
            raise self._error(f"{name!r} is defined twice")
        self._closed.add(id(inner))
        return inner

    def _append(self, table: dict[str, Any], name: str) -> dict[str, Any]:
        rows = table.setdefault(name, [])
        if not isinstance(rows, list) or id(rows) in self._closed:
            raise self._error(f"{name!r} is no array of tables")
        rows.append({})
        row: dict[str, Any] = rows[-1]
        return row

    def _pair(self, table: dict[str, Any]) -> None:
        name = self._key()
        if self._peek() == ".":
            raise self._error("dotted keys are outside the subset")
        self._expect("=")
        if name in table:
            raise self._error(f"key {name!r} is defined twice")
        table[name] = self._value()

    def _key(self) -> str:
        self._skip(" \t")
        if self._peek() in ("'", '"'):
            name = self._string()
        else:
            match = _BARE_KEY.match(self._text, self._at)
            if match is None:
                raise self._error(f"expected a key, found {self._peek()!r}")
            name, self._at = match.group(), match.end()
        self._skip(" \t")
        return name

    def _value(self) -> Any:
        self._skip(" \t")
        first = self._peek()
        if first in ("'", '"'):
            return self._string()
        if first == "[":
            return self._array()
        if first == "{":
            return self._inline_table()
        for word, value in (("true", True), ("false", False)):
            if self._text.startswith(word, self._at):
                self._at += len(word)
                return self._whole(value)
        return self._whole(self._number())

    def _whole(self, value: Any) -> Any:
        """`value`, if nothing but a separator follows it."""
        if self._peek() and self._peek() not in _VALUE_END:
            raise self._error(f"unexpected {self._peek()!r} after a value")
        return value

    def _number(self) -> int | float:
        match = _NUMBER.match(self._text, self._at)
        word = match.group() if match else ""
        if match is None or not _FLOAT.fullmatch(word):
            raise self._error(f"expected a value, found {self._text[self._at : self._at + 12]!r}")
        self._at = match.end()
        return int(word.replace("_", "")) if _INTEGER.fullmatch(word) else float(word.replace("_", ""))

    def _string(self) -> str:
        quote = self._peek()
        if self._text.startswith(quote * 3, self._at):
            raise self._error("multi-line strings are outside the subset")
        self._at += 1
        out: list[str] = []
        while (char := self._peek()) != quote:
            if char in ("", "\n") or (ord(char) < 32 and char != "\t") or ord(char) == 127:
                raise self._error("a string is not closed on its line, or holds a control character")
            self._at += 1
            out.append(self._escape() if char == "\\" and quote == '"' else char)
        self._at += 1
        return "".join(out)

    def _escape(self) -> str:
        code = self._peek()
        self._at += 1
        if code in _ESCAPES:
            return _ESCAPES[code]
        digits = self._text[self._at : self._at + {"u": 4, "U": 8}.get(code, 0)]
        if code not in "uU" or not re.fullmatch(r"[0-9a-fA-F]{4}|[0-9a-fA-F]{8}", digits):
            raise self._error(f"unknown escape \\{code}")
        value = int(digits, 16)
        if value > 0x10FFFF or 0xD800 <= value <= 0xDFFF:
            raise self._error(f"\\{code}{digits} is no character")
        self._at += len(digits)
        return chr(value)

    def _array(self) -> list[Any]:
        self._at += 1
        out: list[Any] = []
        # Static arrays can never grow by [[...]] headers.
        self._closed.add(id(out))
        while True:
            self._skip(" \t\n", comments=True)
            if self._peek() == "]":
                break
            out.append(self._value())
            self._skip(" \t\n", comments=True)
            if self._peek() != ",":
                break
            self._at += 1
        self._expect("]")
        return out

    def _inline_table(self) -> dict[str, Any]:
        self._at += 1
        out = _Inline()
        self._closed.add(id(out))
        self._skip(" \t")
        while self._peek() != "}":
            self._pair(out)
            self._skip(" \t")
            if self._peek() != ",":
                break
            self._at += 1
            self._skip(" \t")
            if self._peek() == "}":
                raise self._error("an inline table may not end with a comma")
        self._expect("}")
        return out

    def _skip(self, what: str, comments: bool = False) -> None:
        while self._at < len(self._text):
            char = self._text[self._at]
            if comments and char == "#":
                self._at = self._line_end()
            elif char in what:
                self._at += 1
            else:
                return

    def _line_end(self) -> int:
        end = self._text.find("\n", self._at)
        return len(self._text) if end < 0 else end

    def _end_of_line(self) -> None:
        self._skip(" \t")
        if self._peek() not in ("", "\n", "#"):
            raise self._error(f"unexpected {self._peek()!r} at the end of a line")

    def _expect(self, word: str) -> None:
        self._skip(" \t")
        if not self._text.startswith(word, self._at):
            raise self._error(f"expected {word!r}, found {self._text[self._at : self._at + 8]!r}")
        self._at += len(word)

    def _peek(self) -> str:
        return self._text[self._at : self._at + 1]

    def _error(self, message: str) -> TomlError:
        return TomlError(f"{message} (line {self._text.count(chr(10), 0, self._at) + 1})")


class _Inline(dict[str, Any]):
    """An inline table: complete where it stands, so no header may extend it."""
