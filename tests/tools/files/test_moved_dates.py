"""Files of a place that every date sees a part of a pixel elsewhere."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest

from swathpack.edge.frame import Frame
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from tests.codec_models import shipped
from tests.edge.codec.transform_coder.test_shift import ground

BANDS = ("B02", "B03", "B04", "B08")
PLACES = ((0, 0), (0.5, -0.375), (-0.25, 0.25), (0.375, 0.5))


def frames(moves: bool, bands: int = 1) -> list[Frame]:
    """Four dates of 61 x 43 pixels with noise of their own, of other brightness each."""
    rng = np.random.default_rng(8)
    found = []
    for number, place in enumerate(PLACES):
        seen = ground(*(place if moves else (0, 0)), side=64, bands=bands)[:, :61, :43] * (1 + 0.1 * number)
        counts = np.rint(seen + rng.normal(0, 20, seen.shape)).astype(np.uint16)
        found.append(Frame(counts, BANDS[-bands:], time=f"2024-06-{number + 1:02d}"))
    return found


def rmse(dates: list[Frame], size: int) -> float:
    stream = SeriesEncoder(shipped(), dates, mode="transform").in_total(size)
    assert len(stream) <= size
    drawn = StreamDecoder(shipped(), stream).frames().frames
    return float(np.sqrt(np.mean([(np.asarray(d.data, np.float64) - f.data) ** 2 for d, f in zip(drawn, dates)])))


@pytest.mark.parametrize(
    ("bands", "sizes"), [(1, (480, 1000)), (2, (2000,)), pytest.param(4, (1700, 4000), marks=pytest.mark.slow)]
)
def test_what_moves_costs_little_more_than_what_stays(
    bands: int, sizes: tuple[int, ...], monkeypatch: pytest.MonkeyPatch
):
    """At small budgets too, where most bytes go to the first date and what is left to the others tells little by itself."""
    moved, still = ([rmse(frames(moves, bands), size) for size in sizes] for moves in (True, False))
    assert all(m < 1.5 * s for m, s in zip(moved, still)), (moved, still)
    assert all(finer < coarser for coarser, finer in pairwise(moved))
    monkeypatch.setattr("swathpack.edge.codec.transform_coder.alignment.LEAST_BITS", 1e9)
    assert rmse(frames(True, bands), sizes[-1]) > 1.3 * moved[-1]
