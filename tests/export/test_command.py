"""Export from a model folder: proof, checks, manifest; spoiled layers, graphs and folders are refused by name."""

from __future__ import annotations

import argparse
import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest

pytest.importorskip("torch")
onnx = pytest.importorskip("onnx")

from swathpack.edge.codec.engines import GRAPH  # noqa: E402
from swathpack.edge.codec.model import DEFAULT_DIRECTORY, EdgeModel  # noqa: E402
from swathpack.export import golden  # noqa: E402
from swathpack.export.build import ExportError, Source, build, finer, verify  # noqa: E402
from swathpack.export.checks import CheckError, check_entropy_graph, check_integers  # noqa: E402
from swathpack.export.entropy_graph import entropy_graph  # noqa: E402
from swathpack.export.golden import golden_inputs  # noqa: E402
from swathpack.tools.commands import export as export_model  # noqa: E402
from swathpack.tools.errors import UserError  # noqa: E402
from tests.codec_models import random_parameters  # noqa: E402


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """models/edge exported again, with the smallest golden cases only."""
    patch = pytest.MonkeyPatch()
    keep = ("real_4x4", "extreme_4x4")
    patch.setattr(golden, "golden_inputs", lambda p: {k: v for k, v in golden_inputs(p).items() if k in keep})
    out = tmp_path_factory.mktemp("export") / "edge"
    report = build(Source(DEFAULT_DIRECTORY), out)
    patch.undo()
    assert report.engines["float32"] == report.engines["onnxruntime:basic"] == ""
    assert {"embed", "blocks.3.attention.out", "residual"} <= {b.layer for b in report.bounds}
    return out


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    export_model.add_arguments(parser)
    return export_model.run(parser.parse_args(words))


def test_exported_model_is_the_same_codec(built: Path) -> None:
    first, second = EdgeModel(engine="float32"), EdgeModel(built, engine="float32")
    assert first.digest == second.digest and first.tables_digest == second.tables_digest
    assert (built / "entropy.npz").read_bytes() == (DEFAULT_DIRECTORY / "entropy.npz").read_bytes()


def test_manifest_names_all_that_belongs_together(built: Path) -> None:
    manifest = json.loads((built / "manifest.json").read_text())
    assert set(manifest["files"]) == {p.name for p in built.iterdir()} - {"manifest.json"}
    assert manifest["graphs"][GRAPH]["inputs"]["own"] == ["int8", "batch", 1024, "rows", "columns"]
    assert manifest["bounds"]["embed"]["worst"] < manifest["integer"]["limit"] == 1 << 22


