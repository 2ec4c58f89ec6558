"""Long coding: killed at any moment and taken up again it gives the file of an undisturbed run; what is damaged is named."""

from __future__ import annotations

import signal
import time
from pathlib import Path

import numpy as np
import pytest

from swathpack.hil_tests.simulation.made_frames import series, values
from swathpack.tools.cli import main
from swathpack.tools.commands import compress
from swathpack.tools.errors import BAD_INPUT, DONE, PARTLY
from swathpack.tools.files import tile_jobs
from swathpack.tools.files.api import model as shipped
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.rasters import read_series
from tests.tools.commands.long_runs import kill_at_random, start_slowly

rasterio = pytest.importorskip("rasterio")
BANDS = ["B01", "B02", "B03", "B04", "B05", "B06", "B07", "B08", "B8A", "B09", "B11", "B12"]
FEW = ["B02", "B03", "B04", "B08"]


def rasters(folder: Path, bands: list[str], side: tuple[int, int] = (300, 290), dates: int = 2) -> list[Path]:
    """A deflated GeoTIFF a date, in blocks of 256 pixels."""
    folder.mkdir(exist_ok=True)
    profile = {"driver": "GTiff", "height": side[0], "width": side[1], "count": len(bands), "dtype": "uint16"}
    profile |= {"compress": "deflate", "tiled": True, "blockxsize": 256, "blockysize": 256, "crs": "EPSG:32633"}
    place = rasterio.transform.from_origin(300000, 5000040, 10, 10)
    paths = [folder / f"S2_2026010{i + 1}.tif" for i in range(dates)]
    for path, data in zip(paths, values(*side, dates, 7)):
        with rasterio.open(path, "w", transform=place, **profile) as file:
            file.write(data[: len(bands)])
            for i, name in enumerate(bands):
                file.set_band_description(i + 1, name)
    return paths


SLOW = ("quality", "lossless")  # jobs that another request has too
REQUESTS = {  # bands, rows and columns of four tiles: narrow where the network's take long
    "bytes": (BANDS, (780, 16), ["--bytes", "2400", "--fast", "--tile", "256"]),
    "quality": (BANDS, (780, 48), ["--quality", "34", "--fast", "--tile", "256"]),
    "lossless": (FEW, (300, 290), ["--lossless"]),
    "regions": (FEW, (280, 270), ["--quality", "34", "--region", "0,0,9,9:max-error=2"]),
}


@pytest.mark.long
@pytest.mark.parametrize(
    "request_name", [pytest.param(r, marks=pytest.mark.slow) if r in SLOW else r for r in REQUESTS]
)
def test_a_killed_run_goes_on_to_the_same_bytes(tmp_path: Path, request_name: str) -> None:
    bands, side, how = REQUESTS[request_name]
    words = ["compress", *map(str, rasters(tmp_path / "in", bands, side)), *how, "-o"]
    assert main([*words, str(tmp_path / "whole.swp"), "--threads", "1"]) == DONE
    broken = tmp_path / "broken.swp"
    again = [*words, str(broken), "--resume", "--threads", "2"]
    kill_at_random(again, tmp_path / "broken.swp.journal", len(request_name))
    if not broken.exists():
        assert (tmp_path / "broken.swp.journal").stat().st_size > 1000  # tiles, not the first line alone
        assert main(again) == DONE
    assert broken.read_bytes() == (tmp_path / "whole.swp").read_bytes()
    assert sorted(p.name for p in tmp_path.iterdir() if p.is_file()) == ["broken.swp", "whole.swp"]


def test_what_the_journal_has_is_not_coded_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made: list[int] = []
    transform = tile_jobs._JOBS["transform"]

    def counted(*arguments: object) -> object:
        made.append(1)
        if len(made) == 6:
            raise KeyboardInterrupt
        return transform(*arguments)

    monkeypatch.setitem(tile_jobs._JOBS, "transform", counted)
    paths = rasters(tmp_path / "in", FEW, (40, 800))  # four tiles
    words = ["compress", *map(str, paths), "-o", str(tmp_path / "a.swp"), "--quality", "30"]
    words += ["--threads", "1", "--tile", "256"]
    assert main([*words, "--resume"]) == 130 and (tmp_path / "a.swp.journal").exists()
    assert main([*words, "--resume"]) == DONE
    assert len(made) == 8 + 1 and not (tmp_path / "a.swp.journal").exists()


def test_a_journal_of_another_request_or_input_is_begun_anew(tmp_path: Path) -> None:
    inputs = rasters(tmp_path / "in", FEW, (60, 300), dates=1)
    words = ["compress", str(inputs[0]), "--threads", "1", "--resume", "--force", "-o"]
    coded, journal = tmp_path / "a.swp", tmp_path / "a.swp.journal"
    assert main([*words, str(coded), "--quality", "30"]) == DONE
    for stale in (b"of something else", b"", b"\x00" * 4000):
        journal.write_bytes(stale)
        assert main([*words, str(tmp_path / "b.swp"), "--quality", "30"]) == DONE
        journal.rename(tmp_path / "b.swp.journal")
        assert main([*words, str(tmp_path / "b.swp"), "--quality", "30"]) == DONE
        assert (tmp_path / "b.swp").read_bytes() == coded.read_bytes()
        assert not (tmp_path / "b.swp.journal").exists()


