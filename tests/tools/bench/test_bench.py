"""The bench: cubes, cache, interpolation rules, report, command."""

import json
import math
import sys

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.tools.bench import cubes, measure, report, summary
from swathpack.tools.bench.measure import Cache, Measured, Point
from swathpack.tools.bench.peers.base import Encoded
from swathpack.tools.commands import bench as command
from swathpack.tools.errors import UserError
from swathpack.tools.files.synthetic_scene import synthetic_series


@pytest.fixture
def folder(tmp_path):
    (tmp_path / "val").mkdir()
    frames = synthetic_series(2, 48, seed=1)[0].frames
    data = np.stack([f.data for f in frames])
    thirteen = np.insert(data, 10, 7, axis=1)
    names = (*BANDS[:10], "B10", *BANDS[10:])
    np.savez(tmp_path / "val" / "a.npz", data=data, bands=BANDS)
    np.savez(tmp_path / "val" / "b.npz", data=thirteen + np.uint16(1000), bands=names, boa_offset_1000="yes")
    np.savez(tmp_path / "val" / "rgb.npz", data=data[:, :3], bands=BANDS[:3])
    np.savez(tmp_path / "val" / "small.npz", data=data[:, :, :20], bands=BANDS)
    return tmp_path


def test_cubes_are_the_twelve_bands_without_offset(folder):
    loaded = cubes.load(folder)
    assert [c.name for c in loaded] == ["a", "b"]
    assert (loaded[0].data == loaded[1].data).all() and loaded[0].digest == loaded[1].digest
    assert len(cubes.load(folder, limit=1)) == 1
    (folder / "none").mkdir()
    with pytest.raises(UserError, match="split 'none'"):
        cubes.load(folder, "none")


def test_catalogue_decides_the_split(folder):
    entries = [{"file": "val/a.npz", "split": "train"}, {"file": "val/b.npz", "split": "val"}]
    (folder / "catalog.json").write_text(json.dumps(entries))
    assert [c.name for c in cubes.load(folder, "train")] == ["a"]


class Rounding:
    """Codec of the tests: rounds to a step; its bytes are a count that halves when the step doubles."""

    label, version, knobs = "rounding", "1", (400.0, 100.0, 25.0, 5.0)
    calls = 0

    def __init__(self, bands=BANDS, name="j2k", cost=1.0):
        self.name, self.cost = name, cost

    def encode(self, series, knob):
        type(self).calls += 1
        rounded = (np.rint(series / knob) * knob).astype(np.uint16)
        size = int(self.cost * series[0].size * 2 / knob)
        return Encoded([bytes(size) for _ in series], rounded.tobytes()[:0], {"pixels": rounded})

    def decode(self, encoded):
        return encoded.notes["pixels"]


@pytest.fixture
def rounding(monkeypatch):
    from swathpack.tools.bench import peers

    Rounding.calls = 0
    monkeypatch.setitem(peers.PEERS, "j2k", lambda bands: Rounding(name="j2k"))
    monkeypatch.setitem(peers.PEERS, "j2k-klt", lambda bands: Rounding(name="j2k-klt", cost=0.5))


def test_points_are_measured_once_and_stop_at_the_highest_rate(folder, rounding, tmp_path):
    cube = cubes.load(folder)[0]
    cache = Cache(tmp_path / "cache")
    first = measure.measure("j2k", cube, 0.3, cache)
    assert [p.knob for p in first.points] == [400, 100, 25] and Rounding.calls == 3
    assert first.points[0].bppb[0] == pytest.approx(0.04, rel=0.01)
    assert first.points[1].psnr[0] == pytest.approx(20 * math.log10(1e4 / (100 / 12**0.5)), abs=0.3)
    again = measure.measure("j2k", cube, 0.3, cache)
    assert again == first and Rounding.calls == 3
    measure.measure("j2k", cube, 0.3, Cache(None))
    assert Rounding.calls == 6


def curve_of(name, shift=0.0, rates=(0.01, 0.05, 0.2, 0.5), frames=1):
    points = [
        Point(
            i,
            [r] * frames,
            [40 + shift + 6 * math.log2(r)] * frames,
            [0.9] * frames,
            [1.0] * frames,
            [0.1] * frames,
            [0.1] * frames,
            [1.0] * frames,
            *([[30.0] * frames] * 3),
            0.2,
            0.1,
            [[30.0] * 12] * frames,
        )
        for i, r in enumerate(rates)
    ]
    return Measured("x", name, (frames, 12, 256, 256), points)


