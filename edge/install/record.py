"""The record of the slots as bytes: two copies with CRC, and what the slots themselves say when both are gone.

/opt/swathpack/state.1, state.2    a line of JSON with a generation, a line with the CRC-32 of the first

Both copies hold the same; the older is written first, so at any instruction one is whole, and damage to one loses
nothing: neither the count of failed starts nor the oldest release allowed goes back.
"""

from __future__ import annotations

import json
import os
import zlib
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from swathpack.edge.install.manifest import MANIFEST, Refused, parse_manifest
from swathpack.edge.storage.durable import write_durably

NAMES = ("a", "b")
COPIES = ("state.1", "state.2")
OLD_RECORD = "state.json"  # one copy without CRC, of versions before
STEPS = ("unpacked", "packages", "tested")
GOOD = ".good"


@dataclass(frozen=True)
class Slot:
    """One slot. bundle: identity of what is installed, "" for nothing. good: it passed a start once.

    failed: a fall-back left it; it is not gone back to without being asked.
    """

    bundle: str = ""
    version: str = ""
    release: int = 0
    oldest_allowed: int = 0
    good: bool = False
    failed: bool = False


@dataclass(frozen=True)
class Record:
    """Which slot flies ("" for none), failed starts in a row, and the oldest release that may be installed.

    agent: release of the slot whose installer is in use. generation: counts the records that were written.
    """

    active: str = ""
    tries: int = 0
    floor: int = 0
    last: str = ""
    slots: dict[str, Slot] = field(default_factory=lambda: {name: Slot() for name in NAMES})
    agent: int = 0
    generation: int = 0

    @property
    def other(self) -> str:
        """The slot that does not fly."""
        return "b" if self.active == "a" else "a"

    def with_slot(self, name: str, slot: Slot) -> Record:
        """A record with one slot changed; `generation` is the writer's to count."""
        return replace(self, slots={**self.slots, name: slot})


def pack_record(record: Record) -> bytes:
    """One of the record's two copies, with its checksum."""
    return sealed(json.dumps(asdict(record), sort_keys=True))


def unpack_record(data: bytes) -> Record | None:
    """The record of a copy, or None when it is damaged."""
    line = unsealed(data)
    return None if line is None else _from_json(line)


def _from_json(line: str) -> Record | None:
    try:
        values = json.loads(line)
        slots = {name: Slot(**values["slots"][name]) for name in NAMES}
        record = Record(**{**values, "slots": slots})
        return record if _sound(record) else None
    except (ValueError, KeyError, TypeError):
        return None


def _sound(record: Record) -> bool:
    """The fields are of their types; a CRC does not know what the version before wrote."""
    numbers = (record.tries, record.floor, record.agent, record.generation)
    texts = (record.last, *(slot.bundle for slot in record.slots.values()))
    return (
        record.active in ("", *NAMES)
        and all(type(n) is int for n in numbers)
        and all(isinstance(t, str) for t in texts)
        and (record.active == "" or record.slots[record.active].bundle != "")
    )


def sealed(line: str) -> bytes:
    """A line of text with its CRC-32 in the next."""
    return f"{line}\n{zlib.crc32(line.encode()):08x}\n".encode()


def unsealed(data: bytes) -> str | None:
    """The line, or None when a bit of it or of its CRC has changed."""
    try:
        line, crc, rest = data.decode().split("\n")
    except (UnicodeDecodeError, ValueError):
        return None
    return line if not rest and crc == f"{zlib.crc32(line.encode()):08x}" else None


def read_copies(root: Path) -> list[Record | None]:
    """Each copy, None for one that is not there or damaged."""
    return [None if (data := _bytes(root / name)) is None else unpack_record(data) for name in COPIES]


def write_copies(root: Path, record: Record) -> Record:
    """Both copies, the older or damaged one first; returns the record with its generation."""
    before = [-1 if copy is None else copy.generation for copy in read_copies(root)]
    record = replace(record, generation=max(record.generation, *before) + 1)
    for _, name in sorted(zip(before, COPIES)):
        write_durably(root / name, pack_record(record))
    (root / OLD_RECORD).unlink(missing_ok=True)
    return record


def any_trace(root: Path) -> bool:
    """Whether there ever was a record here."""
    return any((root / name).exists() for name in (*COPIES, OLD_RECORD, "slots"))


def read_old(root: Path) -> Record | None:
    """The record of a version before, or None."""
    data = _bytes(root / OLD_RECORD)
    return None if data is None else _from_json(data.decode("utf-8", "replace"))


def rebuilt(root: Path) -> Record:
    """The record as far as the slots tell it: their manifests, the marks of the steps that were done, the link."""
    slots = {name: _slot_of(root / "slots" / name) for name in NAMES}
    there = [name for name in NAMES if slots[name].bundle]
    linked = Path(_link(root / "current")).name
    ranked = sorted(there, key=lambda name: (slots[name].good, slots[name].release))
    active = linked if linked in there else (ranked[-1] if ranked else "")
    return Record(active, 0, floor_of_marks(root), "the record was damaged: made anew from the slots", slots)


def floor_of_marks(root: Path) -> int:
    """The highest of the oldest releases allowed that the slots remember."""
    marks = (good_mark(root / "slots" / name) for name in NAMES)
    return max((found[1] for found in marks if found is not None), default=0)


def set_good_mark(folder: Path, identity: str, floor: int) -> None:
    """The slot has proved itself, and this was the oldest release allowed then."""
    write_durably(folder / GOOD, sealed(json.dumps([identity, floor])))


def good_mark(folder: Path) -> tuple[str, int] | None:
    """(identity, floor) of a slot that has proved itself; None where the mark is missing or damaged."""
    line = unsealed(_bytes(folder / GOOD) or b"")
    try:
        identity, floor = json.loads(line) if line is not None else (None, None)
    except (ValueError, TypeError):
        return None
    return (identity, floor) if isinstance(identity, str) and isinstance(floor, int) else None


def mark(folder: Path, step: str) -> str:
    """Identity of the bundle for which a step of the installation is done, "" for none."""
    return (_bytes(folder / f".{step}") or b"").decode("ascii", "replace")


def set_mark(folder: Path, step: str, identity: str) -> None:
    """A step is done, and everything that it made is durable."""
    write_durably(folder / f".{step}", identity.encode())


def _slot_of(folder: Path) -> Slot:
    """What is installed in a folder, all steps done; an empty slot for anything less."""
    try:
        manifest = parse_manifest(_bytes(folder / MANIFEST) or b"")
    except Refused:
        return Slot()
    if any(mark(folder, step) != manifest.identity for step in STEPS):
        return Slot()
    proved = good_mark(folder)
    good = proved is not None and proved[0] == manifest.identity
    return Slot(manifest.identity, manifest.version, manifest.release, manifest.oldest_allowed, good)


def _bytes(path: Path) -> bytes | None:
    try:
        return path.read_bytes()
    except OSError:
        return None


def _link(path: Path) -> str:
    try:
        return os.readlink(path)
    except OSError:
        return ""
