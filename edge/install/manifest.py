"""What a flight bundle says about itself: `manifest.json`, signed by `manifest.sig`.

A bundle is a tar archive: first these two, then the files that the manifest lists, in its order.

    runtime/    edge/, models/edge/ and the range coder's library      unit/    systemd unit, example mission
    wheels/     the Python packages for this board, one file each

`manifest.sig` is one line: swathpack-ed25519 KEY-ID SIGNATURE (base64), over CONTEXT + the manifest's bytes.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from swathpack.edge.install.ed25519 import verify

FORMAT = 1
CONTEXT = b"swathpack flight bundle manifest, format 1\n"
KEY_WORD = "swathpack-ed25519"
MANIFEST, SIGNATURE = "manifest.json", "manifest.sig"
MAX_MANIFEST_BYTES = 4 << 20
MAX_KEY_LINE = 512
_KEY_ID = re.compile(r"[0-9a-f]{16}")
FOLDERS = ("runtime/", "wheels/", "unit/")
# What the device tree calls the modules; the kit's name holds one of these.
MODELS = {
    "orin-agx": ("AGX Orin",),
    "orin-nx": ("Orin NX",),
    "orin-nano": ("Orin Nano",),
}


class Refused(Exception):  # noqa: N818
    """A bundle or a board that does not pass a check. `reason`: one word for programs; the text says what was
    expected and what was found.
    """

    def __init__(self, reason: str, text: str) -> None:
        super().__init__(text)
        self.reason = reason


@dataclass(frozen=True)
class FileEntry:
    """One file of the bundle; `path` inside it, size in bytes."""

    path: str
    size: int
    sha256: str


@dataclass(frozen=True)
class KeyChanges:
    """What a bundle changes of the keys that a board trusts (`swathpack.edge.install.keys`). trust: public lines;
    revoke: key ids.
    """

    trust: tuple[str, ...] = ()
    revoke: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.trust or self.revoke)


@dataclass(frozen=True)
class Manifest:
    """A bundle's manifest. signer: id of the key that signed it, "" where that was not asked.

    release: seconds since 1970 that order the bundles. oldest_allowed: releases before this one are refused once
    this one has proved itself. needs_bytes: on the board's disk while it is installed. python: "3.10", the
    version that the wheels are for, or "" without wheels.
    """

    version: str
    release: int
    oldest_allowed: int
    board: str
    jetpack: int
    machine: str
    python: str
    power_mode: str
    model_digest: str
    needs_bytes: int
    files: tuple[FileEntry, ...]
    identity: str
    keys: KeyChanges = KeyChanges()
    signer: str = ""

    @property
    def short(self) -> str:
        """A name for people."""
        return f"{self.version} release {self.release} ({self.identity[:12]})"


def parse_manifest(data: bytes) -> Manifest:
    """The manifest in `data`; raises Refused (`damaged`)."""
    try:
        values = json.loads(data)
        if values["format"] != FORMAT:
            raise Refused("format", f"bundle format: expected {FORMAT}, found {values['format']!r}")
        entries = tuple(_entry(item) for item in values["files"])
        given = {name: _typed(values, name, kind) for name, kind in _FIELDS.items()}
        changes = _key_changes(values.get("keys", {}))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise Refused("damaged", f"{MANIFEST}: {type(error).__name__}: {error}") from error
    if len({e.path for e in entries}) != len(entries):
        raise Refused("damaged", f"{MANIFEST}: lists a file twice")
    return Manifest(files=entries, identity=hashlib.sha256(data).hexdigest(), keys=changes, **given)


_FIELDS: dict[str, type] = {
    "version": str,
    "release": int,
    "oldest_allowed": int,
    "board": str,
    "jetpack": int,
    "machine": str,
    "python": str,
    "power_mode": str,
    "model_digest": str,
    "needs_bytes": int,
}


def _typed(values: Any, name: str, kind: type) -> Any:
    value = values[name]
    if not isinstance(value, kind) or isinstance(value, bool):
        raise ValueError(f"{name}: expected {kind.__name__}, found {value!r}")
    return value


def _entry(item: Any) -> FileEntry:
    path = _typed(item, "path", str)
    parts = path.split("/")
    if not path.startswith(FOLDERS) or any(p in ("", ".", "..") for p in parts) or "\\" in path or "\0" in path:
        raise ValueError(f"expected a path in {', '.join(FOLDERS)}, found {path!r}")
    size = _typed(item, "bytes", int)
    if size < 0:
        raise ValueError(f"{path}: {size} bytes")
    return FileEntry(path, size, _typed(item, "sha256", str))


def _key_changes(values: Any) -> KeyChanges:
    trust, revoke = (_typed({name: [], **values}, name, list) for name in ("trust", "revoke"))
    for line in trust:
        if not isinstance(line, str) or len(line) > MAX_KEY_LINE or not _is_key(line):
            raise ValueError(f"keys.trust: expected lines of public keys, found {line!r:.80}")
    for name in revoke:
        if not isinstance(name, str) or not _KEY_ID.fullmatch(name):
            raise ValueError(f"keys.revoke: expected ids of keys, found {name!r:.80}")
    return KeyChanges(tuple(trust), tuple(revoke))


def _is_key(line: str) -> bool:
    try:
        return bool(read_public_key(line))
    except Refused:
        return False


def key_id(public_key: bytes) -> str:
    """Short name of a public key (32 bytes)."""
    return hashlib.sha256(public_key).hexdigest()[:16]


def read_public_key(text: str) -> bytes:
    """The key (32 bytes) of a line `swathpack-ed25519 BASE64 comment`; raises Refused (`key`)."""
    words = text.split()
    try:
        key = base64.b64decode(words[1], validate=True) if words[0] == KEY_WORD else b""
    except (IndexError, binascii.Error, ValueError):
        key = b""
    if len(key) != 32:
        raise Refused("key", f"expected a line '{KEY_WORD} BASE64', found {text.strip()[:60]!r}")
    return key


def check_signature(manifest: bytes, signature: bytes | None, keys: dict[str, bytes]) -> str:
    """The id of the trusted key that signed; raises Refused (`unsigned`, `unknown-key`, `tampered`)."""
    if not signature:
        raise Refused("unsigned", "the bundle carries no signature")
    words = signature.decode("ascii", "replace").split()
    if len(words) != 3 or words[0] != KEY_WORD:
        raise Refused("tampered", f"{SIGNATURE}: expected '{KEY_WORD} KEY-ID SIGNATURE'")
    trusted = ", ".join(keys) or "none"
    if words[1] not in keys:
        raise Refused("unknown-key", f"signed with key {words[1][:16]}; trusted keys: {trusted}")
    try:
        raw = base64.b64decode(words[2], validate=True)
    except (binascii.Error, ValueError):
        raw = b""
    if not verify(keys[words[1]], CONTEXT + manifest, raw):
        raise Refused("tampered", "the signature does not fit the manifest: one of them was changed")
    return words[1]
