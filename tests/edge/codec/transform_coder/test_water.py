"""Water masks: which bands make them, what lies by their edge, how far an image keeps them."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.transform_coder import agreement
from swathpack.edge.codec.transform_coder.water import edge_share, pair_of
from swathpack.tools.bench import metrics

NAMES = ("B02", "B03", "B08")
COUNTS = np.array([[9, 9, 9, 9], [105, 100, 0, 1000], [100, 105, 0, 60000]], np.uint16)


def test_the_edge_lies_within_a_twentieth_of_both_sides() -> None:
    assert edge_share(pair_of(NAMES, COUNTS)) == 0.5
    assert edge_share(pair_of(NAMES, np.array([[0], [111], [100]]))) == 0  # NDWI 0.052
    assert edge_share(pair_of(("green", "nir"), COUNTS[1:])) == 0.5
    assert pair_of(("B02", "B08"), COUNTS[1:]) is None and edge_share(None) == 0
    assert edge_share(pair_of(NAMES, COUNTS[:, :0])) == 0


def test_agreement_is_that_of_the_bench() -> None:
    rng = np.random.default_rng(5)
    counts = rng.integers(500, 1500, (3, 40, 40)).astype(np.uint16)
    image = (counts + rng.integers(-90, 90, counts.shape)).astype(np.uint16)
    bench = metrics.index_errors(counts[[0, 1, 0, 2]], image[[0, 1, 0, 2]], ("B02", "B03", "B04", "B08"))
    assert 0.5 < agreement(NAMES, counts, image) < 1
    assert agreement(NAMES, counts, image) == pytest.approx(bench["water_agreement"])
    assert agreement(("B02", "B03", "B04"), counts, image) == 1 and agreement(NAMES, counts[:, :0], image[:, :0]) == 1
