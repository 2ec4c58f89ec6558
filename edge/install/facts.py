"""What kind of board this is, read from the places where JetPack says it.

`root` is / on a board; tests give a folder that holds the same files.
"""

from __future__ import annotations

import platform
import re
import shutil
import sys
import time
from dataclasses import dataclass
from pathlib import Path

from swathpack.edge.install.manifest import MODELS, Manifest, Refused

# First number of the L4T release -> JetPack; 38 is JetPack 7 on Thor, 39 on Orin too.
JETPACK_OF_L4T = {35: 5, 36: 6, 38: 7, 39: 7}
CLOCK_TOLERANCE_S = 3600.0
_RELEASE = re.compile(r"#\s*R(\d+)\s*\(release\),\s*REVISION:\s*([\d.]+)")
_MODE = re.compile(r"^\s*<\s*POWER_MODEL\s+ID=(\d+)\s+NAME=(\S+)\s*>", re.MULTILINE)


@dataclass(frozen=True)
class Facts:
    """model: of the device tree. l4t: "36.4.3". jetpack: 0 when unknown. modes: power mode name -> number."""

    model: str
    l4t: str
    jetpack: int
    machine: str
    python: str
    free_bytes: int
    clock: float
    modes: dict[str, int]


def read_facts(place: Path, root: Path = Path("/")) -> Facts:
    """The facts of this board; `place` is where bundles are installed."""
    model = _text(root / "proc/device-tree/model").rstrip("\0\n")
    found = _RELEASE.search(_text(root / "etc/nv_tegra_release"))
    l4t = f"{found[1]}.{found[2]}" if found else ""
    modes = {name: int(number) for number, name in _MODE.findall(_text(root / "etc/nvpmodel.conf"))}
    existing = next(p for p in (place, *place.parents) if p.exists())
    return Facts(
        model,
        l4t,
        JETPACK_OF_L4T.get(int(found[1]), 0) if found else 0,
        platform.machine(),
        f"{sys.version_info.major}.{sys.version_info.minor}",
        shutil.disk_usage(existing).free,
        time.time(),
        modes,
    )


def _text(path: Path) -> str:
    try:
        return path.read_text(errors="replace")
    except OSError:
        return ""


def check_board(manifest: Manifest, facts: Facts) -> None:
    """Refuse a bundle that is for another board, JetPack or Python; raises Refused (`wrong-board`)."""
    known = MODELS.get(manifest.board, ())
    if not any(name in facts.model for name in known):
        raise Refused("wrong-board", f"bundle for {manifest.board}; this board is {facts.model or 'of unknown model'}")
    if manifest.jetpack != facts.jetpack:
        found = f"JetPack {facts.jetpack} (L4T {facts.l4t})" if facts.jetpack else f"L4T {facts.l4t or 'unknown'}"
        raise Refused("wrong-board", f"bundle for JetPack {manifest.jetpack}; this board runs {found}")
    if manifest.machine != facts.machine:
        raise Refused("wrong-board", f"bundle for {manifest.machine}; this board is {facts.machine}")
    if manifest.python and manifest.python != facts.python:
        raise Refused("wrong-board", f"wheels for Python {manifest.python}; this board has {facts.python}")


def check_space(needs_bytes: int, facts: Facts, place: Path) -> None:
    """Room for the bundle's slot where it goes; raises Refused (`space`)."""
    if facts.free_bytes < needs_bytes:
        needed, found = needs_bytes >> 20, facts.free_bytes >> 20
        raise Refused("space", f"{place}: {needed} MB needed, {found} MB free")


def check_clock(manifest: Manifest, facts: Facts, other_clock: float | None) -> None:
    """A clock before the bundle's release or far from the flashing machine's is wrong; raises Refused (`clock`)."""
    fix = "set it with: sudo date -s '...' or sudo timedatectl set-ntp true"
    if facts.clock < manifest.release - CLOCK_TOLERANCE_S:
        behind = (manifest.release - facts.clock) / 86400
        raise Refused("clock", f"the board's clock is {behind:.1f} days before this bundle was made; {fix}")
    if other_clock is not None and abs(facts.clock - other_clock) > CLOCK_TOLERANCE_S:
        apart = (facts.clock - other_clock) / 3600
        raise Refused("clock", f"the board's clock is {apart:+.1f} hours off this machine's; {fix}")


def check_age(manifest: Manifest, floor: int) -> None:
    """No release below the floor; raises Refused (`too-old`)."""
    if manifest.release < floor:
        raise Refused("too-old", f"release {manifest.release} is older than the oldest allowed, {floor}")
