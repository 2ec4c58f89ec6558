"""What the installer needs of the package to run by itself: on a board that has no runtime yet, and beside the slots."""

from __future__ import annotations

from pathlib import Path

FILES = (
    "__init__.py",
    "edge/__init__.py",
    "edge/spoken.py",
    "edge/packets/__init__.py",
    "edge/packets/link_keys.py",
    "edge/storage/__init__.py",
    "edge/storage/durable.py",
)
FOLDER = "edge/install"


def agent_paths(package: Path) -> list[Path]:
    """The installer's files of a package folder."""
    return [*(package / name for name in FILES), *sorted((package / FOLDER).glob("*.py"))]


def is_agents(name: str) -> bool:
    """Whether a file, named from the package folder on, is one of them."""
    return name in FILES or Path(name).parent.as_posix() == FOLDER
