"""What a request knows of its work before it begins: as much of the learned codec as will really be tried."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.edge.frame import Frame
from swathpack.tools.files import request as requests
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.rasters import Series
from swathpack.tools.files.request import Request
from swathpack.tools.files.workers import LEARNED_WORK
from tests.codec_models import shipped


class _SeenError(Exception):
    """The frame coders of a run are known; nothing was coded."""


def _really_tried(request: Request, series: Series, monkeypatch: pytest.MonkeyPatch) -> bool:
    """Whether the encoder's own frame coders try the learned codec."""
    made, seen = SeriesEncoder._coders, list[bool]()

    def watched(self: SeriesEncoder, *given: Any, **more: Any) -> Any:
        seen.append(made(self, *given, **more).take(0)._tries_learned)
        raise _SeenError

    with monkeypatch.context() as patch:
        patch.setattr(SeriesEncoder, "_coders", watched)
        patch.setattr(requests, "may_be_exact", lambda *_: False)  # as of frames that are not flat
        with pytest.raises(_SeenError):
            request.run(request.encoder(shipped(), series))
    return seen[0]


@pytest.mark.parametrize(
    "given",
    [
        *({"bytes_per_frame": n} for n in (2_000, 20_000, 90_000, 200_000)),
        *({"bytes": n} for n in (4_000, 60_000, 400_000)),
        *({"quality": q} for q in (-20.0, 10.0, 23.0, 40.0)),
        {},
    ],
    ids=str,
)
@pytest.mark.parametrize("weights", ["auto", "equal"])
def test_work_counts_the_learned_codec_where_it_is_tried(
    monkeypatch: pytest.MonkeyPatch, given: dict[str, Any], weights: str
) -> None:
    counts = np.full((12, 300, 420), 1000, np.uint16)
    series = Series([Frame(counts, BANDS)] * 2)
    request = Request(**given, weights=weights, tile=256)
    tried = _really_tried(request, series, monkeypatch)
    assert request.work(series) == 2 * 4 * (LEARNED_WORK if tried else 1)


def test_both_answers_are_among_them() -> None:
    series = Series([Frame(np.full((12, 300, 420), 1000, np.uint16), BANDS)])
    works = [Request(bytes=n, weights=w, tile=256).work(series) for n in (4_000, 400_000) for w in ("auto", "equal")]
    assert works == [16, 16, 4, 4]
