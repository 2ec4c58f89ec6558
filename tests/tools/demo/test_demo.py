"""The demo from synthetic frames to the page: real streams, a real second process, no network."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.tools.demo import __main__ as demo
from swathpack.tools.demo import data as demo_data
from swathpack.tools.demo import views as demo_views
from swathpack.tools.demo.data import DemoSeries
from swathpack.tools.errors import UserError
from swathpack.tools.files.synthetic_scene import synthetic_series
from swathpack.tools.pages.pictures import TRUE_COLOUR, Stretch, png

PASS_BYTES = 4000


@pytest.fixture(scope="module")
def source() -> DemoSeries:
    series, cloud = synthetic_series(2, 64, cloudy=0.0)
    return DemoSeries("synthetic", series, demo_data.CREDITS["synthetic"], False, cloud)


@pytest.fixture(scope="module")
def outcome(source: DemoSeries, tmp_path_factory: pytest.TempPathFactory) -> demo.Outcome:
    (case,) = demo.cases_of([source], PASS_BYTES)
    return demo.play(case, tmp_path_factory.mktemp("demo"))


def test_pass_is_kept_and_used(outcome: demo.Outcome) -> None:
    assert 0.6 * PASS_BYTES < outcome.size <= PASS_BYTES


def test_ground_gets_images_of_the_frames(outcome: demo.Outcome) -> None:
    assert [d.data.shape for d in outcome.decoded] == [f.data.shape for f in outcome.case.frames]
    grey = [np.full_like(f.data, f.data.mean()) for f in outcome.case.frames]
    for frame, flat, value in zip(outcome.case.frames, grey, outcome.quality):
        error = np.mean((frame.data.astype(float) - flat) ** 2)
        assert value > 10 * np.log10(1e8 / error) + 3


def test_stream_holds_all_frames(outcome: demo.Outcome) -> None:
    assert read_stream(outcome.stream.read_bytes()).header.frames == len(outcome.case.frames)


def test_description_names_budget_quality_and_credit(outcome: demo.Outcome) -> None:
    text = demo.describe(outcome)
    assert f"{outcome.size:,} of {PASS_BYTES:,} bytes" in text
    assert f"{outcome.quality[0]:.2f} dB" in text
    assert outcome.case.credit in text


@pytest.mark.long
def test_page_is_self_contained(outcome: demo.Outcome, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(demo_views, "LAYER_COUNTS", (1, 16))
    monkeypatch.setattr(demo_views, "BUDGETS_BPPB", (0.3,))
    monkeypatch.setattr(demo_views, "CURVE_STEPS", (40, 24))
    page = demo_views.page([outcome], PASS_BYTES)
    sources = re.findall(r'src="([^"]{0,40})', page)
    assert len(sources) >= 6
    assert all(s.startswith("data:image/png;base64,") for s in sources)
    assert "http" not in re.sub(r"base64,[^\"]*", "", page), "links; four letters of a picture do not count"


def test_damaged_stream_is_an_error_of_the_demo(tmp_path: Path) -> None:
    stream = tmp_path / "x.swp"
    stream.write_bytes(b"not a stream")
    with pytest.raises(UserError, match="decompress"):
        demo.ground_side(stream, tmp_path)


def test_pass_is_shared_out_in_full(source: DemoSeries) -> None:
    one = DemoSeries("one", type(source.series)(source.series.frames[:1]), "", True, [0.0])
    cases = demo.cases_of([source, one], 10_000)
    assert [c.budget for c in cases] == [2000, 8000]


def test_clearest_window_avoids_cloud() -> None:
    data = np.full((12, 128, 128), 500, np.uint16)
    data[:, :, :64] = 8000
    assert demo_views.clearest(Frame(data), 64).data.max() == 500


def test_png_reads_back(source: DemoSeries, tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    frame = source.series.frames[0]
    picture = Stretch.of(frame, TRUE_COLOUR).picture(frame)
    path = tmp_path / "picture.png"
    path.write_bytes(png(picture))
    assert np.array_equal(np.asarray(image.open(path)), picture)
