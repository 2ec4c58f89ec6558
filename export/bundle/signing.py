"""Ed25519 keys of the ground: made, kept and used here; boards only ever see the public half.

The secret is a PEM file (PKCS 8) that only its owner can read; `<file>.pub` is the line that boards trust.
"""

from __future__ import annotations

import base64
import os
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swathpack.edge.install.manifest import CONTEXT, KEY_WORD, key_id


class SigningError(Exception):
    """A key file that cannot be used; the message says why."""


def _public_bytes(key: Ed25519PrivateKey) -> bytes:
    return key.public_key().public_bytes(serialization.Encoding.Raw, serialization.PublicFormat.Raw)


def make_key(path: Path, comment: str) -> Path:
    """Write a new secret to `path` and its public line to `path.pub`; never over an existing one, both or none.

    comment: may begin with `role=...` and `expires=...` (`swathpack.edge.install.keys`).
    """
    key = Ed25519PrivateKey.generate()
    pem = key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    public = path.with_name(path.name + ".pub")
    made: list[Path] = []
    try:
        for target, data, mode in (
            (path, pem, 0o600),
            (public, public_line(_public_bytes(key), comment).encode(), 0o666),
        ):
            handle = os.open(target, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
            made.append(target)
            with os.fdopen(handle, "wb") as out:
                out.write(data)
                out.flush()
                os.fsync(out.fileno())
    except BaseException as error:
        for target in made:
            target.unlink()
        if isinstance(error, OSError):
            raise SigningError(f"{error.filename or path}: {error.strerror}") from error
        raise
    return public


def public_line(key: bytes, comment: str = "") -> str:
    """What a board's trusted folder holds."""
    return f"{KEY_WORD} {base64.b64encode(key).decode()} {comment}".strip() + "\n"


def public_line_of(key: Ed25519PrivateKey) -> str:
    """The public line that belongs to a secret."""
    return public_line(_public_bytes(key))


def read_key(path: Path) -> Ed25519PrivateKey:
    """The secret; raises SigningError."""
    try:
        key = serialization.load_pem_private_key(path.read_bytes(), password=None)
    except OSError as error:
        raise SigningError(f"{path}: {error.strerror}") from error
    except (ValueError, TypeError, UnsupportedAlgorithm) as error:
        raise SigningError(f"{path}: not a key that `swathpack bundle --new-key` makes: {error}") from error
    if not isinstance(key, Ed25519PrivateKey):
        raise SigningError(f"{path}: expected an Ed25519 key, found {type(key).__name__}")
    return key


def sign(key: Ed25519PrivateKey, manifest: bytes) -> bytes:
    """The line of `manifest.sig`; the same manifest and key give the same line (RFC 8032 is deterministic)."""
    signature = base64.b64encode(key.sign(CONTEXT + manifest)).decode()
    return f"{KEY_WORD} {key_id(_public_bytes(key))} {signature}\n".encode()
