"""Curves of peers over all rates, and what is said of them."""

import numpy as np
import pytest

from swathpack.tools.bench.range_peers import Scene, at_rates, envelope, jpeg2000, rmse
from swathpack.tools.bench.range_report import BandSet, chart, markdown

NAN = float("nan")


def scene(bands: int = 3) -> Scene:
    rng = np.random.default_rng(5)
    shade = rng.normal(0, 40, (64, 64)).cumsum(axis=0).cumsum(axis=1)
    shade = 1500 + 900 * (shade - shade.mean()) / shade.std()
    data = np.stack([shade * (1 + 0.2 * band) + rng.normal(0, 15, shade.shape) for band in range(bands)])
    return Scene("drawn", np.clip(data, 1, 9000).astype(np.uint16), np.ones((64, 64), np.bool_), None)


def test_errors_of_unsigned_images_do_not_wrap():
    one = scene()
    assert rmse(one, one.data + np.uint16(3)) == pytest.approx(3.0)
    assert rmse(one, one.data - np.uint16(1)) == pytest.approx(1.0)
    assert rmse(one, one.data - 4.0) == pytest.approx(4.0)


def test_invalid_pixels_do_not_count():
    one = scene()
    one.valid[:8] = False
    decoded = one.data.copy()
    decoded[:, :8] = 0
    assert rmse(one, decoded) == 0


@pytest.mark.parametrize("bands", [1, 3])
def test_jpeg2000_follows_the_scene(bands):
    pytest.importorskip("imagecodecs")
    points = jpeg2000(scene(bands), klt=True)
    coarse, fine = at_rates(points, (0.8, 3.0))
    assert fine < coarse < scene(bands).data.std() / 3


def test_rounding_a_klt_holds_jpeg2000_back_nowhere():
    """Of a dark image of 8 bits: in whole counts the planes alone were off by more than that, and the ladder ended at 0.3 bits."""
    pytest.importorskip("imagecodecs")
    dark = scene()
    points = jpeg2000(Scene("dark", dark.data // 100, dark.valid, None), klt=True)
    assert points[-1][0] > 3.0 and points[-1][1] < 0.25


def test_a_curve_is_the_lower_envelope():
    assert envelope([(2.0, 5.0), (1.0, 6.0), (1.5, 7.0), (3.0, 5.0)]) == [(1.0, 6.0), (2.0, 5.0)]


def found() -> BandSet:
    # ours, a peer, a second one that does not reach the first rate
    table = np.array([[[10.0, 5.0], [20.0, 5.0], [NAN, 4.0]], [[10.0, 5.0], [5.0, 5.0], [NAN, 10.0]]])
    return BandSet("two bands", ("one", "other"), ("J", "K"), (0.1, 1.0), table)


def test_a_table_of_one_scene_has_no_worst():
    one = found()
    text = markdown(BandSet("a file", ("one",), one.peers, one.rates, one.table[:1]), each=False)
    assert "| 1 scene, bppb | 0.1 | 1 |" in text and "| over J | 0.50 | 1.00 |" in text


def test_tables_have_means_in_the_logarithms_and_the_worst_scene():
    text = markdown(found(), each=True)
    assert "| ours, RMSE in DN | 10.0 | 5.0 |" in text
    assert "| over J | 1.00 (2.00) | 1.00 (1.00) |" in text
    assert "| over K |  | 0.79 (1.25) |" in text
    assert "| over the best there | 1.00 (2.00) | 1.12 (1.25) |" in text
    assert "| one | 10.0 / 20.0 / - | 5.0 / 5.0 / 4.0 |" in text


def test_a_chart_is_a_picture(tmp_path):
    pytest.importorskip("matplotlib")
    chart(found(), tmp_path / "set.png")
    assert (tmp_path / "set.png").read_bytes().startswith(b"\x89PNG")


def test_a_chart_shows_every_scene_and_every_rate(tmp_path):
    """Ours far worse, far better, exact; one rate alone; no peer at any rate."""
    plt = pytest.importorskip("matplotlib.pyplot")
    table = np.array([[[30.0, 0.0], [10.0, 5.0]], [[1.0, NAN], [9.0, NAN]], [[1.0, 2.0], [NAN, NAN]]])
    for scenes in (slice(0, 3), slice(1, 2), slice(2, 3)):
        names = ("far", "near", "none")[scenes]
        made, close = [], plt.close
        plt.close = made.append
        try:
            chart(BandSet("two bands", names, ("J",), (0.1, 1.0), table[scenes]), tmp_path / "set.png")
        finally:
            plt.close = close
        (axis,) = made[0].axes
        close(made[0])
        left, right, low, high = *axis.get_xlim(), *axis.get_ylim()
        assert left < 0.1 < 1.0 < right
        drawn = [xy for line in axis.lines[:-1] for xy in line.get_xydata() if not np.isnan(xy).any()]
        assert all(left < x < right and low < y < high for x, y in drawn)
        assert len(drawn) == {"far": 2 + 3, "near": 1 + 1, "none": 0}[names[0]]
        assert axis.lines[0].get_marker() == "o", "a single rate is seen"
