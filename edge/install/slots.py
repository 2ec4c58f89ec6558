"""Slots A and B and the record of which one flies; every change survives a loss of power.

    /opt/swathpack/slots/a, b     installed bundles        /opt/swathpack/state.json   the record
    /opt/swathpack/current        link to the slot that flies, made anew from the record at every start

A start counts as failed until the runtime has said that it is ready. MAX_TRIES failed starts in a row send the
board back to the other slot, if that one has ever proved itself.
"""

from __future__ import annotations

import json
import os
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path

from swathpack.edge.install.archive import sync_folder

MAX_TRIES = 3
NAMES = ("a", "b")


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
    """Which slot flies ("" for none), failed starts in a row, and the oldest release that may be installed."""

    active: str = ""
    tries: int = 0
    floor: int = 0
    last: str = ""
    slots: dict[str, Slot] = field(default_factory=lambda: {name: Slot() for name in NAMES})

    @property
    def other(self) -> str:
        """The slot that does not fly."""
        return "b" if self.active == "a" else "a"

    def with_slot(self, name: str, slot: Slot) -> Record:
        return replace(self, slots={**self.slots, name: slot})


class Slots:
    """The record on disk and what may happen to it. root: /opt/swathpack."""

    def __init__(self, root: Path) -> None:
        self.root, self.path = root, root / "state.json"

    def folder(self, name: str) -> Path:
        """Where that slot's files are."""
        return self.root / "slots" / name

    def read(self) -> Record:
        """The record; an empty one where there is none. Raises ValueError for a damaged one."""
        try:
            values = json.loads(self.path.read_text())
        except FileNotFoundError:
            return Record()
        try:
            slots = {name: Slot(**values["slots"][name]) for name in NAMES}
            return Record(**{**values, "slots": slots})
        except (KeyError, TypeError) as error:
            raise ValueError(f"{self.path}: {error}") from error

    def write(self, record: Record) -> Record:
        """Replace the record in one step, synced."""
        part = self.path.with_suffix(".part")
        with part.open("w") as out:
            json.dump(asdict(record), out, indent=1)
            out.flush()
            os.fsync(out.fileno())
        part.replace(self.path)
        sync_folder(self.root)
        return record

    def link(self, record: Record) -> None:
        """Make `current` point at the slot that flies."""
        link, target = self.root / "current", f"slots/{record.active}"
        if not record.active or (link.is_symlink() and os.readlink(link) == target):
            return
        part = self.root / "current.part"
        part.unlink(missing_ok=True)
        part.symlink_to(target)
        part.replace(link)
        sync_folder(self.root)

    def switch(self, name: str, why: str) -> Record:
        """Let that slot fly from the next start on."""
        record = self.read()
        slot = replace(record.slots[name], failed=False)
        record = self.write(replace(record.with_slot(name, slot), active=name, tries=0, last=why))
        self.link(record)
        return record

    def begin_start(self) -> tuple[Record, bool]:
        """Count a start before it happens; goes back to the other slot when too many failed. -> fell back."""
        record, fell_back = self.read(), False
        if record.tries >= MAX_TRIES and self._can_go_back(record):
            bad = record.active
            why = f"slot {bad} failed {record.tries} starts in a row: back to slot {record.other}"
            left = replace(record.slots[bad], failed=True)
            record = replace(record.with_slot(bad, left), active=record.other, tries=0, last=why)
            fell_back = True
        record = self.write(replace(record, tries=record.tries + 1))
        self.link(record)
        return record, fell_back

    def confirm(self) -> Record:
        """The runtime is ready: the slot is good, and releases that it rules out are ruled out."""
        record = self.read()
        slot = replace(record.slots[record.active], good=True, failed=False)
        floor = max(record.floor, slot.oldest_allowed)
        return self.write(replace(record.with_slot(record.active, slot), tries=0, floor=floor))

    def _can_go_back(self, record: Record) -> bool:
        other = record.slots[record.other]
        return bool(record.active and other.bundle and other.good and not other.failed)
