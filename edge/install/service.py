"""The systemd unit of the flight runtime and the folders it uses."""

from __future__ import annotations

import shutil
import subprocess
from dataclasses import dataclass
from pathlib import Path

from swathpack.edge.install.manifest import Refused

UNIT = "swathpack.service"
MISSION = "mission.toml"


@dataclass(frozen=True)
class Places:
    """Where things are on the board; `root` is / except in tests."""

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
    """Install the slot's unit, and the example mission where there is none yet."""
    places.unit.parent.mkdir(parents=True, exist_ok=True)
    part = places.unit.with_suffix(".part")
    shutil.copyfile(slot / "unit" / UNIT, part)
    part.replace(places.unit)
    for name in ("inbox", "outbox", "uplink", "state"):
        (places.data / name).mkdir(parents=True, exist_ok=True)
    if not places.mission.exists():
        places.mission.parent.mkdir(parents=True, exist_ok=True)
        part = places.mission.with_suffix(".part")
        shutil.copyfile(slot / "unit" / MISSION, part)
        part.replace(places.mission)
    systemctl("daemon-reload")


def restart() -> None:
    """Start the runtime anew, without waiting for it. Raises Refused (`systemd`)."""
    systemctl("enable", UNIT)
    systemctl("reset-failed", UNIT)
    done = systemctl("restart", "--no-block", UNIT)
    if done.returncode:
        raise Refused("systemd", f"systemctl restart {UNIT}: {done.stderr.strip()[:300]}")
