"""Restoring drawn frames: nothing at the start, learns what is wrong everywhere alike, goes on where it was stopped."""

from __future__ import annotations

from argparse import Namespace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from swathpack.codec import train_restoration
from swathpack.codec.restoration import Restoration
from swathpack.hil_tests.simulation.made_frames import values


def write(folder: Path, number: int, place: str) -> None:
    """An example of two tiles whose image is too bright throughout."""
    original = values(96, 128, 1, number)[0].astype(np.uint16)
    drawn = (original + 40).astype(np.uint16)
    steps = np.full((4, 12), 80, np.int16)
    np.savez(folder / f"{number:05d}.npz", original=original, drawn=drawn, steps=steps, tile=64, bppb=0.02, place=place)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Six examples of six places."""
    (tmp_path / "drawn").mkdir()
    for number in range(6):
        write(tmp_path / "drawn", number, f"place {number}")
    return tmp_path


def arguments(folder: Path, steps: int) -> Namespace:
    out, drawn = folder / "out", folder / "drawn"
    return Namespace(
        drawn=drawn, val=drawn, out=out, share=1.0, steps=steps, batch=2, threads=1, rate=1e-2, report=1e9, seed=1
    )


def test_it_starts_as_what_is_drawn() -> None:
    drawn = torch.rand(1, 12, 20, 24) * 1000
    assert torch.equal(Restoration()(drawn, torch.full_like(drawn, 100.0)), drawn)


def test_a_share_is_of_places(folder: Path) -> None:
    every = train_restoration.read(folder / "drawn")
    some = train_restoration.read(folder / "drawn", 0.5)
    assert len(every) == 6 and 0 < len(some) < 6 and {d.place for d in some} < {d.place for d in every}
    with pytest.raises(FileNotFoundError, match="no examples in"):
        train_restoration.read(folder)


def test_it_learns_and_goes_on(
    folder: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(train_restoration, "SIDE", 32)
    monkeypatch.setattr(train_restoration, "Restoration", partial(Restoration, 8, 8, 1))
    train_restoration.train(arguments(folder, 8))
    first = torch.load(folder / "out" / "restoration.pt", weights_only=True)["state"]["step"]
    train_restoration.train(arguments(folder, 16))
    told = [line for line in capsys.readouterr().out.splitlines() if line.startswith("step")]
    assert first == 8 and [line.split()[1] for line in told] == ["8", "16"]
    gain = float(told[-1].split("all ")[1].split()[0])
    assert gain > 0.05
