"""Long work: killed at any moment and taken up again it gives the file of an undisturbed run; nothing half is left."""

from __future__ import annotations

import argparse
import signal
import time
from pathlib import Path
from types import ModuleType

import numpy as np
import pytest

from swathpack.codec import filters, seams, squares
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.commands import decompress
from swathpack.tools.errors import DONE
from swathpack.tools.files.api import model_version
from swathpack.tools.files.tile_store import TileStore
from tests.codec_models import shipped
from tests.tools.commands.long_runs import kill_at_random, start_slowly

pytestmark = pytest.mark.long


TILES = {"transform": 9, "learned": 5}
ONE = pytest.mark.parametrize("stream", ["transform", pytest.param("learned", marks=pytest.mark.slow)], indirect=True)


@pytest.fixture(scope="module")
def stream(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Three dates of some tiles each, later ones coded against earlier ones; narrow where the network's take long."""
    folder = tmp_path_factory.mktemp(request.param)
    bands, side = (3, (520, 516)) if request.param == "transform" else (12, (1036, 32))
    dates = ["2026-01-01", "2026-01-06", "2026-01-11"]
    names = np.array(["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"][:bands])
    np.savez(folder / "cube.npz", data=values(*side, 3, 3)[:, :bands], bands=names, dates=dates)
    words = ["--quality", "30", "--fast", "--tile", "256", "--mode", request.param]
    assert main(["compress", str(folder / "cube.npz"), "-o", str(folder / "a.swp"), *words]) == DONE
    return folder / "a.swp"


@ONE
def test_a_killed_run_goes_on_to_the_same_file(stream: Path, tmp_path: Path) -> None:
    whole, broken = tmp_path / "whole.npz", tmp_path / "broken.npz"
    assert main(["decompress", str(stream), "-o", str(whole), "--threads", "1"]) == DONE
    words = ["decompress", str(stream), "-o", str(broken), "--resume", "--threads", "2"]
    kill_at_random(words, tmp_path / "broken.npz.journal", len(str(stream.parent.name)))
    if not broken.exists():
        assert (tmp_path / "broken.npz.journal").stat().st_size > 1000  # tiles, not the first line alone
        assert main(words) == DONE
    with np.load(whole) as a, np.load(broken) as b:
        np.testing.assert_array_equal(a["data"], b["data"])
    assert not (tmp_path / "broken.npz.journal").exists()


@ONE
def test_what_the_journal_has_is_not_made_again(stream: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from swathpack.tools.files import tile_jobs

    made: list[int] = []
    decode = tile_jobs._JOBS["decode"]

    def counted(*arguments: object) -> object:
        made.append(1)
        if len(made) == 7:
            raise KeyboardInterrupt
        return decode(*arguments)

    monkeypatch.setitem(tile_jobs._JOBS, "decode", counted)
    words = ["decompress", str(stream), "-o", str(tmp_path / "a.npz"), "--resume", "--threads", "1"]
    assert main(words) == 130 and main(words) == DONE
    assert len(made) == 3 * TILES[next(mode for mode in TILES if stream.parent.name.startswith(mode))] + 1


@ONE
def test_a_journal_of_other_options_is_begun_anew(stream: Path, tmp_path: Path) -> None:
    journal = tmp_path / "a.npz.journal"
    other = TileStore(journal, "of something else")
    other.put("f0t0", report="what no run of now has")
    other.close()
    assert journal.exists()
    words = ["decompress", str(stream), "-o", str(tmp_path / "a.npz"), "--resume", "--threads", "1"]
    assert main(words) == DONE and not journal.exists()


@pytest.mark.parametrize("tables", [filters, squares, seams], ids=["filters", "squares", "seams"])
def test_a_journal_of_tiles_that_other_tables_drew_is_begun_anew(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, tables: ModuleType
) -> None:
    """Tables were fitted anew between two versions, and images were half of the one and half of the other; so were measures of a
    bench's cache.
    """
    (tmp_path / "a.swp").touch()
    parser = argparse.ArgumentParser()
    decompress.add_arguments(parser)
    args = parser.parse_args([str(tmp_path / "a.swp"), "-o", str(tmp_path / "a.npz"), "--resume"])
    before, cached = decompress.journal(args, shipped()), model_version()
    assert before == decompress.journal(args, shipped())
    other = tmp_path / "other.npz"
    other.write_bytes(tables.FILE.read_bytes() + b"fitted anew")
    monkeypatch.setattr(tables, "FILE", other)
    after = decompress.journal(args, shipped())
    assert after[0] == before[0] and after[1] != before[1] and model_version() != cached


@ONE
def test_ctrl_c_and_termination_leave_the_journal_of_resume_and_nothing_else(stream: Path, tmp_path: Path) -> None:
    words = ["decompress", str(stream), "-o", str(tmp_path / "a.npz"), "--threads", "2"]
    ends = (["--resume"], ["a.npz.journal"], signal.SIGINT, 130), ([], [], signal.SIGTERM, 143)
    for more, left, asked, code in ends:
        child = start_slowly("decode", *words, *more)
        while child.poll() is None and not list(tmp_path.iterdir()):
            time.sleep(0.01)
        child.send_signal(asked)
        said = child.communicate()[0]
        assert child.returncode == code and "Traceback" not in said, said
        assert sorted(p.name for p in tmp_path.iterdir()) == left
        for path in tmp_path.iterdir():
            path.unlink()
