"""What killed runs leave beside an output goes with the next run; nothing else does."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from pathlib import Path

from swathpack.codec.stages import SUFFIX, Stage, sweep
from swathpack.tools.files.outputs import write_bytes
from tests.tools.commands.long_runs import ROOT

_KILLED = """
import os, sys
from pathlib import Path
from swathpack.tools.files.outputs import Output
with Output(Path(sys.argv[1])) as place:
    place.write_bytes(b"half")
    os.kill(os.getpid(), 9)
"""


def aged(path: Path) -> None:
    """As if it had been made an hour ago."""
    os.utime(path, (time.time() - 3600,) * 2)


def stages(folder: Path) -> list[Path]:
    return [p for p in folder.iterdir() if p.name.endswith(SUFFIX)]


def test_what_a_killed_run_left_goes_with_the_next_run_to_the_same_target(tmp_path: Path) -> None:
    target = tmp_path / "a.swp"
    killed = subprocess.run([sys.executable, "-c", _KILLED, str(target)], env={**os.environ, "PYTHONPATH": str(ROOT)})
    assert killed.returncode == -9 and not target.exists()
    (left,) = stages(tmp_path)
    write_bytes(target, b"new")
    assert left.exists(), "it may be of a run that has just begun"
    aged(left)
    write_bytes(tmp_path / "b.swp", b"another")
    assert (left / "a.swp").read_bytes() == b"half"
    write_bytes(target, b"newer")
    assert not left.exists() and target.read_bytes() == b"newer"


def test_an_old_folder_that_stepped_aside_stays_while_nothing_is_in_its_place(tmp_path: Path) -> None:
    target, stage = tmp_path / "a.zarr", tmp_path / f".a.zarr.12345678{SUFFIX}"
    (stage / "a.zarr.old").mkdir(parents=True)
    (stage / "a.zarr.old" / "kept").touch()
    aged(stage)
    sweep(target)
    assert (stage / "a.zarr.old" / "kept").exists()
    target.mkdir()
    sweep(target)
    assert not stage.exists()


def test_a_run_that_goes_on_keeps_its_stage(tmp_path: Path) -> None:
    target = tmp_path / "a.swp"
    stage = Stage(target)
    (stage.path / "a.swp").write_bytes(b"half")
    aged(stage.path)
    sweep(target)
    assert (stage.path / "a.swp").exists()
    stage.close()
    assert not list(tmp_path.iterdir())


def test_nothing_that_is_not_a_stage_of_the_target_goes(tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "kept").touch()
    names = [f".a.b.12345678{SUFFIX}", f".a.1234567{SUFFIX}", f"a.12345678{SUFFIX}", ".a.12345678.part"]
    for name in names:
        (tmp_path / name).mkdir()
        aged(tmp_path / name)
    (tmp_path / f".a.87654321{SUFFIX}").touch()
    aged(tmp_path / f".a.87654321{SUFFIX}")
    (tmp_path / f".a.abcdefgh{SUFFIX}").symlink_to(elsewhere)
    aged(elsewhere)
    before = sorted(tmp_path.rglob("*"))
    sweep(tmp_path / "a")
    assert sorted(tmp_path.rglob("*")) == before
