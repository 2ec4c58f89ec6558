"""Taking a bundle in pieces: what has arrived stays, the next connection sends the rest."""

from __future__ import annotations

import hashlib
import os
import re
from pathlib import Path
from typing import IO

from swathpack.edge.install.manifest import Refused
from swathpack.edge.storage.durable import make_folder, replace_durably, sync_folder

_BLOCK = 1 << 18
_DIGEST = re.compile(r"[0-9a-f]{64}")


def bundle_path(base: Path, sha256: str) -> Path:
    """Where a bundle with that digest lies once it is whole; raises Refused for what is no digest."""
    if not _DIGEST.fullmatch(sha256):
        raise Refused("damaged", f"expected a SHA-256 in hex, found {sha256[:80]!r}")
    return base / "incoming" / f"{sha256}.tar"


def bytes_here(base: Path, sha256: str) -> int:
    """Bytes of that bundle that arrived before."""
    whole = bundle_path(base, sha256)
    for path in (whole, whole.with_suffix(".part")):
        if path.exists():
            return path.stat().st_size
    return 0


def receive(base: Path, sha256: str, size: int, start: int, stream: IO[bytes]) -> None:
    """Append what comes from `stream` to the first `start` bytes; raises Refused (`cut`, `damaged`).

    Whatever arrives is kept, synced; a whole file with another digest is thrown away.
    """
    whole = bundle_path(base, sha256)
    if whole.exists():
        return
    make_folder(whole.parent)
    part = whole.with_suffix(".part")
    for other in whole.parent.glob("*"):  # what was begun and never finished
        if other != part:
            other.unlink()
    with part.open("r+b" if part.exists() else "w+b") as out:
        if out.seek(0, os.SEEK_END) < start:
            raise Refused("cut", f"{out.tell()} bytes are here, expected {start}")
        out.truncate(start)
        out.seek(start)
        while start < size and (block := stream.read(min(_BLOCK, size - start))):
            out.write(block)
            start += len(block)
        out.flush()
        os.fsync(out.fileno())
    sync_folder(part.parent)
    if start < size:
        raise Refused("cut", f"{start} of {size} bytes arrived")
    _check(part, sha256)
    replace_durably(part, whole)


def _check(part: Path, sha256: str) -> None:
    digest = hashlib.sha256()
    with part.open("rb") as source:
        while block := source.read(_BLOCK):
            digest.update(block)
    if digest.hexdigest() != sha256:
        part.unlink()
        raise Refused("damaged", f"expected digest {sha256[:16]}, found {digest.hexdigest()[:16]}: sent again")
