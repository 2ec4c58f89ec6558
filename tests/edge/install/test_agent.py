"""The installer by itself: what it needs of the package is what is copied for it."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

import swathpack
from swathpack.edge.install.agent import agent_paths, is_agents

PACKAGE = Path(swathpack.__file__).parent


def _status(agent: Path, root: Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-S", "-m", "swathpack.edge.install", "status", "--root", str(root)]
    environment = {**os.environ, "PYTHONPATH": str(agent)}
    return subprocess.run(command, env=environment, cwd=root, capture_output=True, text=True, check=False)


def _copy(paths: list[Path], target: Path) -> None:
    for path in paths:
        place = target / "swathpack" / path.relative_to(PACKAGE)
        place.parent.mkdir(parents=True, exist_ok=True)
        shutil.copyfile(path, place)


def test_its_files_are_enough(tmp_path: Path) -> None:
    _copy(agent_paths(PACKAGE), tmp_path / "opt/swathpack/agents/x")
    done = _status(tmp_path / "opt/swathpack/agents/x", tmp_path)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("slot", [True, False])
def test_a_copy_that_an_older_installer_made_takes_the_rest_from_a_slot(slot: bool, tmp_path: Path) -> None:
    """Before 0.2 only the installer's own folder was copied."""
    agent = tmp_path / "opt/swathpack/agents/x"
    whole = agent_paths(PACKAGE)
    _copy([path for path in whole if path.parent.name == "install"], agent)
    _copy([PACKAGE / "edge/__init__.py", PACKAGE / "__init__.py"], agent)
    assert not (agent / "swathpack/edge/storage").exists()
    if slot:
        _copy(whole, tmp_path / "opt/swathpack/slots/a/runtime")
    assert (_status(agent, tmp_path).returncode == 0) == slot


def test_names_are_told_apart() -> None:
    names = {path.relative_to(PACKAGE).as_posix() for path in agent_paths(PACKAGE)}
    assert all(map(is_agents, names)) and not is_agents("edge/loop.py") and not is_agents("edge/install/deep/a.py")
