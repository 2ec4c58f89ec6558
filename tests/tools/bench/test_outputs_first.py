"""Measuring scripts refuse an output before the minutes that measuring takes, not after."""

from __future__ import annotations

import argparse
from collections.abc import Callable
from pathlib import Path

import pytest

from swathpack.tools.bench import file_speed, joint, mosaic, rate_quality, rate_tables
from swathpack.tools.commands import bench
from swathpack.tools.errors import RefusedError, UserError
from swathpack.tools.guard import guarded
from swathpack.tools.inpaint import evaluate

# Of each: what must not be reached, and a run on a folder of inputs with an output.
RUNS: dict[str, tuple[list[tuple[object, str]], Callable[[Path, Path], int]]] = {
    "joint": ([(joint, "read")], lambda data, out: joint.main([str(data), "--plot", str(out)])),
    "mosaic": ([(mosaic, "load_sources")], lambda data, out: guarded("m", lambda: mosaic.main([str(data), str(out)]))),
    "rate_quality": (
        [(rate_quality, "EdgeModel")],
        lambda data, out: _run(rate_quality.run, folder=data, out=out, force=False, quality=16),
    ),
    "rate_tables": (
        [(rate_tables, "measure_set")],
        lambda data, out: _run(rate_tables.run, folder=data, out=out, force=False, sets="2", split="val"),
    ),
    "bench": ([(bench.cubes, "load")], lambda data, out: _bench(data, out)),
    "bench --evidence": ([(bench.cubes, "load")], lambda data, out: _bench(data, out, "--evidence")),
    "bench --speed": ([(file_speed, "measure")], lambda data, out: _bench(data, out, "--speed")),
    "evaluate": ([(evaluate, "_measured")], lambda data, out: evaluate.main([str(data), "--out", str(out)])),
}


def _run(run: Callable[[argparse.Namespace], int], **options: object) -> int:
    return guarded("x", lambda: run(argparse.Namespace(**options)))


def _bench(*words: object) -> int:
    parser = argparse.ArgumentParser()
    bench.add_arguments(parser)
    data, out, *more = map(str, words)
    return guarded("bench", lambda: bench.run(parser.parse_args([data, "--out", out, *more])))


@pytest.mark.parametrize("name", RUNS)
def test_an_output_is_refused_before_anything_is_measured(tmp_path: Path, monkeypatch, capsys, name: str) -> None:
    data = tmp_path / "data"
    data.mkdir()
    (tmp_path / "file").touch()
    reached, run = RUNS[name]
    for owner, function in reached:
        monkeypatch.setattr(owner, function, lambda *_, **__: pytest.fail("measured before the output was looked at"))
    beneath = tmp_path / "file" / "out.json"
    assert run(data, beneath) == UserError.exit_code
    assert f"cannot write {beneath}: no folder: {tmp_path / 'file'}" in capsys.readouterr().err
    assert run(data, data) == RefusedError.exit_code
    assert "is an input" in capsys.readouterr().err


def test_sets_of_bands_are_looked_at_before_the_first_is_measured(tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr(rate_tables, "measure_set", lambda *_: pytest.fail("measured"))
    options = {"folder": tmp_path, "out": tmp_path / "r.json", "force": False, "sets": "2,99", "split": "val"}
    with pytest.raises(UserError, match="--sets: expected numbers of bands"):
        rate_tables.run(argparse.Namespace(**options))
