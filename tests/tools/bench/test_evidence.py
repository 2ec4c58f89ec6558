"""The evidence: what it concludes from known curves, and the command that writes it."""

import argparse
import json
import re

import numpy as np
import pytest

from swathpack.tools.bench import evidence, peers
from swathpack.tools.bench.measure import Measured, Point
from swathpack.tools.bench.peers.base import PeerError
from swathpack.tools.bench.peers.swathpack import Layers, Rows
from swathpack.tools.commands import bench as command
from swathpack.tools.errors import UserError
from tests.tools.bench.test_bench import Rounding, curve_of, folder  # noqa: F401


class Bounded(Rounding):
    """Rounding whose knobs reach 0.5 bppb from 0.004 on, at a share of the bytes."""

    knobs = (4000.0, 1600.0, 400.0, 100.0, 60.0, 40.0, 25.0)


@pytest.fixture
def all_rounding(monkeypatch):
    costs = {"swathpack": 0.5, "swathpack-plain": 0.55, "swathpack-nobase": 0.52, "swathpack-intra": 1.0}
    for table in (peers.PEERS, peers.VARIANTS):
        for name in list(table):
            monkeypatch.setitem(table, name, lambda bands, n=name: Bounded(name=n, cost=costs.get(n, 1.0)))

    def missing(bands):
        raise PeerError("no encoder here")

    monkeypatch.setitem(peers.PEERS, "av1-klt", missing)


def arguments(*words):
    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(w) for w in words])


@pytest.mark.long
def test_command_writes_tables_and_pictures(folder, all_rounding, tmp_path, capsys):  # noqa: F811
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    assert command.run(arguments(folder, "--evidence", "--out", out, "--cache", tmp_path / "cache")) == 0
    text = capsys.readouterr().out
    assert "not measured: av1-klt: no encoder here" in text and "Copernicus" in text
    found = json.loads((out / "evidence.json").read_text())
    bd = found["against"]["j2k"]["0.01-0.2"]
    assert bd["bd_rate"] == pytest.approx(-50, abs=1) and (bd["won"], bd["cubes"]) == (2, 2)
    assert found["temporal"]["bd_rate"] == pytest.approx(-50, abs=1)
    assert found["optimised"]["bd_rate"] == pytest.approx(100 * (0.5 / 0.55 - 1), abs=1)
    assert found["base"]["bd_rate"] == pytest.approx(100 * (0.5 / 0.52 - 1), abs=1)
    assert found["bands"]["cubes"] == 2 and len(found["bands"]["psnr"]["j2k"]) == 12
    table = (out / "tables.md").read_text()
    assert re.search(r"\| JPEG2000 \| 0.01-0.2 \| -(49.\d|50.\d) %", table)
    assert min((out / n).stat().st_size for n in ("results.png", "variants.png")) > 20_000


def test_evidence_needs_a_folder(tmp_path):
    with pytest.raises(UserError, match="--out"):
        command.run(arguments(tmp_path, "--evidence"))


def test_first_layer_is_judged_at_its_own_rate():
    measured = {name: [curve_of("a"), curve_of("b")] for name in evidence.CLASSICAL}
    ahead = curve_of("a", 2.0)
    behind = curve_of("b", -1.0, rates=(0.002, 0.05, 0.2, 0.5))
    measured["swathpack-k1"] = [ahead, behind]
    first, second, *_ = evidence.first_layer(measured)
    assert first["peers"]["j2k"] == {"won": 1, "lost": 0, "too_large": 1}
    assert second["peers"]["j2k"] == {"won": 1, "lost": 1, "too_large": 0}
    assert (second["ahead_of_all"], second["cubes"]) == (1, 2)


def test_bands_are_interpolated_in_log_rate():
    def point(rate, value):
        return Point(rate, [rate], [value], *([[0.0]] * 8), 0.0, 0.0, [[value + b for b in range(12)]])

    item = Measured("j2k", "a", (1, 12, 8, 8), [point(0.05, 30.0), point(0.2, 40.0), point(0.3, 50.0)])
    assert evidence.bands_at(item, 0.1) == pytest.approx([35.0 + b for b in range(12)])
    assert evidence.bands_at(item, 0.4) is None


def test_gap_of_fewer_layers_is_zero_for_the_same_curve():
    measured = {"swathpack": [curve_of("a")], "swathpack-q24": [curve_of("a", -0.5)]}
    rows = evidence.layers_table(measured, "swathpack-q24")
    assert [r["gap"] for r in rows] == pytest.approx([-0.5] * 4, abs=1e-6)


def test_rows_and_layers_are_real_streams(shipped_series):
    rows, layers = Rows(40), Layers(40)
    whole, half = (rows.encode(shipped_series, k) for k in (16.0, 8.0))
    assert half.total_bytes < 0.8 * whole.total_bytes
    upper, full = rows.decode(half), rows.decode(whole)
    assert (upper[:, :, :32] == layers.decode(layers.encode(shipped_series[:, :, :32], 16.0))).all()
    assert upper.shape == full.shape and (upper[:, :, 32:] == upper[:, :, -1:, -1:]).all()
    assert layers.encode(shipped_series, 1.0).total_bytes < 0.75 * whole.total_bytes
    assert rows.version != layers.version


@pytest.fixture
def shipped_series():
    from swathpack.tools.files.synthetic_scene import synthetic_series

    return np.stack([f.data for f in synthetic_series(1, 64, seed=3)[0].frames])
