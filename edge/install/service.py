"""The systemd units of the flight runtime, the folders it uses, and what a new board is given: mission and link keys."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from swathpack.edge.install.manifest import Refused
from swathpack.edge.packets.link_keys import make_link_keys
from swathpack.edge.storage.durable import make_folder, write_durably

UNIT = "swathpack.service"
MISSION = "mission.toml"
FALLBACK = "fallback.sh"
FALLBACK_TIMER = "swathpack-fallback.timer"
FALLBACK_UNITS = ("swathpack-fallback.service", FALLBACK_TIMER)
RUNNING = ("active", "activating", "reloading", "deactivating")


@dataclass(frozen=True)
class Places:
    """Where things are on the board; `root` is / except in tests.

    base: the slots, and what the installer keeps beside them. unit: of the runtime. mission: its configuration.
    link_keys: of reports and packets. trusted: keys that may sign bundles. fallback: the script that needs no Python.
    data: all that the runtime writes. log: of installations, a line of JSON an event.
    """

    root: Path = Path("/")

    @property
    def base(self) -> Path:
        return self.root / "opt/swathpack"

    @property
    def unit(self) -> Path:
        return self.root / "etc/systemd/system" / UNIT

    @property
    def mission(self) -> Path:
        return self.root / "etc/swathpack" / MISSION

    @property
    def link_keys(self) -> Path:
        return self.mission.with_name("link.keys")

    @property
    def trusted(self) -> Path:
        return self.base / "trusted"

    @property
    def fallback(self) -> Path:
        return self.base / FALLBACK

    @property
    def data(self) -> Path:
        return self.root / "var/lib/swathpack"

    @property
    def log(self) -> Path:
        return self.base / "log/install.jsonl"


def systemctl(*words: str) -> subprocess.CompletedProcess[str]:
    """Run systemctl; raises Refused (`systemd`) where there is none."""
    command = shutil.which("systemctl")
    if command is None:
        raise Refused("systemd", "systemctl is not installed")
    return subprocess.run([command, *words], capture_output=True, text=True, check=False, stdin=subprocess.DEVNULL)


def place_unit(slot: Path, places: Places) -> None:
    """Install the slot's unit, and what a new board lacks; every file is the old or the new one at any instruction."""
    make_folder(places.unit.parent)
    write_durably(places.unit, (slot / "unit" / UNIT).read_bytes())
    for name in ("inbox", "outbox", "uplink", "state"):
        make_folder(places.data / name)
    if not places.mission.exists():
        make_folder(places.mission.parent)
        # The keys first: a mission that is there was placed, or is somebody's own, and then its keys are theirs.
        with contextlib.suppress(FileExistsError):
            make_link_keys(places.link_keys)
        write_durably(places.mission, (slot / "unit" / MISSION).read_bytes())
    if not places.fallback.exists():
        place_fallback(slot, places)
    systemctl("daemon-reload")


def place_fallback(slot: Path, places: Places) -> None:
    """What sends the board back when neither unit nor installer work; renewed from slots that have proved themselves."""
    files = {places.fallback: FALLBACK, **{places.unit.with_name(name): name for name in FALLBACK_UNITS}}
    for target, name in files.items():
        source = slot / "unit" / name
        if source.exists() and (not target.exists() or target.read_bytes() != source.read_bytes()):
            write_durably(target, source.read_bytes())


def unit_is_of_another_slot(slot: Path, other: Path, places: Places) -> bool:
    """Whether the unit in use was left behind by a switch that the power cut short; one that somebody wrote is not."""
    mine, now = _text(slot / "unit" / UNIT), _text(places.unit)
    return bool(mine) and now != mine and (now == _text(other / "unit" / UNIT) or "ExecStart=" not in now)


def restart() -> None:
    """Start the runtime anew, without waiting for it. Raises Refused (`systemd`)."""
    systemctl("enable", UNIT, FALLBACK_TIMER)
    os.sync()  # systemd does not sync the links that it makes
    systemctl("reset-failed", UNIT)
    systemctl("start", "--no-block", FALLBACK_TIMER)
    done = systemctl("restart", "--no-block", UNIT)
    if done.returncode:
        raise Refused("systemd", f"systemctl restart {UNIT}: {done.stderr.strip()[:300]}")


def ensure_started(slot: Path, other: Path, places: Places) -> None:
    """Do what a switch still has to do that was cut off behind its record. Raises Refused (`systemd`)."""
    stale = not places.unit.exists() or unit_is_of_another_slot(slot, other, places)
    if stale:
        place_unit(slot, places)
    if stale or systemctl("is-active", UNIT).stdout.strip() not in RUNNING:
        restart()


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""
