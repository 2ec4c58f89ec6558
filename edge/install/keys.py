"""The keys that a board trusts with bundles: roles, expiry, and changes that a bundle brings.

/opt/swathpack/trusted/ID.pub     a line: swathpack-ed25519 BASE64 [role=ROLE] [expires=YYYY-MM-DD] [comment]
/opt/swathpack/trusted/revoked    ids of keys that are never trusted again, one a line

A `mission` key (the role of a line that names none) may sign bundles that change the keys; a `release` key may sign
bundles only. Changes stand in the manifest and so under its signature, and take effect when the bundle has proved itself
by a start, as its oldest release allowed does.

Expiry asks no clock alone, since a kit without battery wakes up in the past: the release that is signed must not be
later than the key's last day, and neither may be the latest time that the board knows of, by its clock or by a release
that has flown.
"""

from __future__ import annotations

import re
import time
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import datetime, timezone
from pathlib import Path

from swathpack.edge.install.manifest import KeyChanges, Manifest, Refused, key_id, read_public_key
from swathpack.edge.storage.durable import make_folder, sync_folder, write_durably

MISSION, RELEASE = "mission", "release"
REVOKED = "revoked"
_ID = re.compile(r"[0-9a-f]{16}")
_DAY_S = 86400


@dataclass(frozen=True)
class TrustedKey:
    """One key: 32 bytes, what it may sign, and the second behind its last day (0: it does not expire)."""

    key: bytes
    role: str = MISSION
    expires: int = 0

    @property
    def id(self) -> str:
        """What signatures and file names call it, see `key_id`."""
        return key_id(self.key)


@dataclass(frozen=True)
class KeyRing:
    """The trusted keys of a board by id; strays: files in their folder that are none; revoked: ids."""

    keys: dict[str, TrustedKey]
    strays: list[str] = field(default_factory=list)
    revoked: frozenset[str] = frozenset()

    def public(self) -> dict[str, bytes]:
        """What verifies signatures."""
        return {name: trusted.key for name, trusted in self.keys.items()}


def trusted_key(line: str) -> TrustedKey:
    """The key of a line; raises Refused (`key`) for one that is none, or says what this version does not know."""
    key, role, expires = read_public_key(line), MISSION, 0
    for word in line.split()[2:]:
        name, _, value = word.partition("=")
        if name == "role" and value not in (MISSION, RELEASE):
            raise Refused("key", f"role: expected {MISSION} or {RELEASE}, found {value[:40]!r}")
        role = value if name == "role" else role
        expires = _end_of_day(value) if name == "expires" else expires
    return TrustedKey(key, role, expires)


def read_ring(folder: Path) -> KeyRing:
    """The keys in a folder; a file that is no key costs no other."""
    revoked = _revoked(folder)
    keys, strays = dict[str, TrustedKey](), list[str]()
    for path in sorted(folder.glob("*.pub")):
        try:
            found = trusted_key(path.read_text(errors="replace"))
        except (OSError, Refused):
            strays.append(path.name)
            continue
        if found.id not in revoked:
            keys[found.id] = found
    return KeyRing(keys, strays, revoked)


def check_authority(manifest: Manifest, ring: KeyRing, known_time: float) -> None:
    """Whether the key that signed may sign this bundle; raises Refused (`expired`, `role`, `keys`). known_time: see `check_signer`."""
    check_signer(manifest, ring.keys[manifest.signer], known_time)
    if manifest.keys and not _missions_left(ring, manifest.keys):
        raise Refused("keys", f"the bundle would leave the board without a {MISSION} key")


def check_signer(manifest: Manifest, signer: TrustedKey, known_time: float) -> None:
    """As `check_authority`, without what only a board knows: its other keys. Raises Refused (`expired`, `role`).

    known_time: the latest time that the board knows of, seconds since 1970.
    """
    if signer.expires and manifest.release >= signer.expires:
        last, found = _day(signer.expires - 1), _day(manifest.release)
        raise Refused("expired", f"key {signer.id} signs releases up to {last}; this one is of {found}")
    if signer.expires and known_time >= signer.expires:
        last, found = _day(signer.expires - 1), _day(known_time)
        raise Refused("expired", f"key {signer.id} was good up to {last}; here it is {found} at least")
    if manifest.keys and signer.role != MISSION:
        raise Refused("role", f"key {signer.id} is a {signer.role} key: only a {MISSION} key may change the keys")


def apply_changes(folder: Path, changes: KeyChanges) -> None:
    """Trust and revoke, durably; safe to repeat. New keys first, so that no cut leaves the board without one."""
    if not changes:
        return
    make_folder(folder)
    revoked = _revoked(folder) | set(changes.revoke)
    for line in changes.trust:
        found = trusted_key(line)
        if found.id not in revoked:
            write_durably(folder / f"{found.id}.pub", (line.strip() + "\n").encode())
    if changes.revoke:
        write_durably(folder / REVOKED, "".join(f"{name}\n" for name in sorted(revoked)).encode())
        for path in sorted(folder.glob("*.pub")):
            if _is_revoked(path, revoked):
                path.unlink()
        sync_folder(folder)


def known_time(clock: float, releases: Iterable[int]) -> float:
    """The latest time that is certain to have come: the clock's, or that of a release that has flown."""
    return max([clock, *releases])


def _missions_left(ring: KeyRing, changes: KeyChanges) -> bool:
    after = {**ring.keys, **{found.id: found for found in map(trusted_key, changes.trust)}}
    gone = ring.revoked | set(changes.revoke)
    return any(key.role == MISSION and name not in gone for name, key in after.items())


def _is_revoked(path: Path, revoked: Iterable[str]) -> bool:
    try:
        return trusted_key(path.read_text(errors="replace")).id in revoked
    except (OSError, Refused):
        return False


def _revoked(folder: Path) -> frozenset[str]:
    try:
        words = (folder / REVOKED).read_text(errors="replace").split()
    except OSError:
        return frozenset()
    return frozenset(word for word in words if _ID.fullmatch(word))


def _end_of_day(text: str) -> int:
    try:
        day = datetime.strptime(text, "%Y-%m-%d").replace(tzinfo=timezone.utc)
    except ValueError as error:
        raise Refused("key", f"expires: expected YYYY-MM-DD, found {text[:40]!r}") from error
    return int(day.timestamp()) + _DAY_S


def _day(seconds: float) -> str:
    return time.strftime("%Y-%m-%d", time.gmtime(seconds))
