"""Counted words of what the commands say."""

from __future__ import annotations


def plural(count: float, word: str) -> str:
    """`1 day`, `2 days`, `0.5 days`."""
    return f"{count:g} {word}{'' if count == 1 else 's'}"
