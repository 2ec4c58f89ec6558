"""`swathpack calibrate`: what it refuses, and a whole run on made cubes."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")
pytest.importorskip("onnx")

from swathpack.edge.bands import BANDS  # noqa: E402
from swathpack.tools.cli import main  # noqa: E402
from tests.tools.calibrate.test_sets import cube  # noqa: E402


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--qualities", "8,x"], "--qualities: expected at least 3 steps in 0..63"),
        (["--qualities", "8,20"], "--qualities: expected at least 3 steps"),
        (["--qualities", "8,20,64"], "--qualities: expected at least 3 steps"),
        (["--tiles", "0"], "--tiles: expected 1 or more, found 0"),
        ([], "no such folder"),
    ],
)
def test_bad_requests_give_one_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], message: str
) -> None:
    assert main(["calibrate", str(tmp_path / "absent"), "--out", str(tmp_path / "out"), *options]) == (
        2 if message.startswith("--") else 1
    )
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_what_draws_the_report_is_asked_for_before_the_work(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    assert main(["calibrate", str(tmp_path / "absent"), "--out", str(tmp_path / "out")]) == 1
    assert "needs the package matplotlib: pip install 'swathpack[bench]'" in capsys.readouterr().err


@pytest.mark.slow
def test_a_whole_calibration(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for i in range(3):
        cube(tmp_path / "data" / f"p{i}.npz", BANDS, 64, i)
    out = tmp_path / "out"
    options = ["--tiles", "2", "--judge-tiles", "1", "--qualities", "8,24,40"]
    assert main(["calibrate", str(tmp_path / "data"), "--out", str(out), *options]) == 0
    assert "kept: " in capsys.readouterr().out
    found = json.loads((out / "calibration.json").read_text())
    assert found["chosen"] in found["candidates"] and len(found["weight_exponents"]["1"]) == 512
    assert abs(found["candidates"]["two-planes"]["bd_rate_percent"]) < 2
    assert (out / "calibration.png").stat().st_size > 20_000 and (out / "analysis_int8.onnx").is_file()
    assert np.load(out / "analysis_statistics.npz")["tiles"] == 2
