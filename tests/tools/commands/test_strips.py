"""Fewer layers of exact tiles, which are strips of rows: what is not there is nodata, and it is said."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import swathpack
from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.cli import main
from swathpack.tools.errors import PARTLY, StreamError

BANDS = ("B02", "B03", "B04")


@pytest.fixture(scope="module")
def exact(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One date of 96 x 64 pixels in tiles of 64: one of 64 rows, one of 32."""
    frames = series(96, 64, 1, bands=BANDS)
    path = tmp_path_factory.mktemp("exact") / "exact.swp"
    swathpack.compress(frames, lossless=True, tile=64).save(path)
    return path


@pytest.mark.parametrize("threads", [1, pytest.param(2, marks=pytest.mark.long)])
def test_rows_that_are_left_out_are_nodata_and_told(exact, tmp_path, threads, capsys):
    whole = swathpack.decompress(exact)
    report = tmp_path / "report.json"
    words = ["decompress", exact, "-o", tmp_path / "out.npz", "--layers", 4, "--report", report, "--threads", threads]
    assert main([str(w) for w in words]) == PARTLY
    said = capsys.readouterr()
    assert "0 of 1 frames whole" in said.out
    assert "frame 0, tile 0: 48 of 64 rows are not among its first 4 layers, which are strips of rows" in said.out
    (warned,) = [line for line in said.err.splitlines() if line.startswith("swathpack decompress: ")]
    assert "2 tiles without 72 rows, which are nodata" in warned and "leave out --layers" in warned
    assert [t["rows_lacking"] for t in json.loads(report.read_text())["frames"][0]["tiles"]] == [48, 24]
    with np.load(tmp_path / "out.npz") as archive:
        found = archive["data"]
    there = np.zeros(96, bool)
    there[:16] = there[64:72] = True
    assert np.array_equal(found[:, :, there], whole[:, :, there]) and not found[:, :, ~there].any()


def test_all_layers_are_whole_and_say_nothing(exact, tmp_path, capsys):
    assert main(["decompress", str(exact), "-o", str(tmp_path / "out.npz")]) == 0
    said = capsys.readouterr()
    assert "1 of 1 frames whole" in said.out and "rows" not in said.out + said.err


def test_a_cut_file_says_how_many_rows_lack(exact, tmp_path, capsys):
    cut = tmp_path / "cut.swp"
    cut.write_bytes(exact.read_bytes()[: exact.stat().st_size // 3])
    assert main(["decompress", str(cut), "-o", str(tmp_path / "out.npz")]) == PARTLY
    said = capsys.readouterr()
    assert "of 64 rows lack" in said.out and "1 tile without" in said.err and "--layers" not in said.err


def test_from_python_the_missing_rows_are_asked_for_or_raise(exact):
    for read in (
        lambda **how: swathpack.open(exact, **how).read(0, layers=4),
        lambda **how: swathpack.open(exact, **how).read_all(layers=4)[0],
        lambda **how: swathpack.decompress(exact, layers=4, **how)[0],
        lambda **how: swathpack.decompress(exact, layers=4, window=(0, 0, 96, 64), **how)[0],
    ):
        with pytest.raises(StreamError, match="48 of 64 rows.*strips of rows.*partial=True") as told:
            read()
        assert len(told.value.missing) == 2
        assert read(partial=True)[:, :16].all() and not read(partial=True)[:, 16:64].any()
    assert not swathpack.open(exact, partial=True).frame(0, layers=4).valid[16:64].any()


def test_tiles_that_are_no_strips_come_coarser_as_before(tmp_path):
    """Of a file with an exact region only its tiles lack rows."""
    frames = series(64, 128, 1, bands=BANDS)
    stream = swathpack.compress(frames, quality=20, tile=64, regions=[(0, 0, 8, 8)])
    partly = swathpack.open(bytes(stream), partial=True).frame(0, layers=4)
    assert partly.valid[:, 64:].all() and partly.valid[:16].all() and not partly.valid[16:, :64].any()
    assert stream.read(0, layers=4, window=np.s_[:, 72:]).all()