def test_targets_count_only_frames_that_reach_them():
    items = [curve_of("a"), curve_of("b", rates=(0.05, 0.2), frames=2)]
    low, middle, high = summary.at_targets(items, [0.02, 0.1, 0.4])
    assert (low["reached"], middle["reached"], high["reached"], low["frames"]) == (1, 3, 1, 3)
    assert middle["psnr"] == pytest.approx(40 + 6 * math.log2(0.1), abs=0.05)


def test_comparison_over_common_frames():
    means = summary.common_means(
        {"x": [curve_of("a"), curve_of("b", 10)], "y": [curve_of("a"), curve_of("b", rates=(0.2, 0.5))]}, [0.1]
    )
    assert means["frames"] == [1.0] and means["x"] == pytest.approx(means["y"])


def test_bd_rate_of_cubes_and_of_the_mean_curve():
    anchor = [curve_of("a"), curve_of("b")]
    test = [curve_of("a", 6.0), curve_of("b", 3.0)]
    found = summary.against(anchor, test, (0.01, 0.2))
    assert found["per_cube"]["a"] == pytest.approx(-50, abs=0.5)
    assert found["per_cube"]["b"] == pytest.approx(100 * 2**-0.5 - 100, abs=0.5)
    assert found["bd_rate_mean_of_cubes"] == pytest.approx((-50 - 29.3) / 2, abs=0.5)
    assert found["bd_rate_worst_cube"] == pytest.approx(-29.3, abs=0.5)
    assert found["bd_rate_of_mean_curve"] == pytest.approx(100 * 2**-0.75 - 100, abs=0.5)
    assert found["cubes"] == 2


def test_cpu_seconds_are_per_tile_at_a_tenth_of_a_bit():
    assert summary.cpu_seconds([curve_of("a", frames=2)], lambda p: p.encode_s) == pytest.approx(0.1)


def arguments(*words):
    import argparse

    parser = argparse.ArgumentParser()
    command.add_arguments(parser)
    return parser.parse_args([str(w) for w in words])


def test_command_prints_and_writes(folder, rounding, tmp_path, capsys):
    pytest.importorskip("matplotlib")
    out = tmp_path / "out"
    words = ("--codecs", "j2k,j2k-klt", "--out", out, "--bppb", "0.05,0.2", "--cache", tmp_path / "cache")
    code = command.run(arguments(folder, *words))
    text = capsys.readouterr().out
    assert code == 0 and "JPEG2000 + KLT" in text and "-50.0 %" in text and "Copernicus" in text
    found = json.loads((out / "bench.json").read_text())
    bd = found["codecs"]["j2k-klt"]["against_anchor"]["bd_rate_mean_of_cubes"]
    assert bd == pytest.approx(-50, abs=1) and found["frames"] == 4
    rows = (out / "bench.csv").read_text().splitlines()
    assert rows[0].startswith("codec,cube,frame,knob,bppb") and len(rows) > 12
    assert (out / "bench.png").stat().st_size > 20_000


@pytest.mark.parametrize(
    "words, message",
    [
        (("--bppb", "0.1,x"), "--bppb"),
        (("--window", "0.1"), "LOW,HIGH"),
        (("--bppb", "-1"), "positive"),
        (("--codecs", "gif"), "unknown codec"),
        (("--codecs", ","), "found none"),
    ],
)
def test_bad_arguments_are_named(folder, words, message):
    with pytest.raises(UserError, match=message):
        command.run(arguments(folder, "--codecs", "j2k", *words))


def test_missing_folder_and_missing_codec(tmp_path, monkeypatch):
    with pytest.raises(UserError, match="no such folder"):
        cubes.load(tmp_path / "absent")
    monkeypatch.setitem(sys.modules, "swathpack.tools.files.api", None)
    with pytest.raises(UserError, match="codec itself"):
        command.run(arguments(tmp_path, "--codecs", "swathpack"))


def test_exact_frames_become_null_in_json(tmp_path):
    report.write_json(tmp_path / "x.json", {"a": float("inf"), "b": [float("nan")]}, {})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [None], "measured": {}}
