"""A scene coded as a user codes it: every row has its figures, the budget is filled, memory of all processes counts."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from contextlib import redirect_stdout
from functools import partial
from io import StringIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools import cli
from swathpack.tools.bench import whole_tile
from swathpack.tools.errors import DONE, UserError

pytestmark = pytest.mark.long

pytest.importorskip("rasterio")


def in_this_process(find: Callable[..., float], *given: Any) -> float:
    """A level that is looked for without a process a try: those of the table show that commands are run in their own."""

    def here(*words: str) -> whole_tile.Run:
        assert cli.main(list(words)) == DONE
        return whole_tile.Run(1, 1, 1)

    with pytest.MonkeyPatch.context() as patch, redirect_stdout(StringIO()):
        patch.setattr(whole_tile, "run", here)
        return find(*given)


def test_a_small_scene(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(whole_tile, "level_taking", partial(in_this_process, whole_tile.level_taking))
    np.savez(tmp_path / "0.npz", data=values(260, 250, 1), bands=np.array(BANDS))
    words = [
        str(tmp_path),
        str(tmp_path / "out"),
        "--side",
        "200",
        "--bands",
        "B02,B03,B04",
        "--bppb",
        "0.5",
        "--threads",
        "1",
    ]
    assert whole_tile.main(words) == 0
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in capsys.readouterr().out.splitlines()]
    assert [len(row) for row in rows] == [7] * 6 and rows[2][0] == "compress, budget"
    assert 0.99 <= float(rows[2][5]) <= 1 and int(rows[2][4]) <= 0.5 / 8 * 200 * 200 * 3
    assert all(float(row[3]) > 50 and float(row[2]) > 0 for row in rows[2:])
    assert float(rows[3][6]) > 25
    assert not list((tmp_path / "out").glob("budget.tif"))


def test_memory_of_children_counts() -> None:
    child = "import subprocess, sys; subprocess.run([sys.executable, '-c', 'import time; x = b\"1\" * 10**8; time.sleep(2)'])"
    with subprocess.Popen([sys.executable, "-c", child]) as process:
        watch = whole_tile._Watch(process.pid)
        watch.start()
        process.wait()
        watch.join()
    assert 95 < watch.peak_mb < 300


def test_a_command_that_fails_is_said(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="exit code 1"):
        whole_tile.run("inspect", str(tmp_path / "none.swp"))
