"""From a received bundle to a slot that flies: verify, check, unpack, packages, power mode, self-test, switch.

Every step leaves a mark in the slot when it is complete and does nothing when the mark is there, so that an
installation that was cut anywhere goes on where it was. Nothing that flies is touched before the switch.
"""

from __future__ import annotations

import fcntl
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

from swathpack.edge.install.archive import check_all, open_bundle, read_head, unpack
from swathpack.edge.install.facts import check_age, check_board, check_clock, check_space, read_facts
from swathpack.edge.install.keys import check_authority, known_time, read_ring
from swathpack.edge.install.manifest import Manifest, Refused
from swathpack.edge.install.packages import SITE, check_packages, unpack_wheel, wheels_of
from swathpack.edge.install.power import set_power_mode
from swathpack.edge.install.record import GOOD, STEPS, Record, Slot, any_trace, mark, set_mark
from swathpack.edge.install.report import Reporter
from swathpack.edge.install.service import Places, ensure_started, place_unit, restart
from swathpack.edge.install.slots import Slots
from swathpack.edge.install.verify import check_contents, check_slot, read_slot_manifest
from swathpack.edge.storage.durable import make_folder, sync_folder, sync_tree

SELFTEST_LIMIT_S = 3600.0
LOCK_WAIT_S = 1800.0


