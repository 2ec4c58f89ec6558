"""Restoring drawn frames: nothing at the start, learns what is wrong everywhere alike, goes on where it was stopped."""

from __future__ import annotations

from argparse import Namespace
from dataclasses import replace
from functools import partial
from pathlib import Path

import numpy as np
import pytest
import torch

from swathpack.codec import train_restoration
from swathpack.codec.restoration import REACH, Restoration
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder.rasters import Grid
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.hil_tests.simulation.made_frames import values

MODES = [TRANSFORM, 30, 30, TRANSFORM]  # of the tiles


def write(folder: Path, number: int, place: str) -> None:
    """An example of two tiles whose image is too bright throughout."""
    original = values(96, 128, 1, number)[0].astype(np.uint16)
    drawn = (original + 40).astype(np.uint16)
    steps = np.full((4, 12), 80, np.int16)
    np.savez(
        folder / f"{number:05d}.npz",
        original=original,
        drawn=drawn,
        steps=steps,
        tile=64,
        bppb=0.02,
        place=place,
        modes=MODES,
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Eighteen examples of as many places."""
    (tmp_path / "drawn").mkdir()
    for number in range(18):
        write(tmp_path / "drawn", number, f"place {number}")
    return tmp_path


def arguments(folder: Path, steps: int) -> Namespace:
    out, drawn = folder / "out", folder / "drawn"
    return Namespace(
        drawn=[drawn], val=None, out=out, share=1.0, steps=steps, batch=2, threads=1, rate=1e-2, report=1e9, seed=1,
        start=None, minutes=0, bf16=False, decay=0.05,
    )  # fmt: skip


def test_it_starts_as_what_is_drawn() -> None:
    drawn = torch.rand(1, 12, 20, 24) * 1000
    assert torch.equal(Restoration()(drawn, torch.full_like(drawn, 100.0), torch.zeros(1, 1, 20, 24)), drawn)


def test_what_becomes_of_a_pixel_depends_on_those_around() -> None:
    torch.manual_seed(0)
    model = Restoration(8, 8, 1)
    torch.nn.init.normal_(model.leave.weight)
    drawn = torch.rand(1, 12, 256, 256) * 1000
    steps, learned = torch.full_like(drawn, 100.0), torch.ones(1, 1, 256, 256)
    with torch.no_grad():
        whole = model(drawn, steps, learned)
        part = model(*(plane[..., 64:, 64:] for plane in (drawn, steps, learned)))
    inner = slice(64 + REACH, 256)
    assert (whole - drawn).abs().max() > 1
    torch.testing.assert_close(part[..., REACH:, REACH:], whole[..., inner, inner], rtol=0, atol=1e-2)


def test_a_share_is_of_places_and_others_are_held_out(folder: Path) -> None:
    every = train_restoration.read(folder / "drawn")
    (learned, held), (some, same) = (train_restoration.divided(every, share) for share in (1.0, 0.5))
    assert len(learned) + len(held) == len(every) == 18 and held == same and held
    assert 0 < len(some) < len(learned) and {d.place for d in some} < {d.place for d in learned}
    assert not {d.place for d in learned} & {d.place for d in held}
    with pytest.raises(FileNotFoundError, match="no examples in"):
        train_restoration.read(folder)


def test_parts_have_what_their_tiles_were_coded_with(folder: Path) -> None:
    one = train_restoration.read(folder / "drawn")[0]
    original, image, steps, learned, _ = train_restoration.tensors(one, slice(16, 80), slice(32, 128))
    assert original.shape == image.shape == steps.shape == (12, 64, 96) and learned.shape == (1, 64, 96)
    assert (steps == 1024).all() and torch.equal(
        image[3], torch.from_numpy(one.drawn[3, 16:80, 32:].astype(np.float32))
    )
    assert learned[0, :48, :32].sum() == 0 and learned[0, :48, 32:].all()  # the tile above to the right
    assert learned[0, 48:, :32].all() and learned[0, 48:, 32:].sum() == 0


def test_what_is_added_to_cells_is_of_one_value(folder: Path) -> None:
    one = train_restoration.read(folder / "drawn")[0]
    grids = (Grid(2, 1, 0), Grid(6, 2, 5), *one.grids[2:])
    planes = train_restoration.batched(
        [train_restoration.tensors(replace(one, grids=grids), slice(4, 96), slice(8, 64))]
    )
    torch.manual_seed(1)
    model = Restoration(8, 8, 1)
    torch.nn.init.normal_(model.leave.weight)
    image, learned = planes[1], planes[3][0, 0] > 0
    with torch.no_grad():
        plain, found = (f - image for f in (model(*planes[1:4]), train_restoration.restored(model, planes)))
    torch.testing.assert_close(found[0, 2:], plain[0, 2:], rtol=0, atol=1e-2)
    torch.testing.assert_close(found[0, :, learned], plain[0, :, learned], rtol=0, atol=1e-2)
    rows, columns = [np.flatnonzero((np.arange(*ends) + n) % 6 == 0)[0] for *ends, n in ((4, 96, 2), (8, 64, 5))]
    cell, given = (p[0, 1, rows : rows + 6, columns : columns + 6] for p in (found, plain))
    assert not learned[rows : rows + 6, columns : columns + 6].any() and given.std() > 0
    torch.testing.assert_close(cell, given.mean().expand(6, 6), rtol=0, atol=1e-2)


def test_frames_of_fewer_bands_lack_the_others(tmp_path: Path) -> None:
    write(tmp_path, 0, "place")
    with np.load(tmp_path / "00000.npz") as found:
        whole = dict(found)
    bands = ("B08", "B02")
    some = [BANDS.index(name) for name in bands]
    parts = {name: whole[name][some] for name in ("original", "drawn")} | {"steps": whole["steps"][:, some]}
    np.savez(tmp_path / "00001.npz", **(whole | parts | {"bands": bands}))
    one, few = train_restoration.read(tmp_path)
    original, image, steps, *_ = train_restoration.tensors(few, slice(0, 96), slice(0, 128))
    for index in range(12):
        there = index in some
        assert bool(image[index].any()) == bool(original[index].any()) == there
        assert (steps[index] == (1024 if there else 1)).all()
    np.testing.assert_array_equal(few.original[some], one.original[some])
    assert few.bands == 2 and train_restoration.chances([one, few])[0] == pytest.approx(6 / 7)


def test_sources_of_many_places_count_less(folder: Path) -> None:
    every = train_restoration.read(folder / "drawn")
    named = [replace(d, place=f"{'one' if i else 'other'}__{i}") for i, d in enumerate(every)]
    found = train_restoration.chances(named)
    assert found.sum() == pytest.approx(1) and found[0] == pytest.approx(np.sqrt(17) * found[1])


def test_bands_that_lack_are_no_pictures(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(train_restoration, "SIDE", 32)
    monkeypatch.setattr(train_restoration, "LACKING", 1.0)
    every = train_restoration.read(folder / "drawn")
    original, image, steps, *_ = train_restoration.batch_of(every, np.random.default_rng(1), 8)
    absent = (image == 0).all(3).all(2)
    assert ((absent.sum(1) >= 1) & (absent.sum(1) <= 6)).all()
    assert (original[absent] == 0).all() and (steps[absent] == 1).all() and (steps[~absent] == 1024).all()


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
