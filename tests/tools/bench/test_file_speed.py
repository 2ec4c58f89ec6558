"""The table of speeds: every codec codes a small scene; the scene is made of crops that differ."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.bench import file_speed, mosaic
from swathpack.tools.cli import main
from swathpack.tools.errors import USAGE, UserError

pytest.importorskip("rasterio")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("cubes")
    for seed in range(2):
        np.savez(path / f"{seed}.npz", data=values(260, 250, 1, seed + 1), bands=np.array(BANDS))
    return path


def test_no_two_blocks_of_a_mosaic_are_alike(folder: Path) -> None:
    sources = mosaic.load_sources(folder)
    side, chosen = mosaic.layout(sources, 500, 470)
    assert len(set(chosen)) == len(chosen) == (-(-500 // side)) * (-(-470 // side))
    scene = np.concatenate(list(mosaic.rows(sources, 500, 470)), 1)
    assert scene.shape == (12, 500, 470)
    blocks = [
        scene[:, y : y + side, x : x + side].tobytes()
        for y in range(0, 500 - side, side)
        for x in range(0, 470 - side, side)
    ]
    assert len(set(blocks)) == len(blocks)
    with pytest.raises(UserError, match="crops that differ"):
        mosaic.layout(sources, 4000, 4000)


@pytest.mark.long
def test_every_codec_has_a_row(folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    codecs = "swathpack-transform,j2k,gtiff-deflate,gtiff-zstd"
    words = ["--speed", "--sides", "200", "--codecs", codecs, "--out", str(tmp_path / "out")]
    assert main(["bench", str(folder), *words]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:6]] == codecs.split(",")
    assert all(line.count("|") == 13 and "failed" not in line for line in lines[:6]), lines
    assert (tmp_path / "out" / "speed.json").is_file()
    ours = lines[2].split("|")
    assert float(ours[3]) == pytest.approx(file_speed.BPPB, abs=0.001) and float(ours[5]) > 25


def test_what_cannot_be_measured_is_said(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["bench", str(folder), "--speed", "--sides", "9"]) == USAGE
    assert main(["bench", str(folder), "--speed", "--codecs", "zip"]) == USAGE
    assert file_speed._child("j2k", folder / "none.tif", 0.1)["failed"]
