"""The secrets that sign reports, shared by board and ground: one file of numbered slots, the same on both sides.

    swathpack-link-keys 1
    0 64 hexadecimal digits
    1 64 hexadecimal digits

The ground signs with one slot; the board remembers the highest slot that it has heard a good report from and refuses
lower ones from then on. So a key is changed over the link without a key ever going over it. Only the owner may read
the file. Standard library only: the installer makes such a file too.
"""

from __future__ import annotations

import os
import re
import secrets
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from swathpack.edge.storage.durable import sync_folder

HEADLINE = "swathpack-link-keys 1"
SECRET_BYTES = 32
MADE_SLOTS = 8
OPEN_SLOT = 255  # of reports that nobody signs
MAX_FILE_BYTES = 1 << 16
_LINE = re.compile(r"(\d{1,3}) ([0-9a-fA-F]{64})")


class LinkKeyError(ValueError):
    """A key file that cannot be used; the message names the file, what was expected and what was found."""


class LinkKey(NamedTuple):
    """What signs a report: the slot's number and its secret."""

    slot: int
    secret: bytes


UNSIGNED = LinkKey(OPEN_SLOT, b"")  # its tag only finds damage


def read_link_keys(path: Path) -> dict[int, bytes]:
    """The secrets by slot. Raises LinkKeyError for a file that others may read, or that is no key file."""
    try:
        handle = os.open(path, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe must not hold up the start
    except FileNotFoundError as error:
        made = "`swathpack keys` makes one, of which board and ground each have a copy"
        raise LinkKeyError(f"{path}: {error.strerror}; {made}") from error
    except OSError as error:
        raise LinkKeyError(f"{path}: {error.strerror}") from error
    try:
        _check_file(path, os.fstat(handle))
        with open(handle, "rb", closefd=False) as file:
            data = file.read(MAX_FILE_BYTES + 1)
    finally:
        os.close(handle)
    return parse_link_keys(data, str(path))


def _check_file(path: Path, found: os.stat_result) -> None:
    mode = stat.S_IMODE(found.st_mode)
    if not stat.S_ISREG(found.st_mode):
        raise LinkKeyError(f"{path}: expected a file")
    if found.st_uid not in (0, os.geteuid()):
        raise LinkKeyError(f"{path}: expected an owner of 0 or {os.geteuid()}, found {found.st_uid}")
    if mode & 0o077:
        raise LinkKeyError(f"{path}: expected mode 0600, found {mode:04o}: others can use the keys; chmod 600 {path}")


def parse_link_keys(data: bytes, name: str) -> dict[int, bytes]:
    """The secrets in the bytes of a key file. Raises LinkKeyError; secrets are not in its message."""
    lines = data.decode("ascii", "replace").splitlines()
    if len(data) > MAX_FILE_BYTES or not lines or lines[0].strip() != HEADLINE:
        raise LinkKeyError(f"{name}: expected a first line '{HEADLINE}': make the file with `swathpack keys`")
    found: dict[int, bytes] = {}
    for number, line in enumerate(lines[1:], 2):
        words = line.partition("#")[0].strip()
        match = _LINE.fullmatch(words)
        if words and (match is None or not -1 < int(match[1]) < OPEN_SLOT or int(match[1]) in found):
            raise LinkKeyError(
                f"{name}, line {number}: expected a new slot of 0 to {OPEN_SLOT - 1} and 64 hexadecimal digits"
            )
        if match:
            found[int(match[1])] = bytes.fromhex(match[2])
    if not found or len(set(found.values())) != len(found) or any(len(set(s)) < 8 for s in found.values()):
        raise LinkKeyError(f"{name}: expected at least one slot, and random secrets that are all different")
    return found


def link_keys_text(keys: Mapping[int, bytes]) -> str:
    """What a key file holds."""
    return "\n".join([HEADLINE, *(f"{slot} {secret.hex()}" for slot, secret in keys.items()), ""])


def make_link_keys(path: Path, slots: int = MADE_SLOTS) -> None:
    """Write a file of new random secrets, synced, for its owner alone. Raises FileExistsError, never writes over."""
    write_new(path, link_keys_text({slot: secrets.token_bytes(SECRET_BYTES) for slot in range(slots)}))


def write_new(path: Path, text: str) -> None:
    """A new file for its owner alone: none or the whole one at any instruction. Raises FileExistsError, OSError."""
    part = path.with_name(path.name + ".part")
    part.unlink(missing_ok=True)
    handle = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600)
    try:
        with open(handle, "w", encoding="ascii") as out:
            out.write(text)
            out.flush()
            os.fsync(handle)
        os.link(part, path)  # unlike a rename it never takes the place of another
    finally:
        part.unlink()
    sync_folder(path.parent)


def choose_key(keys: Mapping[int, bytes], slot: int | None = None) -> LinkKey:
    """The key to sign with: of that slot, or of the lowest. Raises LinkKeyError."""
    wanted = min(keys) if slot is None else slot
    if wanted not in keys:
        raise LinkKeyError(f"expected a key slot of {', '.join(map(str, sorted(keys)))}, found {wanted}")
    return LinkKey(wanted, keys[wanted])
