"""Reading layer information. The samples are written by hand in the inspector's format (field names, kernel names and
number types as TensorRT 10 spells them); they are not from a board.
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import pytest

from swathpack.edge.codec.engines.inspector import LayersError, judge, read_layers
from swathpack.tools.commands import engines as engines_command
from swathpack.tools.errors import UserError

SAMPLES = Path(__file__).parent / "samples"


def sample(name: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((SAMPLES / f"{name}.json").read_text())
    return found


def verdict_of(content: dict[str, Any]) -> Any:
    return judge(read_layers(json.dumps(content)))


def command(*words: str) -> int:
    parser = argparse.ArgumentParser()
    engines_command.add_arguments(parser)
    return engines_command.run(parser.parse_args(words))


def test_a_fused_engine_is_good() -> None:
    verdict = verdict_of(sample("good"))
    assert verdict.good and len(verdict.int8) == 4 and not verdict.floats
    assert verdict.reformats == ("__myl_Move_myl0_0", "__myl_TranResh_myl0_4")


def test_a_float_product_between_int8_ones_is_an_island() -> None:
    verdict = verdict_of(sample("island"))
    assert verdict.islands == ("matmul_186/node_myl0_5",) and not verdict.good


def test_float_products_at_the_ends_are_no_islands() -> None:
    content = sample("good")
    content["Layers"][-1]["TacticName"] = "sm80_xmma_gemm_f32f32_f32f32_f32_tn_n"
    for tensor in content["Layers"][-1]["Inputs"]:
        tensor["Format/Datatype"] = "Float"
    verdict = verdict_of(content)
    assert verdict.floats == ("matmul_497/node_myl0_6",) and not verdict.islands and verdict.good


def test_three_reformats_in_a_row_are_a_chain_and_two_are_not() -> None:
    content = sample("chain")
    (chain,) = verdict_of(content).chains
    assert [name.split()[-3] for name in chain] == ["0", "1", "2"]
    del content["Layers"][1]
    content["Layers"][1]["Inputs"][0]["Name"] = "f1"
    assert not verdict_of(content).chains


def test_a_float_graph_has_no_int8_kernel(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    text = (SAMPLES / "chain.json").read_text().replace("i8i8_i8i32_f32", "f32f32_tf32f32_f32")
    for form in ("Row major Int8 format", "Four wide channel vectorized row major Int8 format"):
        text = text.replace(form, "Row major linear FP32")
    text = text.replace("Thirty-two wide channel vectorized row major Int8 format", "Row major linear FP32")
    (tmp_path / "float.json").write_text(text)
    assert command("inspect", str(tmp_path / "float.json")) == 1
    assert "verdict: bad, no int8 kernel" in capsys.readouterr().out


def test_a_block_that_shows_nothing_is_not_called_good(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    content = sample("good")
    content["Layers"].append(
        {"Name": "{ForeignNode[conv_1...matmul_9]}", "LayerType": "Myelin", "Inputs": [], "Outputs": []}
    )
    (tmp_path / "opaque.json").write_text(json.dumps(content))
    assert command("inspect", str(tmp_path / "opaque.json")) == 1
    assert "verdict: unknown" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("{", "expected JSON"),
        ("[]", 'a list "Layers"'),
        ('{"Layers": []}', 'a list "Layers"'),
        ('{"Layers": ["conv_1", "conv_2"]}', "DETAILED"),
        ('{"Layers": [{"LayerType": "gemm"}]}', 'with a "Name"'),
        (
            '{"Layers": [{"Name": "a", "Inputs": [{"Format/Datatype": "N/A due to dynamic shapes"}]}]}',
            "set the context's",
        ),
        ('{"Layers": [{"Name": "a", "Inputs": 7, "Outputs": "x"}, 3]}', 'with a "Name"'),
    ],
)
def test_what_is_not_layer_information_is_refused(tmp_path: Path, text: str, reason: str) -> None:
    with pytest.raises(LayersError, match=reason):
        read_layers(text)
    (tmp_path / "x.json").write_text(text)
    with pytest.raises(UserError, match=reason):
        command("inspect", str(tmp_path / "x.json"))


def test_command_prints_kernels_and_verdict(capsys: pytest.CaptureFixture[str]) -> None:
    assert command("inspect", str(SAMPLES / "good.json")) == 0
    printed = capsys.readouterr().out
    assert "matmul_173/node_myl0_3" in printed and "verdict: good" in printed and "__myl_Move" not in printed
    assert command("inspect", str(SAMPLES / "island.json")) == 1
    assert "float island: matmul_186/node_myl0_5" in capsys.readouterr().out


def test_missing_file_is_named() -> None:
    with pytest.raises(UserError, match="nothing.json: No such file"):
        command("inspect", "nothing.json")


@pytest.mark.long
def test_list_says_which_engines_may_code(capsys: pytest.CaptureFixture[str], tmp_path: Path) -> None:
    out = tmp_path / "engines.json"
    assert command("list", "--engines", "cuda,onnxruntime:basic,float32", "--json", str(out)) == 0
    refused, basic, twin = json.loads(out.read_text())["engines"]
    assert refused["refused"] == "unknown" and basic["digest"] == twin["digest"]
    assert "cuda                   refused   unknown: expected one of" in capsys.readouterr().out
    assert command("list", "--engines", "cuda") == 1
    with pytest.raises(UserError, match="--threads"):
        command("list", "--threads", "0")
    with pytest.raises(UserError, match="model in"):
        command("list", "--model", str(tmp_path))
