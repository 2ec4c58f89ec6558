"""Options that would be ignored beside others: refused by name, so that nobody takes them for heard."""

from __future__ import annotations

import argparse
from operator import index
from typing import Any

from swathpack.tools.errors import UsageError


def expect(args: argparse.Namespace, when: str, *names: str, **defaults: Any) -> None:
    """Refuse those of these options that are given, in one line that names them. Raises UsageError.

    Args:
        when: they are taken, such as `with --images only` or `no --check with it`.
        names: attributes of `args` that are None, False or empty where the option is not given.
        defaults: those with another default.
    """
    told = [name for name in names if getattr(args, name) not in (None, False, "", [], ())]
    told += [name for name, default in defaults.items() if getattr(args, name) != default]
    if told:
        raise UsageError(f"{', '.join('--' + name.replace('_', '-') for name in told)}: expected {when}")


def positive(text: str) -> int:
    """A whole number from 1 on, as an option's type."""
    try:
        value = int(text)
    except ValueError:
        value = 0
    if value < 1:
        raise argparse.ArgumentTypeError(f"expected a whole number from 1 on, found {text!r}")
    return value


def whole_number(name: str, value: object) -> int:
    """A whole number of any integer type, as a keyword of the Python interface. Raises UsageError."""
    try:
        return index(value)  # type: ignore[arg-type]
    except TypeError:
        raise UsageError(f"{name}: expected a whole number, found {value!r}") from None
