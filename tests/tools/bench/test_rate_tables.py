"""The planner's rate tables, measured on a drawn scene: what is written is what the planner reads, whole tiles are as promised."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.flight import FlightCodec
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.protocol import Goal
from swathpack.edge.codec.settings import CodecSettings
from swathpack.tools.bench import rate_tables
from swathpack.tools.errors import UserError
from swathpack.tools.files.synthetic_scene import synthetic_series
from swathpack.tools.plan.rates import load_rates


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A catalogue with one scene that is large enough and one that is not."""
    place = tmp_path_factory.mktemp("data")
    frame = synthetic_series(1, 112, cloudy=0.0)[0].frames[0]
    rows = []
    for name, side in (("large", 112), ("small", 64)):
        data = frame.select(BANDS).data[None, :, :side, :side]
        np.savez(place / f"{name}.npz", data=data, bands=np.array(BANDS))
        rows.append({"file": f"{name}.npz", "split": "val", "bands": list(BANDS)})
    (place / "catalog.json").write_text(json.dumps(rows))
    return place


def test_what_is_written_is_what_the_planner_reads(folder: Path, tmp_path: Path, monkeypatch, capsys) -> None:
    out = tmp_path / "rates.json"
    arguments = ["rate_tables", str(folder), "--sets", "2,10", "--out", str(out)]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        rate_tables.main()
    assert ended.value.code == 0
    assert "10 bands, 1 scenes" in capsys.readouterr().out
    told = json.loads(out.read_text())
    assert told["scenes"] == ["large"] and [s["scenes"] for s in told["sets"]] == [1, 1]
    auto, measured = (load_rates(out, "agx-orin", "30W", BANDS[:10], mode)[0] for mode in ("auto", "transform"))
    assert measured.psnr_db[1, -1] > 60 and auto.psnr_db.shape == (3, 17)
    lossless = auto.services[0].table
    assert 0.5 < lossless.mean_bppb[-1] < 14 and np.isinf(lossless.mean_psnr_db[-1])
    with pytest.raises(SystemExit) as again:
        rate_tables.main()
    assert again.value.code == 4, "nobody's file is overwritten"


def test_bytes_are_those_of_packed_segments() -> None:
    """Head and bits a sample of a layer are together the bytes that a pass counts."""
    frame = synthetic_series(1, 96, cloudy=0.0)[0].frames[0].select(("B04", "B08"))
    tile = rate_tables.tile_of(frame.data, frame.valid, ("B04", "B08"))
    flown = FlightCodec.configured(EdgeModel(), CodecSettings(mode="transform")).encode(tile, ())
    found = rate_tables.by_transform(tile, flown)
    sizes = found.head + found.bppb[1:] * tile.data.size / 8
    assert np.allclose(sizes, np.maximum(flown.prefix_bytes[1:], found.head))
    assert len(flown.segment(0, 5)) == pytest.approx(sizes[4])
    assert (np.diff(found.psnr_db) >= -0.05).all() and found.psnr_db[0] < found.thin <= found.psnr_db[1] + 0.5


def test_layers_are_those_of_tiles_that_were_coded_for_about_their_rate() -> None:
    frame = synthetic_series(1, 96, cloudy=0.0)[0].frames[0].select(BANDS)
    tile = rate_tables.tile_of(frame.data, frame.valid, tuple(BANDS))
    codec = FlightCodec.configured(EdgeModel(), CodecSettings(mode="transform"))
    found = rate_tables.measured_tile(codec, tile, EdgeModel())
    usual, least = (
        rate_tables.by_transform(tile, codec.encode(replace(tile, goal=goal), ()))
        for goal in (Goal(), Goal(room_bytes=0))
    )
    rooms = rate_tables.ROOM_OF_LAYER
    for coded, at in ((usual, rooms == rate_tables.LESS_ROOM[2]), (least, rooms == 0)):
        assert at.any() and (found.psnr_db[at] == coded.psnr_db[at]).all() and (found.bppb[at] == coded.bppb[at]).all()
    low = np.append(0.0, rate_tables.TARGETS) <= 0.25
    assert (found.psnr_db[~low][1:-1] > usual.psnr_db[~low][1:-1] + 0.2).all(), "weights cost all bands nothing there"
    assert (np.diff(found.psnr_db) >= -0.05).all() and (np.diff(found.bppb) >= 0).all()


def test_sets_that_are_not_known_are_refused(folder: Path) -> None:
    with pytest.raises(UserError, match="numbers of bands of 1, 2, 3"):
        list(rate_tables._asked("9"))
