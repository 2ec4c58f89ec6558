"""Training of the family from nothing: losses that can be learned from, files that code."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from swathpack.codec import train_terracodec as training
from swathpack.codec.data import BANDS, CropSampler, load_cubes
from swathpack.codec.terracodec import decode_series, encode_series, load_model
from swathpack.tools.files.synthetic_scene import synthetic_series

WIDTHS = {"fp": (8, 16), "elic": (16, 48), "tt": (8, 8, 16, 64), "flextec": (8, 8, 16, 64)}


@pytest.fixture(scope="module")
def data(tmp_path_factory) -> Path:
    root = tmp_path_factory.mktemp("data")
    frames = np.stack([f.data for f in synthetic_series(3, 72, seed=1)[0].frames])
    np.savez(root / "a.npz", data=frames, bands=BANDS)
    entries = [{"file": "a.npz", "split": s, "boa_offset_1000": "no"} for s in ("train", "val")]
    (root / "catalog.json").write_text(json.dumps(entries))
    return root


@pytest.mark.parametrize("family", training.FAMILIES)
def test_a_trained_file_codes(family: str, data: Path, tmp_path: Path) -> None:
    widths = ",".join(map(str, WIDTHS[family]))
    words = [
        family,
        "--widths",
        widths,
        "--data",
        str(data),
        "--out",
        str(tmp_path / "m.swt"),
        "--steps",
        "2",
        "--batch",
        "2",
    ]
    said: list[str] = []
    assert training.train(training.parser().parse_args(words), said.append) == 2
    assert "2 steps" in said[0] and "dB" in said[0] and "nan" not in said[0]
    model = load_model(tmp_path / "m.swt")
    frames = np.stack([f.data for f in synthetic_series(2, 64, seed=3)[0].frames])
    decoded = decode_series(model, encode_series(model, frames))
    assert model.family == family and decoded.shape == frames.shape and np.isfinite(decoded).all()


@pytest.mark.parametrize("family", training.FAMILIES)
def test_every_part_gets_a_gradient(family: str, data: Path) -> None:
    torch.manual_seed(0)
    model = training.build(family, WIDTHS[family], 64)
    dates = 3 if family in ("tt", "flextec") else 1
    x = training.standardised(CropSampler(load_cubes(data, "train"), 1), 2, 64, dates)
    training.loss_of(model, x, 40.0, keep=9).backward()
    blind = [n for n, p in model.named_parameters() if p.grad is None or not p.grad.abs().sum() > 0]
    # Quantiles only place tables; the hyper latent starts as zeros and grows by its noise.
    assert [n for n in blind if "quantiles" not in n and "h_s.0" not in n] == []


def test_bits_are_those_of_a_gaussian() -> None:
    torch.manual_seed(1)
    sigma = torch.full((200_000,), 3.0)
    found = training.gaussian_bits(torch.round(torch.randn(200_000) * 3), sigma).mean()
    assert float(found) == pytest.approx(0.5 * np.log2(2 * np.pi * np.e * 9), abs=0.03)


def test_wrong_widths_are_named() -> None:
    with pytest.raises(ValueError, match="tt: expected 4 widths, found 2"):
        training.build("tt", (8, 8), 64)