class Installer:
    """Installs bundles on this board. other_clock: the flashing machine's time, seconds since 1970, if known."""

    def __init__(self, places: Places, report: Reporter, other_clock: float | None = None) -> None:
        self.places, self.report, self.other_clock = places, report, other_clock
        self.slots = Slots(places.base)

    def install(self, bundle: Path) -> int:
        """All steps; -> 0, or 1 when the self-test fails. Raises Refused."""
        with _locked(self.places.base, self.report):
            manifest = self._judge(bundle)
            record = self._record()
            if record.active and record.slots[record.active].bundle == manifest.identity:
                self._finish(record)
                self.report.say("install", "done", f"{manifest.short} flies already in slot {record.active}")
                bundle.unlink(missing_ok=True)
                return 0
            name = record.other if record.active else "a"
            self._fill(bundle, manifest, name)
            if not self._test(name, manifest):
                return 1
            self._switch(name, manifest)
            bundle.unlink(missing_ok=True)
            return 0

    def _record(self) -> Record:
        """The record, repaired or begun on disk."""
        trouble = self.slots.trouble()
        if trouble:
            self.report.say("record", "note", trouble)
        if trouble or not any_trace(self.places.base):
            return self.slots.update(lambda record: record)
        return self.slots.read()

    def _judge(self, bundle: Path) -> Manifest:
        """All reasons to refuse, before anything is written."""
        self.report.say("verify", "begin", bundle.name)
        ring = read_ring(self.places.trusted)
        for name in ring.strays:
            self.report.say("verify", "note", f"trusted/{name} is no key: it is passed over")
        keys = ring.public()
        with bundle.open("rb") as stream, open_bundle(stream) as archive:
            manifest = read_head(archive, keys)
        facts = read_facts(self.places.base, self.places.root)
        check_board(manifest, facts)
        record = self.slots.read()
        flown = [record.floor, record.agent, *(slot.release for slot in record.slots.values() if slot.good)]
        check_authority(manifest, ring, known_time(facts.clock, flown))
        check_age(manifest, record.floor)
        check_clock(manifest, facts, self.other_clock)
        with bundle.open("rb") as stream:
            check_all(stream, keys)
        told = f"{manifest.short}: signature, {len(manifest.files)} files, board, age, clock"
        self.report.say("verify", "done", told)
        return manifest

    def _fill(self, bundle: Path, manifest: Manifest, name: str) -> None:
        """Files and packages into the slot; what is there already counts only when it is whole."""
        folder = self.slots.folder(name)
        if not self._unpacked(folder, manifest):
            self._clear(name)
            check_space(manifest.needs_bytes, read_facts(self.places.base, self.places.root), self.places.base)
            self._unpack(bundle, folder, manifest)
        if not self._packed(folder, manifest):
            self._install_packages(folder, manifest)
        slot = Slot(manifest.identity, manifest.version, manifest.release, manifest.oldest_allowed)
        if self.slots.read().slots[name].bundle != manifest.identity:
            self.slots.update(lambda record: record.with_slot(name, slot))

    def _unpacked(self, folder: Path, manifest: Manifest) -> bool:
        if mark(folder, "unpacked") != manifest.identity:
            return False
        try:
            check_contents(folder, read_slot_manifest(folder, manifest.identity))
            return True
        except Refused as refused:
            self.report.say("unpack", "note", f"again: {refused}")
            return False

    def _packed(self, folder: Path, manifest: Manifest) -> bool:
        if mark(folder, "packages") != manifest.identity:
            return False
        try:
            check_packages(folder, manifest)
            return True
        except Refused as refused:
            self.report.say("packages", "note", f"again: {refused}")
            return False

    def _clear(self, name: str) -> None:
        """Empty the slot: first the record, then the marks, then the files."""
        if self.slots.read().slots[name] != Slot():
            self.slots.update(lambda record: record.with_slot(name, Slot()))
        folder = self.slots.folder(name)
        if folder.exists():
            for done in (GOOD, *(f".{step}" for step in STEPS)):
                (folder / done).unlink(missing_ok=True)
            sync_folder(folder)
        for left in (folder, folder.with_name(name + ".part")):
            shutil.rmtree(left, ignore_errors=True)

    def _unpack(self, bundle: Path, folder: Path, manifest: Manifest) -> None:
        self.report.say("unpack", "begin", f"{folder}")
        part = folder.with_name(folder.name + ".part")
        shutil.rmtree(part, ignore_errors=True)
        make_folder(part)
        unpack(bundle, part, read_ring(self.places.trusted).public(), self._progress("unpack"))
        set_mark(part, "unpacked", manifest.identity)
        part.rename(folder)
        sync_folder(folder.parent)
        self.report.say("unpack", "done", f"{len(manifest.files)} files in {folder}")

    def _install_packages(self, folder: Path, manifest: Manifest) -> None:
        site = folder / SITE
        shutil.rmtree(site, ignore_errors=True)
        make_folder(site)
        wheels = wheels_of(folder, manifest)
        for number, wheel in enumerate(wheels):
            self.report.say("packages", "progress", f"{number + 1}/{len(wheels)} {wheel.name}")
            unpack_wheel(wheel, site)
        sync_tree(site)
        set_mark(folder, "packages", manifest.identity)
        told = f"{len(wheels)} wheels" if wheels else "none in the bundle: the system's are used"
        self.report.say("packages", "done", told)

    def _test(self, name: str, manifest: Manifest) -> bool:
        folder = self.slots.folder(name)
        if mark(folder, "tested") == manifest.identity:
            self.report.say("self-test", "done", "passed before")
            return True
        self._set_power(manifest)
        self.report.say("self-test", "begin", f"slot {name}")
        status, tail = run_selftest(folder, self.places, self.report)
        if status:
            self.report.say("self-test", "failed", f"status {status}; the slot that flies stays. {tail}".strip())
            return False
        set_mark(folder, "tested", manifest.identity)
        self.report.say("self-test", "done", "passed")
        return True

    def _set_power(self, manifest: Manifest) -> None:
        if manifest.power_mode:
            modes = read_facts(self.places.base, self.places.root).modes
            self.report.say("power mode", "done", set_power_mode(manifest.power_mode, modes))

    def _switch(self, name: str, manifest: Manifest) -> None:
        """First the record: cut off behind it, the old unit starts the new slot, and `startup` places its unit."""
        check_slot(self.slots.folder(name), manifest.identity)
        self.slots.switch(name, f"installed {manifest.short}")
        place_unit(self.slots.folder(name), self.places)
        restart()
        self.report.say("switch", "done", f"slot {name} flies from now on: {manifest.short}")

    def _finish(self, record: Record) -> None:
        """An installation that was cut off behind its switch ends here."""
        ensure_started(self.slots.folder(record.active), self.slots.folder(record.other), self.places)

    def _progress(self, step: str) -> ProgressSayer:
        return ProgressSayer(self.report, step)


