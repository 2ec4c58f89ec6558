"""A checkpoint in the published layout as the codec of `swathpack inpaint`: small sizes, random weights."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

torch = pytest.importorskip("torch")

from swathpack.hil_tests.simulation.made_frames import series  # noqa: E402
from swathpack.tools.commands import inpaint as command  # noqa: E402
from swathpack.tools.errors import UserError  # noqa: E402
from swathpack.tools.files.rasters import Series, read_series, write_series  # noqa: E402
from swathpack.tools.inpaint import terracodec  # noqa: E402
from tests.codec.terracodec.make_models import small  # noqa: E402


def _files(folder: Path, family: str, size: tuple[int, int] = (64, 70), bands: int = 12) -> Path:
    torch.save({f"model.{k}": v for k, v in small(family, bands=bands).state_dict().items()}, folder / "c.pt")
    frames = series(*size, dates=2, seed=1)
    write_series(Series(frames), folder / "cube.npz")
    mask = np.zeros((2, *size), np.uint8)
    mask[1, 10:40, 20:50] = 1
    np.savez(folder / "mask.npz", mask=mask)
    return folder / "cube.npz"


def _run(folder: Path, *words: str) -> int:
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    given = [
        folder / "cube.npz",
        "--mask",
        folder / "mask.npz",
        "--codec",
        folder / "c.pt",
        "-o",
        folder / "out.npz",
    ]
    return command.run(parser.parse_args([str(w) for w in (*given, *words)]))


@pytest.mark.parametrize(("family", "tokens"), [("tt", "cloudy"), ("flextec", "onwards")])
def test_checkpoint_fills_the_hole_alone(tmp_path: Path, family: str, tokens: str) -> None:
    cube = _files(tmp_path, family)
    assert _run(tmp_path, "--tokens", tokens, "--dilate", "0") == 0
    before, after = (read_series(p).frames[1].data for p in (cube, tmp_path / "out.npz"))
    hole = np.zeros(before.shape[1:], bool)
    hole[10:40, 20:50] = True
    np.testing.assert_array_equal(after[:, ~hole], before[:, ~hole])
    assert (after[:, hole] != before[:, hole]).mean() > 0.9


def test_what_is_under_the_cloud_does_not_matter(tmp_path: Path) -> None:
    cube = _files(tmp_path, "tt")
    _run(tmp_path, "--no-page")
    first = read_series(tmp_path / "out.npz").frames[1].data
    frames = read_series(cube).frames
    frames[1].data[:, 10:40, 20:50] = 9999
    write_series(Series(frames), cube)
    _run(tmp_path, "--no-page", "--force")
    np.testing.assert_array_equal(read_series(tmp_path / "out.npz").frames[1].data, first)


def test_models_that_cannot_inpaint_are_refused(tmp_path: Path) -> None:
    for family, bands, said in (("fp", 12, "expected a TEC-TT or FlexTEC"), ("elic", 12, "found elic")):
        _files(tmp_path, family, bands=bands)
        with pytest.raises(UserError, match=said):
            terracodec.load(tmp_path / "c.pt")
    (tmp_path / "c.pt").write_bytes(b"nonsense")
    with pytest.raises(UserError, match="c.pt"):
        terracodec.load(tmp_path / "c.pt")


@pytest.mark.slow
def test_published_size_fills_a_hole(tmp_path: Path) -> None:
    """225 million random weights in the published layout: the path at full size, not its quality."""
    from tests.codec.terracodec.measure import write_checkpoint

    cube = _files(tmp_path, "tt", (64, 64))
    write_checkpoint("tt", tmp_path / "c.pt")
    assert _run(tmp_path, "--no-page", "--dilate", "0") == 0
    before, after = (read_series(p).frames[1].data for p in (cube, tmp_path / "out.npz"))
    hole = np.zeros((64, 64), bool)
    hole[10:40, 20:50] = True
    np.testing.assert_array_equal(after[:, ~hole], before[:, ~hole])
    assert (after[:, hole] != before[:, hole]).mean() > 0.9
