"""Rates of all modes and band sets: as measured, monotone, between two sets where none was measured, refused when wrong."""

from __future__ import annotations

import copy
import json
import math
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.bands import BANDS
from swathpack.tools.errors import UserError
from swathpack.tools.plan.rate_modes import SERVICE_ERRORS, parse_modes, read_sets, set_for
from swathpack.tools.plan.rate_table import CLASS_WEIGHTS, RateTable, rmse_dn
from swathpack.tools.plan.rates import MEASURED_TABLE, load_rates

DOCUMENT = json.loads(MEASURED_TABLE.read_text())
ALL = (*BANDS[:10], "B10", *BANDS[10:])
BOARD = ("agx-orin", "30W")


def load(bands=BANDS, mode: str = "auto", max_error: int = 0) -> RateTable:
    return load_rates(None, *BOARD, bands, mode, max_error)[0]


def test_what_ships_is_measured_and_says_how() -> None:
    assert DOCUMENT["measured"] and "rate_tables" in DOCUMENT["command"] and DOCUMENT["model_digest"]
    assert {len(s["bands"]) for s in DOCUMENT["sets"]} == {1, 2, 3, 4, 5, 6, 7, 8, 10, 12, 13}
    assert all(s["scenes"] >= 4 for s in DOCUMENT["sets"])


@pytest.mark.parametrize("mode", ["auto", "transform"])
@pytest.mark.parametrize("count", range(1, 14))
def test_every_number_of_bands_has_monotone_rates(count: int, mode: str) -> None:
    """Of every class: more layers take more and are better; hard tiles are worse than easy ones."""
    table = load(ALL[:count], mode)
    assert len(table.names) == 17
    for costs in (table.class_bytes(256, count), table.tile_bytes(256, count)[None]):
        assert (costs[:, 0] == 0).all() and (np.diff(costs, axis=1) >= 0).all() and (costs[:, 1] > 0).all()
    assert (np.diff(table.psnr_db, axis=1) >= 0).all() and (np.diff(table.psnr_db, axis=0) >= 0).all()
    assert rmse_dn(table.mean_psnr_db[-1]) < 4 or mode == "auto"


@pytest.mark.parametrize("count", range(1, 14))
def test_a_larger_error_takes_fewer_bytes(count: int) -> None:
    sizes = [load(ALL[:count], "predictive", error).class_bytes(256, count)[:, -1] for error in range(51)]
    assert (np.diff(sizes, axis=0) <= 0).all() and (sizes[0] > sizes[50]).all()
    assert (np.diff(sizes, axis=1) <= 0).all(), "hard tiles take no less than easy ones"
    errors = [rmse_dn(load(ALL[:count], "predictive", error).mean_psnr_db[-1]) for error in range(51)]
    assert errors[0] == 0 and (np.diff(errors) > 0).all()
    assert all(rmse <= error for error, rmse in enumerate(errors)), "the mean error cannot be above the greatest"


def test_measured_errors_are_given_as_measured() -> None:
    rows = next(s for s in DOCUMENT["sets"] if len(s["bands"]) == 4)["predictive"]
    for error, mean, p10, _, p90, *_ in rows["rows"]:
        table = load(("B02", "B03", "B04", "B08"), "predictive", error)
        assert table.measured and table.mean_bppb[-1] == mean
        assert table.bppb[0, -1] == p90 and table.bppb[2, -1] == p10
    assert not load(mode="predictive", max_error=3).measured


@pytest.mark.parametrize("count", range(1, 14))
def test_services_hold_what_they_promise(count: int) -> None:
    table = load(ALL[:count])
    names = [service.name for service in table.services]
    assert names[0] == "lossless" and "within 20 DN" in names and "RMSE at most 20 DN" in names
    assert [s.max_error for s in table.services if s.max_error is not None] == list(SERVICE_ERRORS)
    for service in table.services:
        assert service.table.psnr_db.shape == (3, 2) and service.table.class_bytes(256, count)[:, 1].min() > 0
        if service.rmse is not None:
            assert (rmse_dn(service.table.psnr_db[:, 1]) <= service.rmse).all()
    for kind in ("max_error", "rmse"):
        of = [s.table.tile_bytes(256, count)[-1] for s in table.services if getattr(s, kind) is not None]
        assert of == sorted(of, reverse=True)


def test_classes_have_the_measured_mean() -> None:
    for table in (load(mode="transform"), load(mode="predictive", max_error=5)):
        weights = np.array(CLASS_WEIGHTS)
        assert np.allclose(weights @ table.bppb, table.mean_bppb, rtol=0.03)
        assert np.allclose((weights @ table.psnr_db)[:-1], table.mean_psnr_db[:-1], atol=0.2)


