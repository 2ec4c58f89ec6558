"""What inspect says of a file is what decompress finds in it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

import swathpack
from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import main
from swathpack.tools.errors import DONE, PARTLY


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two tiles without the network, each cut where its bytes end."""
    path = tmp_path_factory.mktemp("inspect") / "a.swp"
    given = values(96, 400, 1, 5)[:, :4]
    swathpack.compress(given, bands=["B02", "B03", "B04", "B08"], bytes=3000, fast=True, output=path)
    return path


def said(capsys: pytest.CaptureFixture[str], *words: object) -> str:
    main([str(word) for word in words])
    return capsys.readouterr().out


def test_layers_are_those_that_decompress_reports(
    stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """It said 0-15 of every tile without the network, whatever was there."""
    main(["decompress", str(stream), "-o", str(tmp_path / "a.npz"), "--report", str(tmp_path / "r.json")])
    decoded = [t["layers"] for t in json.loads((tmp_path / "r.json").read_text())["frames"][0]["tiles"]]
    capsys.readouterr()
    tiles = json.loads(said(capsys, "inspect", stream, "--json"))["frames"][0]["tiles"]
    assert [t["layers_at_least"] for t in tiles] == decoded and min(decoded) > 0 and max(decoded) < 16
    text = said(capsys, "inspect", stream)
    assert all(f" {n}+ " in text for n in decoded) and "0-15" not in text


@pytest.mark.parametrize(("given", "expected"), [(None, "no nodata value"), (0, "nodata 0"), (77, "nodata 77")])
def test_nodata_is_said_where_the_file_says_it(
    tmp_path: Path, given: int | None, expected: str, capsys: pytest.CaptureFixture[str]
) -> None:
    rasterio = pytest.importorskip("rasterio")
    data = values(32, 32, 1, 5)[0, :1].astype(np.uint16)
    profile = {"driver": "GTiff", "count": 1, "width": 32, "height": 32, "dtype": "uint16", "nodata": given}
    with rasterio.open(tmp_path / "a.tif", "w", **profile) as file:
        file.write(data)
        file.set_band_description(1, "B02")
    more = {} if given is None else {"nodata": given}
    np.savez(tmp_path / "b.npz", data=data[None], bands=["B02"], **more)
    for name in ("a.tif", "b.npz"):
        assert main(["compress", str(tmp_path / name), "-o", str(tmp_path / f"{name}.swp"), "--quality", "24"]) == DONE
        capsys.readouterr()
        assert f"uint16, {expected};" in said(capsys, "inspect", tmp_path / f"{name}.swp")


def test_bytes_of_a_cut_file_are_named_for_what_they_are(
    stream: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """What was left of a cut tile was counted to what stands around tiles."""
    data = stream.read_bytes()
    whole = {r["kind"]: r for r in json.loads(said(capsys, "inspect", stream, "--json", "--bytes"))["bytes_by_kind"]}
    for cut in (len(data) // 2 + 40, len(data) - 5, len(data) - 700):
        (tmp_path / "cut.swp").write_bytes(data[:cut])
        assert main(["inspect", str(tmp_path / "cut.swp"), "--json", "--bytes"]) == PARTLY
        rows = {r["kind"]: r for r in json.loads(capsys.readouterr().out)["bytes_by_kind"]}
        assert sum(r["bytes"] for r in rows.values()) == cut and all(r["bytes"] > 0 for r in rows.values())
        assert rows["around segments"]["bytes"] <= whole["around segments"]["bytes"]
        assert set(rows) - set(whole) <= {"of cut or damaged tiles, not used"}
