"""Digests of files, and what a model's manifest says of the files beside it.

A digest is the first bytes of a SHA-256: short ones detect mistakes and damage; they are not signatures.
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

FILE_DIGEST_BYTES = 8
MANIFEST = "manifest.json"


class DigestError(ValueError):
    """Something that is not what a digest names, or that has no canonical bytes to name."""


def bytes_digest(data: bytes, n_bytes: int = 32) -> bytes:
    """The first `n_bytes` of SHA-256 of the bytes as they are (for model files)."""
    return hashlib.sha256(data).digest()[:n_bytes]


def vouched(path: Path) -> bytes:
    """A file's bytes, if the model's manifest beside it has their digest; as they are where no model's manifest is.

    Raises OSError, DigestError.
    """
    data = path.read_bytes()
    manifest = path.with_name(MANIFEST)
    if not manifest.is_file():
        return data
    try:
        told = json.loads(manifest.read_bytes())
    except ValueError as error:
        raise DigestError(f"{manifest}: {error}") from error
    if isinstance(told, dict) and "model_digest" in told:
        check_file(path.name, data, told)
    return data


def check_file(name: str, data: bytes, manifest: dict[str, Any]) -> None:
    """That a model's manifest vouches for the bytes of a file. Raises DigestError."""
    files = manifest.get("files")
    expected = files.get(name) if isinstance(files, dict) else None
    found = bytes_digest(data, FILE_DIGEST_BYTES).hex()
    if expected != found:
        what = f"expected digest {expected}" if expected else "its manifest names no digest of it"
        raise DigestError(f"{name}: {what}, found {found}")
