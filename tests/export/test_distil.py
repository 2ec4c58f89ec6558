"""From a temporal teacher to the exact integer form: targets, graphs, and a stream through the result."""

import argparse
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from swathpack.codec.data import BANDS, CropSampler, load_cubes
from swathpack.codec.terracodec.checkpoint import CheckpointError, save_model
from swathpack.edge.bands import BANDS as CODED
from swathpack.edge.codec.latents import quantise
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.frame import Frame
from swathpack.export import distil
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.synthetic_scene import synthetic_series
from tests.codec.terracodec.make_models import imported

pytestmark = pytest.mark.long


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    entries = []
    for split, seed in (("train", 1), ("val", 2)):
        frames = np.stack([f.data for f in synthetic_series(3, 80, seed=seed)[0].frames])
        np.savez(root / f"{split}.npz", data=frames, bands=BANDS)
        entries.append({"file": f"{split}.npz", "split": split, "boa_offset_1000": "no"})
    (root / "catalog.json").write_text(json.dumps(entries))
    return root


def save(family: str, path: Path) -> Path:
    save_model(imported(family), path)
    return path


@pytest.fixture(scope="module")
def made(data, tmp_path_factory):
    """(arguments, figures, teacher) of a short run."""
    folder = tmp_path_factory.mktemp("distilled")
    args = argparse.Namespace(
        teacher=save("flextec", folder / "t.swt"),
        data=data,
        out=folder / "model",
        minutes=5,
        synthesis_minutes=5,
        steps=2,
        batch=2,
        size=64,
        threads=1,
        device="cpu",
        seed=1,
    )
    figures = distil.distil(args)
    return args, figures


def test_figures_and_manifest(made) -> None:
    args, figures = made
    assert figures["steps"] == figures["synthesis_steps"] == 2
    assert all(np.isfinite(v) and v > 0 for v in figures["after"].values())
    manifest = json.loads((args.out / "manifest.json").read_text())
    assert manifest["preset"] == "distilled-flextec" and manifest["distilled"] == figures


def test_streams_of_the_result_decode_exactly(made) -> None:
    args, _ = made
    model = EdgeModel(args.out)
    frames = [Frame(f.data, CODED, time=f"{t}") for t, f in enumerate(synthetic_series(2, 64, seed=4)[0].frames)]
    stream = SeriesEncoder(model, frames, mode="learned").at_quality(distil.Q_TEACHER)
    decoder = StreamDecoder(model, stream)
    coefficients = model.analyse(frames[0].data.astype(np.float32))
    report, tile = decoder.latent(0, decoder.windows[0])
    assert not report.problem
    assert np.abs(tile.latent - coefficients / distil.UNIT).max() < 1.5
    assert decoder.frames().frames[1].data.shape == frames[1].data.shape
    fast = EdgeModel(args.out, engine="int64")
    assert SeriesEncoder(fast, frames, mode="learned").at_quality(distil.Q_TEACHER) == stream


def test_graphs_are_the_teachers_transforms(made, data) -> None:
    args, _ = made
    model, before = EdgeModel(args.out), distil.load_teacher(args.teacher, load_cubes(data, "train"), 64)
    frame = synthetic_series(1, 64, seed=5)[0].frames[0].data.astype(np.float32)
    wanted = before.spread(before.latents(torch.from_numpy(frame)[None]))[0].numpy()
    assert np.abs(model.analyse(frame) - wanted).max() < 0.02 * np.abs(wanted).max()
    assert set(np.flatnonzero(np.abs(wanted).max((1, 2)))) == set(before.slots.tolist())
    # Only the synthesis was trained on, by two small steps: still near the teacher's.
    latent = quantise(wanted, distil.Q_TEACHER, 0.0)
    y = torch.from_numpy(latent[before.slots].astype(np.float32))[None]
    layers = before.model.transform.synthesis_transform.transforms
    mean, std = (t[:, None, None].numpy() for t in (before.imported.mean, before.imported.std))
    found = model.synthesise(latent.astype(np.float32), distil.Q_TEACHER)
    image = layers(y)[0].numpy() * std + mean
    assert np.abs(found - image).mean() < 0.1 * np.abs(image - mean).mean() + 5


def test_two_channels_a_layer_stay_in_their_layer(data, tmp_path) -> None:
    teacher = distil.load_teacher(save("tt", tmp_path / "t.swt"), load_cubes(data, "train"), 64)
    slots = teacher.slots.numpy()
    assert len(set(slots)) == 64 and set(slots % distil.GROUP) == {0, 1, 2, 3}
    frames = torch.from_numpy(CropSampler(load_cubes(data, "train"), 0).frames(8, 64))
    variance = teacher.latents(frames).var((0, 2, 3)).numpy()[np.argsort(slots)]
    assert (np.diff(variance) <= 1e-6).all()


def test_expected_bits() -> None:
    mean, sigma = torch.full((1, 1, 1, 1), 0.3), torch.full((1, 1, 1, 1), 2.0)
    index = torch.linspace(10, 60, 200)
    bits = torch.cat([distil.soft_bits(mean, sigma, mean, i.expand(1, 1, 1, 1)) for i in index]).reshape(-1)
    values = torch.arange(-12.0, 13.0).reshape(-1, 1, 1, 1)
    own = distil.teacher_bits(mean, sigma, values)
    entropy = (torch.exp2(-own) * own).sum()
    assert entropy - 1e-3 < bits.min() < entropy + 0.05  # Gibbs: a logistic comes near, never below
    sure = distil.soft_bits(mean.round(), sigma * 0.01, mean, torch.full((1, 1, 1, 1), 20.0))
    hard = distil.logistic_bits(torch.zeros(1, 1, 1, 1), mean, torch.full((1, 1, 1, 1), 20.0))
    torch.testing.assert_close(sure, hard, rtol=1e-3, atol=1e-3)


def test_other_families_are_refused(data, tmp_path) -> None:
    with pytest.raises(CheckpointError, match="TEC-TT or FlexTEC"):
        distil.load_teacher(save("fp", tmp_path / "f.swt"), load_cubes(data, "train"), 64)
