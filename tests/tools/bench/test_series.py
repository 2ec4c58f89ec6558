"""Series beside video codecs with a KLT of the very series."""

import numpy as np
import pytest

from swathpack.tools.bench.range_report import BandSet
from swathpack.tools.bench.series import CURVES, Dates, HalfKlt, bd_rates, bd_table, ours, series_of

RATES = (0.05, 0.1, 0.2)


def drawn(dates: int = 2, side: int = 64) -> Dates:
    rng = np.random.default_rng(3)
    shade = rng.normal(0, 40, (side, side)).cumsum(axis=0).cumsum(axis=1)
    shade = 1500 + 600 * (shade - shade.mean()) / shade.std()
    bands = [
        [shade * (1 + 0.2 * b) * (1 + 0.02 * t) + rng.normal(0, 15, shade.shape) for b in range(4)]
        for t in range(dates)
    ]
    data = np.clip(np.array(bands), 1, 9000).astype(np.uint16)
    valid = np.ones((dates, side, side), np.bool_)
    valid[1, :16, :16] = False
    return Dates("drawn", np.where(valid[:, None], data, 0).astype(np.uint16), valid, ("B02", "B03", "B04", "B08"))


def test_errors_are_those_of_valid_pixels():
    series = drawn()
    decoded = series.data + np.uint16(2)
    decoded[1, :, :16, :16] = 7000
    assert series.rmse(decoded) == pytest.approx(2.0)


def test_a_basis_in_half_precision_loses_nothing_on_the_way_back():
    series = drawn()
    assert isinstance(series.klt, HalfKlt)
    np.testing.assert_array_equal(series.klt.matrix, series.klt.matrix.astype(np.float16))
    assert np.abs(series.klt.inverse(series.klt.forward(series.filled)).astype(int) - series.filled).max() <= 1


def test_ours_fills_every_budget_that_holds_its_headers():
    found = ours(drawn(), (0.0001, *RATES), mode="transform")
    assert np.isnan(found[0])
    assert found[1] > found[2] > found[3] > 0


def test_video_codecs_gain_from_earlier_dates():
    pytest.importorskip("av")
    series = drawn(3, 128)
    for peer in ("x265 inter + KLT", "SVT-AV1 inter + KLT"):
        rates, errors = zip(*CURVES[peer](series))
        assert list(rates) == sorted(rates) and list(errors) == sorted(errors, reverse=True)
        assert errors[-1] < 20 < errors[0]


def found() -> BandSet:
    # The first peer needs twice the bytes: it has at 0.1 what ours has at 0.05.
    table = np.array([[[40.0, 20.0, 10.0], [80.0, 40.0, 20.0], [np.nan, np.nan, np.nan]]])
    return BandSet("drawn", ("one",), ("J", "K"), RATES, table)


def test_bd_rate_is_that_of_bytes_at_equal_error():
    rates = bd_rates(found())
    assert rates[0, 0] == pytest.approx(-50.0, abs=0.1) and np.isnan(rates[0, 1])
    assert "| one | -50.0 % |  |" in bd_table(found())


def test_series_have_two_dates_at_least_and_the_bands(tmp_path):
    (tmp_path / "catalog.json").write_text(
        '[{"file": "a.npz", "split": "val", "bands": ["B03", "B02"]}, {"file": "b.npz", "split": "val", "bands": ["B02"]}]'
    )
    data = np.arange(2 * 2 * 8 * 8, dtype=np.uint16).reshape(2, 2, 8, 8) + 1
    np.savez(tmp_path / "a.npz", data=data, bands=["B03", "B02"])
    np.savez(tmp_path / "b.npz", data=data[:1, :1], bands=["B02"])
    (series,) = series_of(tmp_path, ("B02", "B03"), "val", 4)
    np.testing.assert_array_equal(series.data, data[:, ::-1])
    assert [s.name for s in series_of(tmp_path, ("B02",), "val", 1)] == ["a", "b"]
