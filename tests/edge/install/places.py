"""A kit's folder with its stand-in programs on the path, and what systemd does at a start, for tests of the installer."""

from __future__ import annotations

from pathlib import Path

import pytest

from swathpack.edge.install.__main__ import main
from swathpack.edge.install.installer import Installer
from swathpack.edge.install.report import Reporter
from swathpack.edge.install.service import Places
from swathpack.hil_tests.simulation.small_bundle import bundle, files, kit, kit_environment


def made(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Places:
    """A kit that nothing is installed on."""
    places = kit(tmp_path / "root")
    for name in ("PATH", "KIT_ROOT"):
        monkeypatch.setenv(name, kit_environment(places.root)[name])
    return places


def install(places: Places, path: Path) -> int:
    return Installer(places, Reporter(places.log)).install(path)


def start(places: Places, ready: bool = True) -> int:
    """What systemd does at a start of the service: -> status of ExecStartPre."""
    status = main(["startup", "--root", str(places.root)])
    if status == 0 and ready:
        assert main(["confirm", "--root", str(places.root)]) == 0
    return status


def note(places: Places) -> str:
    return (places.base / "current/runtime/note.txt").read_text()


def two_releases(places: Places, tmp_path: Path) -> None:
    """Release one in slot a, good; release two in slot b, just switched to."""
    assert install(places, bundle(tmp_path, files(note="one"))) == 0
    assert start(places) == 0
    two = bundle(tmp_path, files(note="two"), release=1_700_000_100, oldest_allowed=1_700_000_100)
    assert install(places, two) == 0
