"""Peers' points kept between runs of a bench: they do not change while ours does, and take most of the time."""

from __future__ import annotations

import argparse
import hashlib
import importlib.metadata
import inspect
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from swathpack.tools.bench import peers
from swathpack.tools.bench.range_peers import Points
from swathpack.tools.files.outputs import write_text

LIBRARIES = ("av", "imagecodecs", "imageio-ffmpeg", "numpy")


class Pictures(Protocol):
    """A scene or a series of the benches."""

    @property
    def name(self) -> str:
        """Of its file."""

    @property
    def data(self) -> NDArray[np.uint16]:
        """Samples."""

    @property
    def valid(self) -> NDArray[np.bool_]:
        """Pixels that count."""

    @property
    def names(self) -> tuple[str, ...] | None:
        """Of its bands."""


Pictured = TypeVar("Pictured", bound=Pictures)


def add_keep(parser: argparse.ArgumentParser) -> None:
    """The option of a bench."""
    parser.add_argument("--keep", type=Path, help="folder where peers' points are kept for the next run")


def points_of(peer: str, curve: Callable[[Pictured], Points], of: Pictured, folder: Path | None) -> Points:
    """What `curve` says of `of`: from `folder` where it was measured before (by the same code, libraries and samples), else
    measured now and kept there. Without a folder always measured. Raises OSError.
    """
    if folder is None:
        return curve(of)
    path = folder / f"{peer.replace(' ', '').replace('+', '-')}-{of.name}-{_digest(peer, curve, of)}.json"
    if path.exists():
        return [(float(bits), float(error)) for bits, error in json.loads(path.read_text())]
    points = curve(of)
    folder.mkdir(parents=True, exist_ok=True)
    write_text(path, json.dumps(points) + "\n")
    return points


def _digest(peer: str, curve: Callable[[Any], Points], of: Pictures) -> str:
    """Changes with the samples, the peers' code and the libraries."""
    found = hashlib.sha256(repr((peer, of.names, of.data.shape, _versions())).encode())
    found.update(np.ascontiguousarray(of.data).tobytes() + np.ascontiguousarray(of.valid).tobytes())
    for source in [*sorted(Path(peers.__file__).parent.glob("*.py")), Path(inspect.getfile(curve))]:
        found.update(source.read_bytes())
    return found.hexdigest()[:16]


def _versions() -> list[str]:
    versions = []
    for library in LIBRARIES:
        try:
            versions.append(importlib.metadata.version(library))
        except importlib.metadata.PackageNotFoundError:
            versions.append("")
    return versions