def test_command_prints_the_proof(built: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    assert command("--verify", str(built), "--json", str(tmp_path / "report.json")) == 0
    printed = capsys.readouterr().out
    assert "to spare" in printed and "engine onnxruntime:basic: passes the golden vectors" in printed
    assert "no rounding can meet a tie" in printed and f"passed: {built}" in printed
    assert json.loads((tmp_path / "report.json").read_text())["bounds"]["embed"]["margin_bits"] > 0


@pytest.mark.parametrize(
    ("spoiled", "reason"),
    [
        ("embed=3", r"refused: embed: worst-case sum \d+ is not below 2\^22"),
        ("blocks.2.attention.out=1", r"refused: blocks.2.attention.out: expected int8 weights"),
        ("blocks.9.attention.out=1", "no layer blocks.9.attention.out; there are"),
        ("embed", "expected LAYER=STEPS"),
    ],
)
def test_a_scale_too_fine_is_refused_by_name(tmp_path: Path, spoiled: str, reason: str) -> None:
    with pytest.raises(UserError, match=reason):
        command("--out", str(tmp_path / "out"), "--finer", spoiled)
    assert not (tmp_path / "out").exists() and not list(tmp_path.iterdir())


def test_finer_scales_mean_the_same_numbers() -> None:
    spoiled = finer(random_parameters(), "head", 2)
    for kind in ("weight", "bias"):
        before = random_parameters()[f"head.{kind}"] * 2.0 ** -random_parameters()["head.exponent"][
            (slice(None), None) if kind == "weight" else ...
        ].astype(float)
        after = spoiled[f"head.{kind}"] * 2.0 ** -spoiled["head.exponent"][
            (slice(None), None) if kind == "weight" else ...
        ].astype(float)
        np.testing.assert_array_equal(before, after)
    with pytest.raises(CheckError, match="head: expected int8"):
        check_integers(spoiled)


@pytest.mark.parametrize("name", ["entropy.npz", "analysis.onnx", "golden.npz", "gains.npz"])
def test_a_file_of_another_model_is_refused(built: Path, tmp_path: Path, name: str) -> None:
    shutil.copytree(built, tmp_path / "mixed")
    data = bytearray((tmp_path / "mixed" / name).read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "mixed" / name).write_bytes(data)
    with pytest.raises(ExportError, match=f"{name}: expected digest"):
        verify(tmp_path / "mixed")


@pytest.mark.parametrize("content", [None, "[]", "{"])
def test_a_folder_without_manifest_is_refused(tmp_path: Path, content: str | None) -> None:
    if content is not None:
        (tmp_path / "manifest.json").write_text(content)
    with pytest.raises(UserError, match=r"manifest.json"):
        command("--verify", str(tmp_path))


def test_checkpoints_come_in_pairs(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="both --transform and --entropy"):
        command("--out", str(tmp_path / "out"), "--transform", "t.pt")
    with pytest.raises(UserError, match="no such file: t.pt"):
        command("--out", str(tmp_path / "out"), "--transform", "t.pt", "--entropy", "e.pt")
    (tmp_path / "t.pt").write_bytes(b"not a checkpoint")
    with pytest.raises(UserError, match="t.pt: not a checkpoint of this codec"):
        command(
            "--out", str(tmp_path / "o"), "--transform", str(tmp_path / "t.pt"), "--entropy", str(tmp_path / "t.pt")
        )


# --- graphs


@pytest.fixture
def graph() -> Any:
    return entropy_graph(random_parameters())


def _change(graph: Any, name: str, change: Any) -> None:
    for constant in graph.graph.initializer:
        if constant.name == name:
            array = onnx.numpy_helper.to_array(constant).copy()
            constant.CopyFrom(onnx.numpy_helper.from_array(change(array), name))
            return
    raise AssertionError(f"no constant {name}")


def test_a_fresh_graph_passes(graph: Any) -> None:
    found = check_entropy_graph(graph)
    assert found["layers"] >= 30 and found["biases"] >= 30 and found["quantisers"] > 100


@pytest.mark.parametrize(
    ("constant", "change", "reason"),
    [
        ("head.bias", lambda b: np.nextafter(b, b.dtype.type(np.inf)), "head: expected every bias to end in 1/4"),
        ("blocks.0.attention.out.bias", np.rint, "blocks.0.attention.out: expected every bias to end in 1/4"),
        ("blocks.1.attention.own.scale", lambda s: s * s.dtype.type(1.01), "expected power-of-two scales"),
        ("zero_point", lambda z: z + z.dtype.type(1), "expected the int8 zero point 0"),
    ],
)
def test_what_would_bring_ties_back_is_found(graph: Any, constant: str, change: Any, reason: str) -> None:
    _change(graph, constant, change)
    with pytest.raises(CheckError, match=reason):
        check_entropy_graph(graph)


def test_inexact_operations_and_newer_opsets_are_found(graph: Any) -> None:
    node = next(n for n in graph.graph.node if n.op_type == "Relu")
    node.op_type = "Sigmoid"
    with pytest.raises(CheckError, match="expected none but exact operations, found Sigmoid"):
        check_entropy_graph(graph)
    node.op_type = "Relu"
    graph.opset_import[0].version = 18
    with pytest.raises(CheckError, match="expected opset 17"):
        check_entropy_graph(graph)
