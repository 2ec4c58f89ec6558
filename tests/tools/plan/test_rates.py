"""The learned codec's table: read as documented, refused when it contradicts itself, else warned of."""

from __future__ import annotations

import copy
import json
import shutil

import numpy as np
import pytest

from swathpack.export.digests import renew
from swathpack.tools.errors import UserError
from swathpack.tools.plan import rates
from swathpack.tools.plan.rate_table import CLASS_WEIGHTS
from swathpack.tools.plan.rates import DEFAULT_TABLE, load_rates, parse_rates, provisional


def test_provisional_is_said_to_be(monkeypatch: pytest.MonkeyPatch, tmp_path) -> None:
    monkeypatch.setattr(rates, "DEFAULT_TABLE", tmp_path / "none.json")
    table, warnings = load_rates(None, "agx-orin", "30W", mode="learned")
    assert not table.measured and len(warnings) == 1 and "PROVISIONAL" in warnings[0]
    assert table.services[0].name == "lossless" and table.services[0].table.measured


def test_a_measured_file_warns_of_nothing(tmp_path) -> None:
    document = {**provisional(), "measured": True, "source": "bench"}
    (tmp_path / "r.json").write_text(json.dumps(document))
    table, warnings = load_rates(tmp_path / "r.json", "agx-orin", "30W")
    assert table.measured and warnings == [] and table.source == "bench"


def test_bytes_and_classes() -> None:
    table = parse_rates(provisional(), "agx-orin", "30W")
    sizes = table.tile_bytes(256, 12)
    assert sizes[0] == 0 and sizes[-1] == np.ceil(0.5 * 256 * 256 * 12 / 8)
    # Three weighted classes have the table's mean.
    assert np.allclose(np.array(CLASS_WEIGHTS) @ table.psnr_db, table.mean_psnr_db)
    assert (table.class_bytes(256, 12) == sizes).all()
    assert np.allclose(table.distortion(), 1e8 / 10 ** (table.psnr_db / 10))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda d: d["points"].pop(3), "layers 0, 1, 2"),
        (lambda d: d["points"][0].update(bppb=0.1), "bppb from 0"),
        (lambda d: d["points"][5].update(bppb=0.0), "never falls"),
        (lambda d: d["points"][5].update(psnr_db_p10=90.0), "psnr_db_p10 <= psnr_db_mean"),
        (lambda d: d["points"][5].update(psnr_db_mean="x"), "expected a number"),
        (lambda d: d.pop("points"), "at least two points"),
        (lambda d: d["boards"].pop("agx-orin"), "no figures for 'agx-orin'"),
        (lambda d: d["boards"]["agx-orin"].pop("30W"), "no figures for agx-orin at '30W'"),
        (lambda d: d.update(schema="other"), "expected schema"),
    ],
)
def test_refuses(tmp_path, change, message: str) -> None:
    document = copy.deepcopy(provisional())
    change(document)
    (tmp_path / "r.json").write_text(json.dumps(document))
    with pytest.raises(UserError, match=message):
        load_rates(tmp_path / "r.json", "agx-orin", "30W")


def test_a_table_that_its_model_does_not_vouch_for_is_refused(tmp_path) -> None:
    folder = shutil.copytree(DEFAULT_TABLE.parent, tmp_path / "model", ignore=shutil.ignore_patterns("*.onnx", "*.npz"))
    table = folder / DEFAULT_TABLE.name
    table.write_text(table.read_text() + " ")
    with pytest.raises(UserError, match="rate_quality.json: expected digest"):
        load_rates(table, "agx-orin", "30W")
    renew(table)
    load_rates(table, "agx-orin", "30W")
