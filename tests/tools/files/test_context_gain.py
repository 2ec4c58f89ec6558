"""Earlier dates never make a file of a real series larger at a level, nor worse at a budget."""

from __future__ import annotations

from pathlib import Path

import pytest

from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.rasters import read_series
from tests.codec_models import shipped
from tests.tools.files.context_gain import (
    BUDGETS_BPPB,
    QUALITIES,
    at_budget,
    at_level,
    frames_of,
    series_of_dates,
)

SERIES = series_of_dates()
DATES = 5
GUESS = 0.002  # what the guess at a date may cost at equal error: the encoder looks at two of them, at one length


@pytest.mark.slow
@pytest.mark.parametrize("path", SERIES, ids=lambda p: p.stem)
@pytest.mark.parametrize("mode", ["learned", "auto"])
def test_dates_never_cost_more_than_they_save_at_a_level(path: Path, mode: str):
    frames = frames_of(path, DATES)
    if mode == "learned" and len(frames[0].bands) < 9:
        pytest.skip("the learned codec is not for so few bands")
    for q in QUALITIES:
        gain = at_level(path.stem, frames, mode, q)
        assert gain.equal <= 1 + GUESS and (mode == "auto" or gain.bytes <= 1), str(gain)


@pytest.mark.slow
@pytest.mark.skipif(not any("eolearn" in p.stem for p in SERIES), reason="needs the val series")
def test_a_small_budget_leaves_the_last_date_its_mean():
    """Dates before it, coded against each other, once left it nothing."""
    frames = next(read_series(p).frames for p in SERIES if "eolearn" in p.stem)
    data = SeriesEncoder(shipped(), frames).in_total(884)
    assert len(data) <= 884 and not StreamDecoder(shipped(), data).frames().problems


@pytest.mark.slow
@pytest.mark.parametrize("path", SERIES, ids=lambda p: p.stem)
def test_dates_never_make_a_budget_worse(path: Path):
    frames = frames_of(path, DATES)
    for bppb in BUDGETS_BPPB:
        gain = at_budget(path.stem, frames, "auto", bppb)
        assert gain is None or gain.rmse <= 1 + GUESS, str(gain)
