"""Tables of joint training runs, from made curves."""

from __future__ import annotations

from pathlib import Path

import pytest

from swathpack.codec.joint_val import Curve
from swathpack.tools.bench import joint


def write(folder: Path, bits: float, gmac: float = 0.0, points: int = 2) -> Path:
    """A run whose last point has so many times the bits of its start at the same PSNR."""
    curve = Curve(folder / "curve.json", {"gmac": gmac})
    for n in range(points):
        rates = [0.3 * (bits if n else 1), 0.15 * (bits if n else 1), 0.06 * (bits if n else 1)]
        place = {"bppb": rates, "psnr": [43.0, 41.0, 37.0], "visible": [44.0, 42.0, 38.0]}
        curve.add(100 * n, 5.0 * n, {"here": place, "there": place})
    return folder


def test_half_the_bits_are_told_as_half_with_what_they_cost(tmp_path: Path, capsys, monkeypatch) -> None:
    monkeypatch.setattr(joint.count_macs, "measure", lambda _: {"board_gmac": 4.99})
    folders = [write(tmp_path / "half", 0.5, 3.86), write(tmp_path / "same", 1.0)]
    assert joint.main([str(f) for f in folders] + ["--plot", str(tmp_path / "runs.png")]) == 0
    lines = capsys.readouterr().out.splitlines()
    wanted = "half 3.86 8.85 5.0 100" + 2 * " -50.00 % -50.00 % (-50.00 %)"
    assert lines[1].split() == wanted.split()
    assert lines[2].split()[1:3] == ["0.00", "4.99"] and lines[2].count("+0.00 %") == 6
    assert any("q28 -50.00 % +0.000 dB" in line for line in lines) and any("5.0: -50.00" in line for line in lines)
    assert (tmp_path / "runs.png").read_bytes()[:4] == b"\x89PNG" and (tmp_path / "runs.png").stat().st_size < 60_000


def test_what_is_no_run_is_named(tmp_path: Path, capsys) -> None:
    assert joint.main([str(tmp_path / "nowhere")]) == 1
    assert "nowhere/curve.json" in capsys.readouterr().err
    (tmp_path / "curve.json").write_text('{"settings": {}, "points": [3]}')
    assert joint.main([str(tmp_path)]) == 1 and "expected the curve of a run" in capsys.readouterr().err
    assert joint.main([str(write(tmp_path / "short", 1.0, points=1))]) == 1
    assert "expected a point at step 0 and later ones" in capsys.readouterr().err
    (tmp_path / "runs.png").write_text("mine")
    assert joint.main([str(write(tmp_path / "run", 1.0)), "--plot", str(tmp_path / "runs.png")]) == 4
    assert (tmp_path / "runs.png").read_text() == "mine"


@pytest.mark.parametrize("quality", ["psnr", "visible"])
def test_gains_are_by_place(quality: str) -> None:
    start = {"a": {"bppb": [0.3, 0.1], quality: [43.0, 37.0]}, "b": {"bppb": [0.2, 0.1], quality: [40.0, 37.0]}}
    now = {"a": start["a"], "b": {"bppb": [0.22, 0.11], quality: [40.0, 37.0]}}
    assert joint.gains(start, now, quality) == pytest.approx([0, 10])
