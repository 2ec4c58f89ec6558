"""Regions of files: the tiles that they touch keep their greatest error, the others share what is left of a budget."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

import swathpack
from swathpack.edge.bands import BANDS
from swathpack.edge.codec import predictive
from swathpack.edge.frame import Frame
from swathpack.hil_tests.simulation.made_frames import series
from swathpack.tools.cli import main
from swathpack.tools.errors import UserError
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.regions import BoxRegion, Region, errors_of, parsed, region_of
from tests.codec_models import shipped

TILE = 64
SIDE = 108  # four tiles: 64 and 44 pixels each way
NAMES = BANDS[1:4]


def scene(dates: int = 2) -> list[Frame]:
    return series(SIDE, SIDE, dates, 5, NAMES)


def tiles_of(data: np.ndarray) -> list[np.ndarray]:
    """The four tiles, by their number, of (..., H, W)."""
    return [data[..., a:b, c:d] for a, b in ((0, TILE), (TILE, SIDE)) for c, d in ((0, TILE), (TILE, SIDE))]


def compress(given: Any, **how: Any) -> swathpack.Stream:
    return swathpack.compress(given, tile=TILE, **how)


def worst(stream: swathpack.Stream, frames: list[Frame]) -> list[int]:
    """The largest error of each tile, over all dates."""
    off = [np.abs(stream.frame(t).data.astype(int) - f.data) for t, f in enumerate(frames)]
    return [max(int(tiles_of(o)[n].max()) for o in off) for n in range(4)]


@pytest.mark.parametrize(
    "how",
    [
        {"bytes": 32_000},
        {"bytes_per_frame": 16_000},
        {"quality": 30},
        {"max_error": 40},
        {"quality": 20, "mode": "learned"},
    ],
)
def test_tiles_of_a_region_keep_their_error(how: dict[str, Any]) -> None:
    frames = scene() if "mode" not in how else series(SIDE, SIDE, 1, 5, BANDS)
    regions = ((10, 70, 4, 4, 0), (98, 88, 10, 10, 2))
    made = compress(frames, regions=regions, **how)
    off = worst(made, frames)
    assert off[1] == 0 and off[3] <= 2 and min(off[0], off[2]) > 2
    for info in made.frames:
        assert dict(info.max_errors) == {1: 0, 3: 2} | ({0: 40, 2: 40} if "max_error" in how else {})
    if "bytes" in how:
        assert 0.99 * how["bytes"] < made.nbytes <= how["bytes"], "what is left goes to the others"
    if "bytes_per_frame" in how:
        assert made.nbytes <= 2 * how["bytes_per_frame"]


def test_more_bytes_go_to_the_others_alone() -> None:
    frames, off = scene(1), []
    for budget in (11_000, 17_000):
        made = compress(frames, bytes=budget, regions=[(0, TILE, 1, 1)])
        off.append(np.mean((tiles_of(made.frame(0).data.astype(float) - frames[0].data)[0]) ** 2))
        assert worst(made, frames)[1] == 0
    assert off[1] < 0.6 * off[0]


@pytest.mark.parametrize("key", ["bytes", "bytes_per_frame"])
@pytest.mark.parametrize(
    ("side", "hole"), [(40, np.s_[20:40, 20:50]), (SIDE, np.s_[10:30, 10:40])], ids=["40", "whole"]
)
def test_the_smallest_budget_that_is_named_is_taken(key: str, side: int, hole: tuple[slice, slice]) -> None:
    """Also where the region is most of it, so that what files said would seem a small share, and a date has a record; and where what a
    tile may take ends in its trellis's head.
    """
    frames, regions = scene(), [(0, TILE, side, 44)] if side < SIDE else [(0, 0, SIDE, SIDE)]
    frames[1].valid[hole] = False
    data = np.stack([np.where(f.valid, f.data // 64, 0) for f in frames]).astype(np.uint8)
    with pytest.raises(UserError, match="expected at least") as refused:
        compress(data, bands=NAMES, regions=regions, **{key: 60})
    least = int(str(refused.value).split("at least ")[1].split(",")[0])
    assert compress(data, bands=NAMES, regions=regions, **{key: least}).nbytes <= least * len(frames)
    with pytest.raises(UserError, match=f"expected at least {least}"):
        compress(data, bands=NAMES, regions=regions, **{key: least - 1})


@pytest.mark.parametrize("each", [False, True])
def test_a_budget_too_small_for_a_region_is_refused_with_the_smallest(each: bool) -> None:
    frames, regions = scene(), (Region(0, TILE, 40, 40),)

    def made(budget: int) -> bytes:
        encoder = SeriesEncoder(shipped(), frames, regions=regions, tile=TILE)
        return encoder.per_frame(budget) if each else encoder.in_total(budget)

    with pytest.raises(UserError, match="expected at least [0-9]+, for headers, the tiles of regions") as refused:
        made(600)
    smallest = int(str(refused.value).split("at least ")[1].split(",")[0])
    assert smallest > 5000 and len(made(smallest)) <= smallest * (2 if each else 1)
    with pytest.raises(UserError, match=f"expected at least {smallest}"):
        made(smallest - 1)


def test_a_region_of_everything_is_lossless_at_any_quality() -> None:
    frames = scene()
    made = compress(frames, quality=40, regions=[(0, 0, SIDE, SIDE)])
    assert worst(made, frames) == [0, 0, 0, 0]
    again = compress(frames, bytes=made.nbytes + 400, regions=[(0, 0, SIDE, SIDE)])
    assert worst(again, frames) == [0, 0, 0, 0]


def test_the_least_error_of_overlapping_regions_counts() -> None:
    encoder = SeriesEncoder(shipped(), scene(1), tile=TILE)
    windows, size = encoder.windows, (SIDE, SIDE)
    assert errors_of([Region(0, 0, SIDE, SIDE, 9), Region(63, 63, 2, 1, 3)], windows, size) == {0: 3, 1: 9, 2: 3, 3: 9}
    assert errors_of([Region(64, 64, 44, 44)], windows, size) == {3: 0}
    assert errors_of([], windows, size) == {}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("1,2,3", "expected ROW,COL,HEIGHT,WIDTH"),
        ("1,2,3,4:max-error=-1", "expected ROW,COL,HEIGHT,WIDTH"),
        ("1,2,3,4:error=1", "expected ROW,COL,HEIGHT,WIDTH"),
        ("bbox=1,2,3", "expected ROW,COL,HEIGHT,WIDTH.* or bbox=LEFT,BOTTOM,RIGHT,TOP"),
        ("bbox=1,2,x,4", "or bbox=LEFT"),
        ("9" * 5000 + ",0,1,1", "expected ROW,COL,HEIGHT,WIDTH"),
        ("0,0,1,1:max-error=" + "9" * 5000, "expected ROW,COL,HEIGHT,WIDTH"),
        ("1,2,0,4", "at least one of each"),
        ("1,2,3,4:max-error=70000", "expected a max-error of 0 to 65535"),
        ("0,0,109,5", "expected pixels within 108 rows and 108 columns"),
        ("0,107,5,2:max-error=3", "--region 0,107,5,2:max-error=3: expected pixels within"),
    ],
)
def test_regions_that_mean_nothing_are_refused(text: str, message: str) -> None:
    with pytest.raises(UserError, match=message):
        SeriesEncoder(shipped(), scene(1), regions=(parsed(text),))


def test_regions_from_python_are_checked() -> None:
    assert region_of([1, 2, 3, 4]) == Region(1, 2, 3, 4) == parsed("1, 2, 3, 4")
    for wrong in ((1, 2, 3), (1, 2, 3, 4, 5, 6), (1, 2, 3, 4.5)):
        with pytest.raises(UserError, match="regions: expected"):
            region_of(wrong)  # type: ignore[arg-type]


def test_a_coder_that_breaks_the_promise_writes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """What was coded is decoded and compared before it is written."""
    decode = predictive.decode

    def wrong(*given: Any) -> Any:
        found = decode(*given)
        found.samples[0, 3, 3] += 9
        return found

    monkeypatch.setattr(predictive, "decode", wrong)
    for how in ({"lossless": True}, {"quality": 30, "regions": [(0, 0, 1, 1, 4)]}):
        with pytest.raises(UserError, match="expected 16 layers within [04], decoded 16 within"):
            compress(scene(1), **how)


def test_the_command_and_what_inspect_and_decompress_say(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames, source, made = scene(), tmp_path / "cube.npz", tmp_path / "a.swp"
    np.savez(source, data=np.stack([f.data for f in frames]), bands=np.array(NAMES))
    options = ["--quality", "30", "--tile", "64", "--region", "0,64,9,9", "--region", "70,64,9,9:max-error=3"]
    assert main(["compress", str(source), "-o", str(made), *options]) == 0
    capsys.readouterr()
    assert main(["inspect", str(made)]) == 0
    assert "guaranteed: 2 tiles lossless, 2 tiles within 3, 4 tiles without a guarantee" in capsys.readouterr().out
    assert main(["inspect", str(made), "--json"]) == 0
    facts = json.loads(capsys.readouterr().out)
    assert [[t["max_error"] for t in f["tiles"]] for f in facts["frames"]] == [[None, 0, None, 3]] * 2
    report = tmp_path / "report.json"
    assert main(["decompress", str(made), "-o", str(tmp_path / "b.npz"), "--report", str(report)]) == 0
    said = capsys.readouterr().out
    assert "guaranteed: 2 tiles lossless, 2 tiles within 3, 4 tiles without a guarantee" in said
    tiles = json.loads(report.read_text())["frames"][0]["tiles"]
    assert [t["max_error"] for t in tiles] == [None, 0, None, 3]
    assert main(["compress", str(source), "-o", str(tmp_path / "c.swp"), "--region", "0,0,9"]) == 2
    assert "expected ROW,COL,HEIGHT,WIDTH" in capsys.readouterr().err


def test_a_box_in_the_files_coordinates(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rasterio = pytest.importorskip("rasterio")
    (true,), path = scene(1), tmp_path / "a.tif"
    place = rasterio.transform.from_origin(500_000, 5_000_000, 10, 10)
    profile = {"driver": "GTiff", "height": SIDE, "width": SIDE, "count": 3, "dtype": "uint16", "crs": "EPSG:32633"}
    with rasterio.open(path, "w", transform=place, **profile) as file:
        file.write(true.data)
        for i, name in enumerate(NAMES):
            file.set_band_description(i + 1, name)
    words = ["compress", str(path), "-o", str(tmp_path / "a.swp"), "--quality", "30", "--tile", "64", "--region"]
    assert main([*words, "bbox=500700,4999850,500750,4999900:max-error=1"]) == 0
    stream = swathpack.open(tmp_path / "a.swp")
    assert dict(stream.frames[0].max_errors) == {1: 1} and worst(stream, [true])[1] <= 1
    capsys.readouterr()
    assert main([*words, "bbox=1,2,3,4", "--force"]) == 1
    assert "--region bbox: expected a box that meets (500000.0, 4998920.0, 501080.0" in capsys.readouterr().err
    assert main([*words, "bbox=1,2,3,1e999", "--force"]) == 1
    assert "--region bbox: expected finite numbers, found (1.0, 2.0, 3.0, inf)" in capsys.readouterr().err
    assert parsed("bbox=.5,1.,2,3") == BoxRegion(0.5, 1.0, 2.0, 3.0)
    np.savez(tmp_path / "b.npz", data=true.data, bands=np.array(NAMES))
    words[1] = str(tmp_path / "b.npz")
    assert main([*words, "bbox=1,2,3,4", "--force"]) == 1
    assert "--region bbox: there is no georeference along rows and columns: give ROW,COL" in capsys.readouterr().err
    assert parsed("bbox=-1.5,2e3,3,4:max-error=7") == BoxRegion(-1.5, 2000.0, 3.0, 4.0, 7)