def test_bands_pick_the_set_or_lie_between_two() -> None:
    sets = read_sets(DOCUMENT)
    four = ("B02", "B03", "B04", "B08")
    assert set_for(sets, four)[0].bands == four and set_for(sets, four)[1] == []
    other, notes = set_for(sets, ("B02", "B03", "B04", "B8A"))
    assert other.bands == four and "those of B02, B03, B04, B08" in notes[0]
    nine, notes = set_for(sets, BANDS[:9])
    eight, ten = (set_for(sets, BANDS[:n])[0] for n in (8, 10))
    assert "interpolated between those of 8 and 10" in notes[0]
    for mine, a, b in zip(nine.transform.bppb[0], eight.transform.bppb[0], ten.transform.bppb[0]):
        assert mine == pytest.approx((a + b) / 2)
    assert math.isinf(nine.predictive.psnr_db[0, 0])


def test_what_interpolation_is_off_by() -> None:
    """Ten bands from eight and twelve, against what was measured: the reason why other numbers are not refused."""
    sets = [s for s in read_sets(DOCUMENT) if len(s.bands) != 10]
    guessed, real = set_for(sets, BANDS[:10])[0], set_for(read_sets(DOCUMENT), BANDS[:10])[0]
    bits = guessed.predictive.bppb[0] / real.predictive.bppb[0]
    decibels = guessed.transform.psnr_db[0] - real.transform.psnr_db[0]
    print(f"bits {bits.min():.3f} to {bits.max():.3f}, PSNR {decibels.min():+.2f} to {decibels.max():+.2f} dB")
    assert (np.abs(bits - 1) < 0.15).all() and (np.abs(decibels[1:-1]) < 2.5).all()


def drop(document, key):
    for row in document["sets"]:
        row.pop(key)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d.pop("sets"), "at least one set"),
        (lambda d: d["sets"][0].pop("bands"), "set 0: expected a table with bands"),
        (lambda d: drop(d, "predictive"), "set 0, predictive: expected head_bytes"),
        (lambda d: d["sets"][3]["transform"]["rows"][4].pop(), "set 3, transform: expected head_bytes"),
        (lambda d: d["sets"][3]["transform"]["rows"][4].__setitem__(1, 9.0), "never fall"),
        (lambda d: d["sets"][3]["transform"]["rows"][4].__setitem__(2, 1.0), "never fall"),
        (lambda d: d["sets"][3]["transform"]["rows"][4].__setitem__(3, 99.0), "P10 of psnr_db at most"),
        (lambda d: d["sets"][3]["predictive"]["rows"][2].__setitem__(1, 20.0), "never rise"),
        (lambda d: d["sets"][3]["predictive"]["rows"][2].__setitem__(1, "x"), "expected head_bytes"),
        (lambda d: d["sets"][3]["predictive"]["rows"].pop(0), "rows from 0 on"),
        (lambda d: d["boards"].pop("agx-orin"), "no figures for 'agx-orin'"),
        (lambda d: d.update(sets=d["sets"][1:4]), "no rates for 12 bands"),
        (lambda d: d.update(schema="other"), "expected schema"),
    ],
)
def test_refuses(tmp_path: Path, change, message: str) -> None:
    document = copy.deepcopy(DOCUMENT)
    change(document)
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=message):
        load_rates(tmp_path / "r.json", *BOARD)


def test_unmeasured_figures_are_said_to_be(tmp_path: Path) -> None:
    (tmp_path / "r.json").write_text(json.dumps({**DOCUMENT, "measured": False}))
    table, warnings = load_rates(tmp_path / "r.json", *BOARD)
    assert not table.measured and "not measured" in warnings[0]


def test_a_table_of_another_form_than_the_mode_needs_is_refused(tmp_path: Path) -> None:
    from swathpack.tools.plan.rates import DEFAULT_TABLE

    (tmp_path / "old.json").write_bytes(DEFAULT_TABLE.read_bytes())
    (tmp_path / "new.json").write_text(json.dumps(DOCUMENT))
    assert load_rates(tmp_path / "old.json", *BOARD)[0].mode == "learned"
    assert load_rates(tmp_path / "new.json", *BOARD, mode="predictive")[0].mode == "predictive"
    for name, mode in (("old", "transform"), ("old", "predictive"), ("new", "learned")):
        with pytest.raises(UserError, match="schema"):
            load_rates(tmp_path / f"{name}.json", *BOARD, mode=mode)


def test_errors_beyond_what_was_measured_are_refused() -> None:
    with pytest.raises(UserError, match="no figures beyond 50 DN, found 51"):
        parse_modes(DOCUMENT, BANDS, "predictive", 51, *BOARD)
