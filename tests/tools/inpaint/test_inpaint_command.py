"""`swathpack inpaint` from file to file: every kind of mask, what is kept, the page, and clear errors."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.frame import Frame
from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.commands import inpaint as command
from swathpack.tools.commands.inpaint import chosen_dates
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import Series, read_series, write_series
from swathpack.tools.inpaint.cube import days_of

DATES, SIDE = 3, 48


@pytest.fixture
def cube(tmp_path: Path) -> Path:
    frames = series(SIDE, SIDE, dates=DATES, seed=6)
    frames[2].data[:, 10:30, 12:40] = 9000
    write_series(Series(frames), tmp_path / "cube.npz")
    mask = np.zeros((DATES, SIDE, SIDE), bool)
    mask[2, 10:30, 12:40] = True
    np.savez(tmp_path / "mask.npz", mask=mask)
    return tmp_path / "cube.npz"


def _run(*words: object) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return command.run(parser.parse_args([str(w) for w in words]))


def test_npz_with_mask_file(cube: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = cube.parent
    assert _run(cube, "--mask", folder / "mask.npz", "-o", folder / "out.npz", "--dilate", 1) == 0
    before, after = read_series(cube).frames, read_series(folder / "out.npz").frames
    hole = np.zeros((SIDE, SIDE), bool)
    hole[9:31, 11:41] = True
    for t in range(DATES):
        kept = ~hole if t == 2 else np.ones_like(hole)
        np.testing.assert_array_equal(after[t].data[:, kept], before[t].data[:, kept])
        assert (after[t].time, after[t].bands, after[t].level) == (
            before[t].time,
            before[t].bands,
            before[t].level,
        )
    assert after[2].data[:, hole].max() < 7000
    with np.load(folder / "out.npz") as archive:
        np.testing.assert_array_equal(archive["inpainted"][2], hole)
        assert not archive["inpainted"][:2].any()
    said = capsys.readouterr().out
    assert "date 2 (2026-05-11): 28.6% filled" in said
    text = (folder / "out.html").read_text()
    assert text.count("data:image/png;base64,") == 3 and "http" not in text.split("</style>")[1]


def test_detector_finds_the_cloud(cube: Path) -> None:
    _run(cube, "-o", cube.parent / "out.npz", "--method", "regression", "--no-page", "--dates", "2")
    with np.load(cube.parent / "out.npz") as archive:
        assert archive["inpainted"][2, 10:30, 12:40].all() and not archive["inpainted"][:2].any()
    assert not (cube.parent / "out.html").exists()


def test_scene_classes_on_their_own_grid(cube: Path) -> None:
    classes = np.full((DATES, SIDE // 2, SIDE // 2), 4, np.uint8)
    classes[2, 5:15, 6:20] = 9
    np.savez(cube.parent / "scl.npz", scl=classes)
    words = (cube, "--scl", cube.parent / "scl.npz", "-o", cube.parent / "out.npz", "--dilate", 0)
    _run(*words, "--method", "regression", "--later")
    with np.load(cube.parent / "out.npz") as archive:
        assert archive["inpainted"].sum() == archive["inpainted"][2, 10:30, 12:40].sum() == 20 * 28


def test_geotiffs_with_offset_keep_tags_and_offset(tmp_path: Path) -> None:
    pytest.importorskip("tifffile")
    frames = series(SIDE, SIDE, dates=2, seed=6)
    write_series(Series(frames), tmp_path / "in")
    np.savez(tmp_path / "m.npz", mask=np.eye(SIDE, dtype=np.uint8))
    _run(
        tmp_path / "in",
        "--mask",
        tmp_path / "m.npz",
        "--dates",
        "1",
        "-o",
        tmp_path / "out",
        "--method",
        "regression",
    )
    names = sorted(p.name for p in (tmp_path / "in").iterdir())
    assert sorted(p.name for p in (tmp_path / "out").iterdir()) == names
    before, after = read_series(tmp_path / "in").frames, read_series(tmp_path / "out").frames
    far = ~np.any([np.eye(SIDE, k=k, dtype=bool) for k in range(-5, 6)], axis=0)
    np.testing.assert_array_equal(after[1].data[:, far], before[1].data[:, far])
    assert after[0].bands == BANDS and (tmp_path / "out.html").exists()


def test_offset_and_nodata_survive() -> None:
    frame = Frame(np.full((12, 4, 4), 3000, np.uint16), boa_offset=True)
    frame.data[:, 0, 0] = 0
    frame = Frame(frame.data, boa_offset=True)
    mask = np.zeros((4, 4), bool)
    mask[1, 1:3] = True
    unfilled = np.zeros((4, 4), bool)
    unfilled[1, 2] = True
    repair = command.Repair(np.full((12, 4, 4), 1500.0, np.float32), unfilled)
    out = command.repaired_frame(frame, repair, mask)
    assert out.data[0, 1, 1] == 2500 and out.data[0, 1, 2] == 0 and out.data[0, 0, 0] == 0 and out.data[0, 3, 3] == 3000
    assert out.boa_offset and not out.valid[1, 2] and not out.valid[0, 0] and out.valid[1, 1]


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (("--dilate", "-1"), "--dilate"),
        (("--dates", "9"), "no such date"),
        (("--scl", "absent.npz"), "no such file"),
        (("--scl-classes", "3,x", "--scl", "{mask}"), "--scl-classes"),
        (("--codec", "absent.pt"), "no such file"),
        (("--codec", "absent.pt", "--later"), "--later"),
        (("--mask", "{one}"), "--dates"),
        (("--model", "/nonexistent", "--mask", "{mask}"), "nonexistent"),
    ],
)
def test_errors_name_what_is_wrong(cube: Path, words: tuple[str, ...], said: str) -> None:
    np.savez(cube.parent / "one.npz", mask=np.ones((SIDE, SIDE)))
    filled = [w.format(mask=cube.parent / "mask.npz", one=cube.parent / "one.npz") for w in words]
    with pytest.raises(UserError, match=said):
        _run(cube, "-o", cube.parent / "out.npz", *filled)
    assert not (cube.parent / "out.npz").exists()


def test_bands_that_show_no_clouds_are_named(cube: Path) -> None:
    with np.load(cube) as held:
        np.savez(cube.parent / "two.npz", data=held["data"][:, :2], bands=["pan", "swir"])
    with pytest.raises(UserError, match="needs bands B03 and B04, found pan, B11: give --mask or --scl"):
        _run(cube.parent / "two.npz", "-o", cube.parent / "out.npz")


def test_output_over_input_is_refused(cube: Path) -> None:
    with pytest.raises(UserError, match="is an input"):
        _run(cube, "-o", cube)
    with pytest.raises(UserError, match="folder"):
        _run(cube, "-o", cube.parent / "absent" / "out.npz")
    with pytest.raises(UserError, match="one date"):
        _run(cube, "-o", cube.parent / "out.tif")
    (cube.parent / "a.tif").write_bytes(b"")
    with pytest.raises(UserError, match="folder of the input"):
        _run(cube.parent / "a.tif", "-o", cube.parent)


def test_dates_by_number_and_by_time() -> None:
    frames = series(8, 8, dates=4)
    assert chosen_dates("2026-05-06, 3", frames) == [1, 3]
    assert chosen_dates(None, frames) == [0, 1, 2, 3]


def test_days_of_texts_and_gaps() -> None:
    np.testing.assert_array_equal(np.diff(days_of(["2020-01-01", "20200106T101010", "2020-02-01"])), [5, 26])
    np.testing.assert_allclose(np.diff(days_of(["2020-01-01", "unknown", "2020-01-11", None])), [5, 5, 5])
    np.testing.assert_array_equal(days_of([None, "x", None]), [0, 1, 2])
