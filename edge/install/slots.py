"""Slots A and B and the record of which one flies; every change survives a loss of power.

/opt/swathpack/slots/a, b          installed bundles
/opt/swathpack/state.1, state.2    the record, twice (`swathpack.edge.install.record`)
/opt/swathpack/current             link to the slot that flies, made anew from the record at every start
/opt/swathpack/fallen              the slot that the fallback went back to, until a start has noted it

A start counts as failed until the runtime has said that it is ready. MAX_TRIES failed starts in a row send the
board back to the other slot, if that one has ever proved itself.
"""

from __future__ import annotations

import fcntl
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from swathpack.edge.install.record import (
    NAMES,
    Record,
    any_trace,
    floor_of_marks,
    read_copies,
    read_old,
    rebuilt,
    set_good_mark,
    write_copies,
)
from swathpack.edge.storage.durable import make_folder, sync_folder

MAX_TRIES = 3
FALLEN = "fallen"


class Slots:
    """The record on disk and what may happen to it. root: /opt/swathpack."""

    def __init__(self, root: Path) -> None:
        self.root = root

    def folder(self, name: str) -> Path:
        """Where that slot's files are."""
        return self.root / "slots" / name

    def read(self) -> Record:
        """The record; an empty one on a new board, one made from the slots where both copies are damaged."""
        copies = [copy for copy in read_copies(self.root) if copy is not None]
        record = max(copies, key=lambda copy: copy.generation) if copies else read_old(self.root)
        if record is None:
            return rebuilt(self.root) if any_trace(self.root) else Record()
        return self._with_floor(record)

    def trouble(self) -> str:
        """What is wrong with the record on disk, "" for nothing."""
        copies = read_copies(self.root)
        whole = [copy for copy in copies if copy is not None]
        if not whole and any_trace(self.root) and read_old(self.root) is None:
            return "both copies of the record are damaged"
        if len(whole) == 1:
            return "one copy of the record is damaged or missing"
        if whole and max(copy.floor for copy in whole) < floor_of_marks(self.root):
            return "the record's oldest release allowed is below that of the slots"
        return ""

    def update(self, change: Callable[[Record], Record]) -> Record:
        """Read, change and write under a lock: an installation goes on while starts are counted."""
        with self._locked():
            return write_copies(self.root, change(self.read()))

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

        def change(record: Record) -> Record:
            slot = replace(record.slots[name], failed=False)
            return replace(record.with_slot(name, slot), active=name, tries=0, last=why)

        record = self.update(change)
        self.link(record)
        return record

    def begin_start(self) -> tuple[Record, bool]:
        """Count a start before it happens; goes back to the other slot when too many failed. -> fell back."""
        fallen, fell_back = self._fallen(), False

        def change(record: Record) -> Record:
            nonlocal fell_back
            if fallen and record.slots[fallen].bundle:
                record = _fallen_back(record, fallen)
            if record.tries >= MAX_TRIES and _can_go_back(record):
                why = f"slot {record.active} failed {record.tries} starts in a row: back to slot {record.other}"
                record, fell_back = _gone_back(record, why), True
            return replace(record, tries=record.tries + 1)

        record = self.update(change)
        self.link(record)
        if (self.root / FALLEN).exists():
            (self.root / FALLEN).unlink()
            sync_folder(self.root)
        return record, fell_back

    def confirm(self) -> Record:
        """The runtime is ready: the slot is good, and releases that it rules out are ruled out."""

        def change(record: Record) -> Record:
            slot = replace(record.slots[record.active], good=True, failed=False)
            floor = max(record.floor, slot.oldest_allowed)
            return replace(record.with_slot(record.active, slot), tries=0, floor=floor)

        record = self.update(change)
        set_good_mark(self.folder(record.active), record.slots[record.active].bundle, record.floor)
        return record

    def _fallen(self) -> str:
        """The slot that the fallback (`export/bundle/data/fallback.sh`) went back to without the record, or ""."""
        try:
            name = (self.root / FALLEN).read_text(errors="replace").strip()
        except OSError:
            return ""
        return name if name in NAMES else ""

    def _with_floor(self, record: Record) -> Record:
        """What the slots have ruled out stays ruled out, whatever became of the record."""
        return replace(record, floor=max(record.floor, floor_of_marks(self.root)))

    @contextmanager
    def _locked(self) -> Iterator[None]:
        make_folder(self.root)
        with (self.root / "record.lock").open("w") as handle:
            fcntl.flock(handle, fcntl.LOCK_EX)
            yield


def _can_go_back(record: Record) -> bool:
    other = record.slots[record.other]
    return bool(record.active and other.bundle and other.good and not other.failed)


def _gone_back(record: Record, why: str) -> Record:
    left = replace(record.slots[record.active], failed=True)
    return replace(record.with_slot(record.active, left), active=record.other, tries=0, last=why)


def _fallen_back(record: Record, name: str) -> Record:
    left = "b" if name == "a" else "a"
    record = record.with_slot(left, replace(record.slots[left], failed=bool(record.slots[left].bundle)))
    return replace(record, active=name, tries=0, last=f"the fallback went back to slot {name}")
