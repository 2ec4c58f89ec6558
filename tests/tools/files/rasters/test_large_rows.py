"""Dates that are written tile by tile are the files that are written at once."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swathpack.edge.codec.pixels import tile_windows
from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import Radiometry
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.files.frame_store import FrameStore
from swathpack.tools.files.rasters import Series, large_rows, write_series
from swathpack.tools.files.rasters.records import BandRecord, FileRecord

tifffile = pytest.importorskip("tifffile")
HEIGHT, WIDTH = 300, 530
LAYOUTS: dict[str, dict[str, Any]] = {
    "plain": {},
    "contiguous": {"layout": {"planar": False, "compression": "ADOBE_DEFLATE", "predictor": 2, "tile": [128, 256]}},
    "separate": {"layout": {"planar": True, "tile": [256, 256], "bigtiff": True}},
    "contiguous strips": {"layout": {"planar": False, "compression": "LZW", "predictor": 2}},
    "separate strips": {"layout": {"planar": True, "compression": "NONE"}},
    "alpha": {"alpha": (3, 2, 255.0), "mask": "alpha", "layout": {"planar": False, "tile": [128, 128]}},
    "alpha first": {"alpha": (0, 2, 255.0), "mask": "alpha", "layout": {"planar": True, "tile": [128, 128]}},
    "internal": {"mask": "internal", "layout": {"planar": False, "tile": [128, 128]}},
    "sidecar": {"mask": "sidecar", "nodata": 7.0},
}


def store_of(frame: Frame, folder: Path) -> FrameStore:
    store = FrameStore(frame.height, frame.width, folder, 0)
    none = np.zeros((0, 0, 0), np.bool_)
    outline = np.zeros((len(frame.bands), 1, 1), np.uint16)
    store.begin(replace(frame, data=outline, valid=np.zeros((1, 1), np.bool_), holes=none))
    for window in tile_windows(frame.height, frame.width, 256):
        holes = window.of(frame.holes) if frame.holes.size else frame.holes
        store.put(window, replace(frame, data=window.of(frame.data), valid=window.of(frame.valid), holes=holes))
    return store


def both(frame: Frame, metadata: dict[str, Any], folder: Path, monkeypatch: pytest.MonkeyPatch) -> list[list[Path]]:
    """Files written at once and tile by tile."""
    store = store_of(frame, folder)
    found = [sorted(write_series(Series(store, metadata), folder / "at_once"))]
    monkeypatch.setattr(large_rows, "LARGE_SAMPLES", 1)
    found.append(sorted(write_series(Series(store, metadata), folder / "by_tiles")))
    for a, b in zip(sorted((folder / "at_once").iterdir()), sorted((folder / "by_tiles").iterdir()), strict=True):
        with tifffile.TiffFile(a) as one, tifffile.TiffFile(b) as two:
            assert a.name == b.name and len(one.pages) == len(two.pages)
            assert [p.is_tiled for p in one.pages] == [p.is_tiled for p in two.pages]
            for p, q in zip(one.pages, two.pages, strict=True):
                np.testing.assert_array_equal(p.asarray(), q.asarray())
                own = [
                    {c: t.value for c, t in ((t.code, t) for t in page.tags) if c not in LAYOUT_TAGS} for page in (p, q)
                ]
                assert own[0] == own[1]
    return found


LAYOUT_TAGS = (273, 279, 324, 325)  # where strips and tiles lie


@pytest.mark.parametrize("name", LAYOUTS)
def test_every_layout(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data = values(HEIGHT, WIDTH, 1, 2)[0, :3]
    valid = np.ones((HEIGHT, WIDTH), bool)
    valid[40:90, 200:400] = False
    bands = ("B02", "B03", "B04")
    nodata = float(LAYOUTS[name].get("nodata", 0))
    frame = Frame(
        np.where(valid, data, 0).astype(np.uint16), bands, "2026-01-01", valid, radiometry=Radiometry(nodata=nodata)
    )
    records = tuple(BandRecord(b, b) for b in bands)
    record = FileRecord("a.tif", records, (HEIGHT, WIDTH), datetime="2026:01:01 00:00:00", **LAYOUTS[name])
    both(frame, {"format": "raster", "files": [[record.to_json()]]}, tmp_path, monkeypatch)


def test_three_grids_and_no_record(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    data, bands = values(HEIGHT, WIDTH, 1, 2)[0, :3], ("B02", "B05", "B01")
    frame = Frame(data, bands, "2026-01-01", grid=(1, 2, 6))
    shapes = [(-(-HEIGHT // f), -(-WIDTH // f)) for f in frame.grid]
    records = [FileRecord(f"{b}.tif", (BandRecord(b, b),), s).to_json() for b, s in zip(bands, shapes)]
    (tmp_path / "a").mkdir()
    both(frame, {"format": "raster", "files": [records]}, tmp_path / "a", monkeypatch)
    monkeypatch.undo()
    data = np.maximum(data, 1)
    for lone in (1, 0):
        monkeypatch.undo()
        data[:, 198:234, 48:], data[1, 4:6, 4:6] = 0, lone
        (tmp_path / f"b{lone}").mkdir()
        found = both(Frame(data, bands, grid=(1, 2, 6)), {}, tmp_path / f"b{lone}", monkeypatch)[1]
        assert [p.name for p in found] == ["000_date_10m.tif", "000_date_20m.tif", "000_date_60m.tif"]
        for path, shape, masked in zip(found, shapes, (False, lone == 0, False)):
            with tifffile.TiffFile(path) as file:
                assert file.pages.first.shape == shape and len(file.pages) == 1 + masked
                assert (42113 in file.pages.first.tags) != masked
