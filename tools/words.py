"""Words of what the commands say and take: counted ones, names of folders."""

from __future__ import annotations


def plural(count: float, word: str) -> str:
    """`1 day`, `2 days`, `0.5 days`."""
    return f"{count:g} {word}{'' if count == 1 else 's'}"


def names_folder(text: str) -> bool:
    """Whether a text can be a folder's name on any system."""
    return bool(text.strip(". ")) and not any(c in text for c in '/\\:*?"<>|') and text.isprintable()