class ProgressSayer:
    """Says a share of the bytes, in steps of a tenth."""

    def __init__(self, report: Reporter, step: str) -> None:
        self._report, self._step, self._tenth = report, step, 0

    def __call__(self, done: int, total: int) -> None:
        tenth = 10 * done // max(total, 1)
        if tenth > self._tenth:
            self._tenth = tenth
            self._report.say(self._step, "progress", f"{tenth * 10} %")


def environment_of(folder: Path, places: Places) -> dict[str, str]:
    """The environment in which a slot's programs run, as in its unit: its own packages, then the system's."""
    path = os.pathsep.join([str(folder / "runtime"), str(folder / SITE)])
    # Byte code of this slot would otherwise be written into it, beside files that are checked.
    return {
        **os.environ,
        "PYTHONPATH": path,
        "PYTHONDONTWRITEBYTECODE": "1",
        "SWATHPACK_ENGINES": str(places.data / "engines"),
    }


def run_selftest(folder: Path, places: Places, report: Reporter) -> tuple[int, str]:
    """`swathpack.edge.install.selftest` of a slot; -> exit status and the last line of its standard error."""
    mission = [str(places.mission)] if places.mission.exists() else []
    command = [sys.executable, "-m", "swathpack.edge.install.selftest", *mission]
    errors = folder / "selftest.err"
    (places.data / "engines").mkdir(parents=True, exist_ok=True)
    with errors.open("w+") as err:
        with subprocess.Popen(
            command,
            cwd=folder,
            env=environment_of(folder, places),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=err,
            text=True,
        ) as process:
            assert process.stdout is not None
            for line in process.stdout:
                _pass_on(line, report)
            try:
                status = process.wait(SELFTEST_LIMIT_S)
            except subprocess.TimeoutExpired:
                process.kill()
                return 1, f"no end after {SELFTEST_LIMIT_S:.0f} s"
        err.seek(0)
        return status, (err.read().strip().splitlines() or [""])[-1][:300]


def roll_back(places: Places, report: Reporter) -> int:
    """Let the other slot fly, by command. Raises Refused (`no-slot`)."""
    slots = Slots(places.base)
    record = slots.read()
    name, other = record.other, record.slots[record.other]
    if not record.active or not other.bundle:
        raise Refused("no-slot", "there is no other installed slot to go back to")
    if mark(slots.folder(name), "tested") != other.bundle:
        raise Refused("no-slot", f"slot {name} never passed its self-test")
    check_slot(slots.folder(name), other.bundle)

    def leave(now: Record) -> Record:
        return now.with_slot(record.active, replace(now.slots[record.active], failed=True))

    slots.update(leave)
    slots.switch(name, "rolled back by command")
    place_unit(slots.folder(name), places)
    restart()
    report.say("rollback", "done", f"slot {name} flies from now on: {other.version} release {other.release}")
    return 0


def _pass_on(line: str, report: Reporter) -> None:
    try:
        told = json.loads(line)
        report.say(told.pop("step"), told.pop("state"), told.pop("text"), **told)
    except (ValueError, KeyError, TypeError, AttributeError):
        report.say("self-test", "note", line.strip()[:300])


@contextmanager
def _locked(base: Path, report: Reporter) -> Iterator[None]:
    """One installation at a time; waits for one whose connection was cut and that still goes on."""
    base.mkdir(parents=True, exist_ok=True)
    with (base / "lock").open("w") as handle:
        deadline, told = time.monotonic() + LOCK_WAIT_S, 0.0
        while True:
            try:
                fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
                break
            except BlockingIOError:
                if time.monotonic() > deadline:
                    raise Refused("busy", "another installation is running on the board") from None
                if time.monotonic() - told > 5.0:
                    told = time.monotonic()
                    report.say("install", "progress", "waiting for an installation that is still running")
                time.sleep(0.2)
        yield
