"""Installations for the power-cut campaign: whatever flies is whole, and the same command ends what was cut."""

from __future__ import annotations

import os
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace
from typing import Any

from swathpack.edge.install import __main__ as verbs
from swathpack.edge.install import installer, service
from swathpack.edge.install.installer import Installer, roll_back
from swathpack.edge.install.report import Reporter
from swathpack.edge.install.service import Places
from swathpack.edge.install.slots import Slots
from swathpack.edge.install.verify import check_slot
from swathpack.edge.packets.link_keys import read_link_keys
from swathpack.edge.storage.durable import write_durably
from swathpack.hil_tests.simulation.small_bundle import KEY, bundle, files, kit

RELEASES = {"one": {}, "two": {"release": 1_700_000_100, "oldest_allowed": 1_700_000_100}}


class Quiet(Reporter):
    """Says nothing; the log is no promise."""

    def say(self, step: str, state: str, text: str, **more: object) -> None:
        pass


ANSWER = SimpleNamespace(returncode=0, stdout="active", stderr="")
STAND_INS: tuple[tuple[ModuleType, str, Any], ...] = (
    (installer, "run_selftest", lambda *_: (0, "")),
    (service, "systemctl", lambda *_: ANSWER),
    (verbs, "systemctl", lambda *_: ANSWER),
    (installer, "set_power_mode", lambda *_: ""),
    (verbs, "Reporter", Quiet),
)


def stand_in() -> None:
    """Without programs of a kit: the self-test passes, systemd takes every order."""
    for module, name, answer in STAND_INS:
        setattr(module, name, answer)
    os.environ["PYTHONDONTWRITEBYTECODE"] = "1"


class Installation:
    """What each such `Part` has: a kit, bundles beside it, and the verbs that systemd calls."""

    name = ""

    def __init__(self) -> None:
        self.bundles: dict[str, Path] = {}

    def prepare(self, folder: Path) -> None:
        stand_in()
        kit(folder)
        store = folder.with_name("bundles")
        store.mkdir()
        for name, changes in RELEASES.items():
            self.bundles[name] = bundle(store, files(note=name), KEY, **changes)
        self.begin(folder)

    def begin(self, folder: Path) -> None:
        """What is installed before."""

    def change(self, folder: Path) -> None:
        """What is cut: the order that the kit is given."""
        raise NotImplementedError

    def work(self, folder: Path) -> Iterator[None]:
        """The order, and what systemd calls at the next start."""
        self.change(folder)
        yield
        self.verb(folder, "startup")
        self.verb(folder, "confirm")
        yield

    def install(self, folder: Path, name: str) -> int:
        """As the flashing machine does: the bundle is sent again where it is not here any more."""
        incoming = folder / "opt/swathpack/incoming"
        incoming.mkdir(parents=True, exist_ok=True)
        if not (incoming / f"{name}.tar").exists():
            write_durably(incoming / f"{name}.tar", self.bundles[name].read_bytes())
        return Installer(Places(folder), Quiet()).install(incoming / f"{name}.tar")

    def verb(self, folder: Path, name: str) -> int:
        """Run what systemd calls by that name; its exit code."""
        return verbs.main([name, "--root", str(folder)])

    def fly(self, folder: Path) -> str:
        """Start as systemd does; the release that flies, whole, or what is wrong."""
        places, slots = Places(folder), Slots(folder / "opt/swathpack")
        if not slots.read().active:
            return ""
        for _ in range(2):  # the first start may only have placed a unit
            status = self.verb(folder, "startup")
            if status == 0:
                break
        if status:
            return f"startup ends with {status}"
        record = slots.read()
        slot = slots.folder(record.active)
        check_slot(slot, record.slots[record.active].bundle)
        if places.unit.read_bytes() != (slot / "unit/swathpack.service").read_bytes():
            return "the unit is not of the slot that flies"
        if places.mission.exists() and not read_link_keys(places.link_keys):
            return "a mission without keys"
        if self.verb(folder, "confirm"):
            return "confirm fails"
        return (folder / "opt/swathpack/current/runtime/note.txt").read_text()

    def finish(self, folder: Path, name: str) -> str:
        """The same command again; "" when it ends in the release that it brings."""
        if self.install(folder, name):
            return "the installation cannot be finished"
        if not Places(folder).unit.exists():
            return "there is no unit"
        found = self.fly(folder)
        return "" if found == name else f"after the same command: {found}"


class FirstInstallation(Installation):
    """On a board that has nothing."""

    name = "first install"

    def change(self, folder: Path) -> None:
        self.install(folder, "one")

    def judge(self, folder: Path, steps: int) -> str:
        places = Places(folder)
        found = self.fly(folder) if places.unit.exists() else ""
        if found not in ("", "one") or (steps and found != "one"):
            return found or "nothing flies"
        return self.finish(folder, "one") or ("new" if found == "one" else "old")


class Upgrade(Installation):
    """Release two over release one, which flies."""

    name = "upgrade"

    def begin(self, folder: Path) -> None:
        assert self.finish(folder, "one") == ""

    def change(self, folder: Path) -> None:
        self.install(folder, "two")

    def judge(self, folder: Path, steps: int) -> str:
        found = self.fly(folder)
        if found not in ("one", "two") or (steps and found != "two"):
            return found
        return self.finish(folder, "two") or ("new" if found == "two" else "old")


class Rollback(Installation):
    """Back to release one from release two, both good."""

    name = "rollback"

    def begin(self, folder: Path) -> None:
        assert self.finish(folder, "one") == "" and self.finish(folder, "two") == ""

    def change(self, folder: Path) -> None:
        roll_back(Places(folder), Quiet())

    def judge(self, folder: Path, steps: int) -> str:
        found = self.fly(folder)
        if found not in ("one", "two") or (steps and found != "one"):
            return found
        if Slots(folder / "opt/swathpack").read().active == "b" and roll_back(Places(folder), Quiet()):
            return "the rollback cannot be given again"
        return ("old" if found == "two" else "new") if self.fly(folder) == "one" else "the rollback does not end"
