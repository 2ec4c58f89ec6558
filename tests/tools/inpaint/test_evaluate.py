"""The evaluation from data to tables: trials hide what they should, scores are those of the metrics."""

from __future__ import annotations

import csv
import json
from pathlib import Path

import numpy as np
import pytest

from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.bench import metrics
from swathpack.tools.inpaint import evaluate
from swathpack.tools.inpaint.trials import COVERS, HIDDEN_DN, load_cubes, pieces, real, synthetic


@pytest.fixture
def data(tmp_path: Path) -> Path:
    (tmp_path / "val").mkdir()
    cube = values(40, 44, dates=4, seed=2)
    cube[2, :, :10, :12] = 9000
    dates = ["2026-01-01", "2026-01-06", "2026-01-11", "2026-01-16"]
    np.savez(tmp_path / "val/a.npz", data=cube, bands=np.array(evaluate_bands()), dates=np.array(dates))
    entry = {"file": "val/a.npz", "split": "val", "T": 4, "C": 12}
    (tmp_path / "catalog.json").write_text(json.dumps([entry, {**entry, "split": "train"}, {**entry, "T": 1}]))
    return tmp_path


def evaluate_bands() -> tuple[str, ...]:
    from swathpack.edge.bands import BANDS

    return BANDS


def test_trials_hide_the_truth_from_the_methods(data: Path) -> None:
    (name, cube, clouds), *rest = load_cubes(data, "val", 3, 10, 128)
    assert name == "a" and not rest and clouds[2, :10, :12].all()
    trials = list(synthetic(name, cube, 1))
    assert len(trials) == len(COVERS)
    for trial, (low, high) in zip(trials, COVERS):
        assert low - 0.01 <= trial.mask.mean() <= high + 0.01
        hidden = trial.hidden()
        assert (hidden.frames[trial.date][:, trial.hole] == HIDDEN_DN).all()
        assert not (hidden.clear[trial.date] & trial.mask).any()
        np.testing.assert_array_equal(trial.truth, cube.frames[trial.date])
    for trial in real(name, cube, clouds, 2):
        assert trial.date == 2 and trial.scored.sum() >= 100 and not (trial.scored & clouds[2]).any()


def test_pieces_make_up_the_whole(data: Path) -> None:
    (name, cube, clouds), *_ = load_cubes(data, "val", 3, 10, 128)
    parts = list(pieces(name, cube, clouds, 25))
    assert [p[0] for p in parts] == ["a[0,0]", "a[0,1]", "a[1,0]", "a[1,1]"]
    assert sum(p[2][0].size for p in parts) == clouds[0].size
    np.testing.assert_array_equal(parts[3][1].frames, cube.frames[..., 20:, 22:])


def test_scores_count_hidden_pixels_only(data: Path) -> None:
    (name, cube, _), *_ = load_cubes(data, "val", 3, 10, 128)
    trial = next(iter(synthetic(name, cube, 1)))
    image = trial.truth + 10
    image[:, ~trial.scored] = 0
    found = evaluate.score(trial, "x", image)
    assert found.psnr == pytest.approx(metrics.mse_to_psnr(100))
    assert evaluate.score(trial, "x", trial.truth).ssim == pytest.approx(1)


@pytest.mark.long
def test_command_writes_every_table(data: Path, capsys: pytest.CaptureFixture[str]) -> None:
    out = data / "out"
    assert evaluate.main([str(data), "--out", str(out), "--dates", "1"]) == 0
    rows = list(csv.DictReader((out / "trials.csv").open()))
    found = json.loads((out / "summary.json").read_text())
    assert {r["method"] for r in rows} == set(evaluate.METHODS)
    own = [float(r["psnr"]) for r in rows if r["method"] == "inpaint" and r["kind"] == "real"]
    assert found["groups"]["real clouds"]["inpaint"]["psnr"] == pytest.approx(np.mean(own), abs=0.01)
    text = (out / "summary.md").read_text()
    assert "| inpaint, later * |" in text and text.count("**") == 8
    assert "inpaint" in capsys.readouterr().out
    assert evaluate.main([str(data), "--out", str(out), "--again"]) == 0
    again = json.loads((out / "summary.json").read_text())
    assert again["groups"]["real clouds"]["inpaint"]["psnr"] == pytest.approx(np.mean(own), abs=0.01)


def test_missing_data_is_one_line(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert evaluate.main([str(tmp_path), "--out", str(tmp_path / "o")]) == 1
    assert "catalog.json" in capsys.readouterr().err
