"""The transform coder's CPU time beside OpenJPEG's: both code the same samples in no more bytes, and a line says it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import numpy as np
import pytest

from swathpack.tools.bench import transform_speed
from swathpack.tools.files.synthetic_scene import synthetic_series

pytest.importorskip("imagecodecs")


def test_a_line_a_set_and_rate(tmp_path: Path, monkeypatch, capsys: pytest.CaptureFixture[str]) -> None:
    frame = synthetic_series(1, 208, cloudy=0.0)[0].frames[0].select(("B02", "B03", "B04", "B08"))
    np.savez(tmp_path / "a.npz", data=frame.data[None], bands=np.array(frame.bands))
    np.savez(tmp_path / "b.npz", data=frame.data[None, :, :64, :64], bands=np.array(frame.bands))
    rows = [{"file": f"{name}.npz", "split": "val", "bands": list(frame.bands)} for name in "ab"]
    (tmp_path / "catalog.json").write_text(json.dumps(rows))
    monkeypatch.setattr(transform_speed, "REPEATS", 1)
    monkeypatch.setattr("sys.argv", ["x", str(tmp_path), "--sets", "B08,4", "--bppb", "0.5"])
    assert transform_speed.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == ["B08, 0.5 bppb, 1 scenes", "4, 0.5 bppb, 1 scenes"]
    for line in lines:
        ours, theirs, ratio = map(float, re.findall(r"encode ([\d.]+) ms, OpenJPEG ([\d.]+), ratio ([\d.]+)", line)[0])
        assert ours > 0 and theirs > 0 and ratio == pytest.approx(ours / theirs, rel=0.1, abs=0.02)
    monkeypatch.setattr("sys.argv", ["x", str(tmp_path), "--sets", "4", "--bppb", "0.5", "--files"])
    assert transform_speed.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert [line.split(":")[0] for line in lines] == [f"4 file{how}, 0.5 bppb, 1 scenes" for how in ("", ", --fast")]


def test_what_is_not_there_is_said(tmp_path: Path, monkeypatch) -> None:
    (tmp_path / "catalog.json").write_text("[]")
    monkeypatch.setattr("sys.argv", ["x", str(tmp_path), "--sets", "4"])
    with pytest.raises(SystemExit, match="no scene of"):
        transform_speed.main()
