"""Digests of a model folder's files, as its manifest has them."""

from __future__ import annotations

import json
from pathlib import Path

from swathpack.codec.atomic import replaced
from swathpack.edge.digests import FILE_DIGEST_BYTES, MANIFEST, bytes_digest


def digest_of(path: Path) -> str:
    """A file's digest as the manifest has it, hexadecimal."""
    return bytes_digest(path.read_bytes(), FILE_DIGEST_BYTES).hex()


def renew(path: Path) -> None:
    """Let the manifest of a model folder vouch for a file of it that was measured anew; nothing where no model is."""
    manifest = path.with_name(MANIFEST)
    if not manifest.is_file():
        return
    told = json.loads(manifest.read_text())
    if isinstance(told, dict) and "model_digest" in told:
        told["files"] = dict(sorted({**told.get("files", {}), path.name: digest_of(path)}.items()))
        with replaced(manifest) as part:
            part.write_text(json.dumps(told, indent=1) + "\n")
