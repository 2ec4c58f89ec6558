"""The network over drawn frames as a graph: it gives what torch gives, and its manifest vouches for it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch

from swathpack.codec.restoration import Restoration
from swathpack.codec.restored import GRAPH, MOST, Restorer
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.model import ModelError
from swathpack.export.restoration import export


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Of a network that was not trained, but adds something."""
    torch.manual_seed(3)
    model, out = Restoration(), tmp_path_factory.mktemp("restoration")
    torch.nn.init.normal_(model.leave.weight, std=0.05)
    torch.save({"ema": model.state_dict(), "state": {"step": 7, "seconds": 1.5}}, out / "run.pt")
    size, off = export(out / "run.pt", out / "model")
    assert size == (out / "model" / GRAPH).stat().st_size < 1 << 20
    assert off < 0.5, "the weights are in half precision"
    return out / "model"


def test_the_manifest_says_what_it_is(folder: Path) -> None:
    told = json.loads((folder / "manifest.json").read_text())
    assert told["training"]["step"] == 7 and "Copernicus" in told["attribution"]


def test_a_graph_that_was_changed_is_refused(folder: Path, tmp_path: Path) -> None:
    for path in folder.iterdir():
        (tmp_path / path.name).write_bytes(path.read_bytes())
    graph = bytearray((tmp_path / GRAPH).read_bytes())
    graph[-1] ^= 1
    (tmp_path / GRAPH).write_bytes(graph)
    with pytest.raises(ModelError, match="expected digest"):
        Restorer(tmp_path)
    with pytest.raises(ModelError, match="No such file"):
        Restorer(tmp_path / "none")


def test_sides_of_any_length_and_bands_in_any_order(folder: Path) -> None:
    restorer, rng = Restorer(folder), np.random.default_rng(5)
    counts = (1000 + rng.normal(0, 60, (12, 50, 63)).cumsum(2)).astype(np.float32)
    steps, learned = np.full_like(counts, 80), np.zeros((50, 63), np.float32)
    found = restorer.added(counts, steps, learned, BANDS)
    assert found.shape == counts.shape and 0.1 < np.abs(found).max() <= MOST * 80
    back = restorer.added(counts[::-1], steps, learned, BANDS[::-1])
    np.testing.assert_allclose(back[::-1], found, atol=1e-3)
    nine = restorer.added(counts[:9], steps[:9], learned, BANDS[:9])
    assert nine.shape == (9, 50, 63) and np.isfinite(nine).all()


def test_threads_do_not_matter(folder: Path) -> None:
    counts = np.random.default_rng(6).normal(1000, 60, (12, 96, 128)).astype(np.float32)
    given = counts, np.full_like(counts, 80), np.ones(counts.shape[1:], np.float32), BANDS
    np.testing.assert_array_equal(Restorer(folder).added(*given), Restorer(folder, 3).added(*given))
