"""Fine-tuning on a folder: what is trained on, what is held out, the model directory, refusals."""

import argparse
import importlib
import json
import sys
from functools import partial
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel, ModelError
from swathpack.tools.commands import adapt
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.options import reading_options
from swathpack.tools.files.synthetic_scene import synthetic_series
from tests.codec_models import shipped


def arguments(*words) -> argparse.Namespace:
    parser = argparse.ArgumentParser()
    adapt.add_arguments(parser)
    return parser.parse_args([str(w) for w in words])


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "images").mkdir()
    frames = synthetic_series(4, 64, seed=1)[0].frames
    np.savez(tmp_path / "images" / "place.npz", data=np.stack([f.data for f in frames]), bands=BANDS)
    np.savez(tmp_path / "images" / "tiny.npz", data=frames[0].data[None, :, :40, :40], bands=BANDS)
    return tmp_path / "images"


def test_last_dates_are_held_out(folder: Path) -> None:
    (place,) = adapt.load_places(folder, None, 0.25)
    assert (len(place.frames), place.held, len(place.training)) == (4, 1, 3)
    assert adapt.load_places(folder, None, 0.9)[0].held == 3  # one date at least is trained on
    assert adapt.load_places(folder, None, 0.0)[0].held == 0
    cubes = pytest.importorskip("torch") and adapt.training_cubes([place])
    assert cubes[0].data.shape == (3, 12, 64, 64)
    np.testing.assert_array_equal(cubes[0].data[2], place.frames[2].data)


def test_reflectance_and_bands_without_names_are_read_as_compress_reads_them(tmp_path: Path) -> None:
    data = synthetic_series(2, 64, seed=1)[0].frames[0].data[:3]
    np.savez(tmp_path / "place.npz", data=data[None].astype(np.float32) / 10000, bands=["1", "2", "3"])
    args = arguments(tmp_path, "-o", "m", "--scale", "10000", "--wavelengths", "443,490,560")
    (place,) = adapt.load_places(tmp_path, reading_options(args), 0.0)
    np.testing.assert_array_equal(place.frames[0].data[:3], data)


def test_only_held_out_dates_are_judged(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (place,) = adapt.load_places(folder, None, 0.5)
    pairs = adapt.held_out(shipped(), place, 40)
    assert len(pairs) == 2 and all(0 < rate < 1 and 20 < psnr < 60 for rate, psnr in pairs)


def test_verdict_in_words_and_numbers() -> None:
    before = adapt.Judged([0.4, 0.2, 0.1, 0.05], [44.0, 41.0, 38.0, 35.0])
    better = adapt.Judged([0.36, 0.18, 0.09, 0.045], [44.0, 41.0, 38.0, 35.0])
    text, numbers = adapt.report(before, better)
    assert "-10.0 % bytes" in text and "keep the shipped" not in text
    assert numbers["bd_rate_percent"] == pytest.approx(-10) and numbers["bd_psnr_db"] > 0.3
    assert "keep the shipped" in adapt.report(better, before)[0]


@pytest.mark.long
@pytest.mark.parametrize("parts", ["both", "synthesis", pytest.param("entropy", marks=pytest.mark.slow)])
def test_a_model_directory_that_codes(
    folder: Path,
    tmp_path: Path,
    parts: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    pytest.importorskip("torch")
    pytest.importorskip("onnx")
    from swathpack.export.golden import write_golden

    monkeypatch.setattr(adapt, "JUDGED_STEPS", (32, 40))
    training = importlib.import_module("swathpack.codec.adapt")
    monkeypatch.setattr(training, "Effort", partial(training.Effort, batch=1, size=64))
    made_golden = list[dict[str, np.ndarray]]()

    def counted(parameters: dict[str, np.ndarray], path: Path) -> None:
        made_golden.append(parameters)
        write_golden(parameters, path)

    monkeypatch.setattr("swathpack.export.manifest.write_golden", counted)
    words = [folder, "-o", tmp_path / "model", "--minutes", "0.0005", "--parts", parts]
    assert adapt.run(arguments(*words)) == 0
    text = capsys.readouterr().out
    assert "1 series, 3 dates to train on, 1 later dates held out" in text and "equal bytes" in text
    made = EdgeModel(tmp_path / "model")
    assert made.digest != shipped().digest and made.manifest["adapted_from"] == shipped().digest.hex()
    # An engine that this processor refuses differs elsewhere in another model: the details are each model's own.
    told = [[(event.engine, event.reason) for event in model.engine_events] for model in (made, shipped())]
    assert told[0] == told[1]
    same = [
        n
        for n in ("analysis.onnx", "entropy.npz", "golden.npz")
        if _bytes(tmp_path / "model" / n) == _bytes(DEFAULT_DIRECTORY / n)
    ]
    assert same == (["analysis.onnx", "entropy.npz", "golden.npz"] if parts == "synthesis" else ["analysis.onnx"])
    assert len(made_golden) == (parts != "synthesis"), "of one network once; the shipped one's are copied"
    with np.load(tmp_path / "model" / "entropy.npz") as network:
        assert all(np.array_equal(network[name], given) for made in made_golden for name, given in made.items())
    told = json.loads((tmp_path / "model" / "adapted.json").read_text())
    assert told["dates"] == 3 and set(told["steps"]) == ({"entropy", "synthesis"} if parts == "both" else {parts})
    assert [p.name for p in tmp_path.iterdir() if p.name.startswith(".")] == []


def _bytes(path: Path) -> bytes:
    return path.read_bytes()


@pytest.mark.parametrize(
    "words, message",
    [
        (("--minutes", "0"), "--minutes"),
        (("--minutes", "nan"), "--minutes"),
        (("--holdout", "1"), "--holdout"),
        (("--threads", "0"), "--threads"),
        (("--model", "nowhere"), "nowhere"),
    ],
)
def test_bad_arguments_are_named(folder: Path, tmp_path: Path, words, message: str) -> None:
    pytest.importorskip("torch")
    with pytest.raises((UserError, ModelError), match=message):
        adapt.run(arguments(folder, "-o", tmp_path / "m", *words))


def test_bad_folders_are_named(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(UserError, match="no such folder"):
        adapt.load_places(tmp_path / "absent", None, 0.25)
    (tmp_path / "empty").mkdir()
    with pytest.raises(UserError, match="found none"):
        adapt.load_places(tmp_path / "empty", None, 0.25)
    with pytest.raises(UserError, match="sides of 64"):
        adapt.load_places(folder / "tiny.npz", None, 0.25)
    with pytest.raises(UserError, match="empty folder"):
        adapt.run(arguments(folder, "-o", folder))
    monkeypatch.setitem(sys.modules, "torch", None)
    with pytest.raises(ModuleNotFoundError):  # which the command tells in one line: tests/test_installed.py
        adapt.run(arguments(folder, "-o", tmp_path / "m"))
