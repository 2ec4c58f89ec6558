"""The learned codec beside the transform coder: bits at equal error, and how often it is taken."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.bench import modes


def made(_: object, mode: str, rate: float, weights: str) -> tuple[float, ...]:
    """The learned codec gives at twice the bytes what the transform coder gives; `auto` takes it below 0.02."""
    assert weights == "equal"
    behind = {"transform": 0.0, "learned": 3.0, "auto": 0.0}[mode]
    decibels = 40 + 3 * float(np.log2(rate / 0.05)) - behind
    return rate, decibels, decibels - behind, float(rate < 0.02)


def test_what_it_lacks_is_told_in_bits_and_in_decibels(monkeypatch) -> None:
    monkeypatch.setattr(modes, "coded", made)
    rates = [0.0125, 0.025, 0.05, 0.1]
    row = modes.beside(np.zeros((12, 64, 64), np.uint16), rates, "equal")
    assert (
        row.bits == pytest.approx(100, abs=0.5)
        and row.decibels == pytest.approx([-3] * 4)
        and row.learned == (1, 0, 0, 0)
    )
    lines = modes.summary([row, row], rates).splitlines()
    assert "all bands: mean +100.0 %" in lines[1] and lines[1].endswith("save 50 % of its bits")
    assert "blue, green and red: mean +300.0 %" in lines[2] and lines[2].endswith("save 75 % of its bits")
    assert lines[3] == "0.0125 bppb: -3.00 dB over all bands, auto gives it 100 % of the tiles"


def test_files_are_coded_to_their_bytes_and_decoded() -> None:
    frame = values(64, 64, 1, 3)[0].astype(np.uint16)
    bppb, decibels, seen, learned = modes.coded(frame, "transform", 0.1, "equal")
    assert 0.05 < bppb <= 0.1 and decibels > 20 and seen > 20 and learned == 0
    assert np.isnan(modes.coded(frame, "transform", 0.0001, "auto")).all()


def test_a_folder_that_is_not_there_is_named(tmp_path: Path, capsys) -> None:
    assert modes.main([str(tmp_path / "nowhere")]) == 1
    assert "no such folder" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        modes.main([str(tmp_path), "--every", "0"])
    assert "expected numbers above 0" in capsys.readouterr().err