def test_a_journal_does_not_touch_a_run_without_resume(tmp_path: Path) -> None:
    (path,) = rasters(tmp_path / "in", FEW, (60, 300), dates=1)
    (tmp_path / "a.swp.journal").write_bytes(b"of something else")
    assert main(["compress", str(path), "-o", str(tmp_path / "a.swp"), "--quality", "30", "--threads", "1"]) == DONE
    assert (tmp_path / "a.swp.journal").read_bytes() == b"of something else"


@pytest.mark.long
def test_ctrl_c_leaves_the_journal_of_resume_and_nothing_else(tmp_path: Path) -> None:
    (path,) = rasters(tmp_path / "in", FEW, (150, 140), 1)
    words = ["compress", str(path), "-o", str(tmp_path / "a.swp"), "--lossless", "--threads", "1", "--tile", "64"]
    for more, left in (["--resume"], ["a.swp.journal"]), ([], []):
        child = start_slowly("exact", *words, *more)
        while child.poll() is None and not list(tmp_path.glob(".a.swp.*")):
            time.sleep(0.01)
        time.sleep(0.3)
        child.send_signal(signal.SIGINT)
        said = child.communicate()[0]
        assert child.returncode == 130 and "Traceback" not in said, said
        assert sorted(p.name for p in tmp_path.iterdir() if p.name != "in") == left
        for name in left:
            (tmp_path / name).unlink()


def test_progress_counts_tiles_and_input(monkeypatch: pytest.MonkeyPatch) -> None:
    encoder = SeriesEncoder(shipped(), series(300, 290, 2, bands=("B02", "B03")))
    bar, said = compress.TileProgress(encoder, jobs=3), list[str]()
    monkeypatch.setattr(compress.Progress, "step", lambda self, count, note: said.append(f"{count} {note}"))
    for _ in range(3):
        bar.step()
    assert bar.total == 8 and said == ["0 0 of 1 MB", "0 0 of 1 MB", "1 0 of 1 MB"]
    assert "0/8 tiles" in bar.line(bar.start)


def damaged(path: Path) -> None:
    """Spoil the last block of the file's first row of blocks."""
    from tifffile import TiffFile

    with TiffFile(path) as file:
        page = file.pages.first
        offset, size = page.dataoffsets[2], page.databytecounts[2]
    held = bytearray(path.read_bytes())
    held[offset : offset + size] = b"\xff" * size
    path.write_bytes(held)


@pytest.mark.parametrize("how", [["--quality", "30"], ["--lossless"]])
def test_what_cannot_be_read_is_named_and_counts_as_without_data(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], how: list[str]
) -> None:
    (path,) = rasters(tmp_path / "in", FEW, (300, 560), 1)
    whole = read_series(path).frames[0]
    damaged(path)
    words = ["compress", str(path), "-o", str(tmp_path / "a.swp"), "--threads", "1", *how]
    assert main(words) == BAD_INPUT and sorted(p.name for p in tmp_path.iterdir()) == ["in"]
    assert capsys.readouterr().err.count("\n") == 1
    assert main([*words, "--keep-going"]) == PARTLY
    said = capsys.readouterr().out
    assert "S2_20260101.tif: rows 0-255, columns 512-559 cannot be read" in said and said.count("left out:") == 1
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "a.npz"), "--threads", "1"]) == DONE
    back = read_series(tmp_path / "a.npz").frames[0]
    lost = np.zeros(whole.valid.shape, bool)
    lost[:256, 512:] = True
    np.testing.assert_array_equal(back.valid, whole.valid & ~lost)
    if how == ["--lossless"]:
        np.testing.assert_array_equal(back.data[:, ~lost], whole.data[:, ~lost])


@pytest.mark.parametrize("job", ["transform", "analyse", "learned", "plain cost"])
def test_a_tile_that_fails_is_named_and_the_rest_goes_on(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, job: str
) -> None:
    (path,) = rasters(tmp_path / "in", BANDS, (60, 300), 1)
    work, calls = tile_jobs._JOBS[job], list[int]()

    def failing(*arguments: object) -> object:
        calls.append(1)
        if len(calls) == 2:
            raise ValueError("made to fail")
        return work(*arguments)

    monkeypatch.setitem(tile_jobs._JOBS, job, failing)
    words = ["compress", str(path), "-o", str(tmp_path / "a.swp"), "--threads", "1", "--bytes", "2500", "--fast"]
    words += ["--tile", "256"]
    with pytest.raises(ValueError, match="made to fail"):
        main(words)
    assert sorted(p.name for p in tmp_path.iterdir()) == ["in"]
    calls.clear()
    assert main([*words, "--keep-going"]) == PARTLY
    said = capsys.readouterr().out
    assert "left out: frame 0, tile 1 (rows 0-59, columns 256-299): made to fail" in said
    size = (tmp_path / "a.swp").stat().st_size
    assert 2490 <= size <= 2500
    assert main(["decompress", str(tmp_path / "a.swp"), "-o", str(tmp_path / "a.npz"), "--threads", "1"]) in (
        DONE,
        PARTLY,
    )


@pytest.mark.parametrize("how", [["--bytes", "1500"], ["--max-error", "4"]])
def test_rasters_on_the_disk_give_the_bytes_of_those_in_memory(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: list[str]
) -> None:
    words = ["compress", *map(str, rasters(tmp_path / "in", FEW[:2], (280, 100))), *how, "--threads", "1", "-o"]
    assert main([*words, str(tmp_path / "held.swp")]) == DONE
    monkeypatch.setattr(compress, "LEAST_SAMPLES", 0)
    assert main([*words, str(tmp_path / "rows.swp")]) == DONE
    assert (tmp_path / "rows.swp").read_bytes() == (tmp_path / "held.swp").read_bytes()
