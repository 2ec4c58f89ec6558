"""Halves of the cross-coding check: what one codes the other finds again, and a difference is seen."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.rangecoder import backend
from swathpack.edge.stream import lone_binding
from swathpack.edge.stream.segment import unpack_front
from swathpack.hil_tests.campaigns import cross_worker
from swathpack.hil_tests.campaigns.cross_coding import synthetic_tiles

pytestmark = pytest.mark.skipif(backend() != "native", reason="the C library is not built")


@pytest.fixture(scope="module")
def model() -> EdgeModel:
    return EdgeModel(engine="float32")


@pytest.fixture(scope="module")
def tiles() -> Any:
    return synthetic_tiles(3, 2)[..., :32, :32]


@pytest.fixture
def coded(model: EdgeModel, tiles: Any, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    monkeypatch.setattr(cross_worker, "codecs_here", lambda: ("transform", "exact"))
    return cross_worker.encode(model, tiles)


def test_tiles_without_the_network_come_back(model: EdgeModel, coded: dict[str, Any]) -> None:
    decoded = cross_worker.decode(model, coded)
    for codec in ("transform", "exact"):
        assert np.array_equal(decoded[f"{codec}.digests"], coded[f"{codec}.digests"])
        assert len(np.unique(coded[f"{codec}.digests"].reshape(-1, 32), axis=0)) == 6
    binding, lengths = lone_binding(model.digest, model.tables_digest), coded["transform.lengths"].ravel()
    records = np.split(coded["transform.segments"], np.cumsum(lengths)[:-1])
    dated = [bool(unpack_front(record.tobytes(), 0, binding)[0].contexts) for record in records]
    assert any(dated) and not any(dated[::2]), "first dates stand alone, and a date pays for some"


@pytest.mark.parametrize("part", ["decode_lone", "decode_exact"])
def test_other_counts_are_seen(
    part: str, model: EdgeModel, coded: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    right = getattr(cross_worker, part)

    def one_off(*given: Any) -> Any:
        found = right(*given)
        (found[1] if part == "decode_lone" else found).counts[0, 0, 0] += 1
        return found

    monkeypatch.setattr(cross_worker, part, one_off)
    decoded, codec = cross_worker.decode(model, coded), "transform" if part == "decode_lone" else "exact"
    for name in ("transform", "exact"):
        same = (decoded[f"{name}.digests"] == coded[f"{name}.digests"]).all(-1)
        assert same.any() == (name != codec)


def test_another_date_is_refused(model: EdgeModel, tiles: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(cross_worker, "codecs_here", lambda: ("transform",))
    coded = cross_worker.encode(model, tiles)
    monkeypatch.setattr(cross_worker, "CONFIRMED", 7)
    with pytest.raises(SystemExit, match="the date that it was coded against is another one here"):
        cross_worker.decode(model, coded)
