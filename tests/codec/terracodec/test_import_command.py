"""`swathpack import`: a model file on success, one clear line otherwise."""

import json
from pathlib import Path

import pytest
import torch

from swathpack.codec.terracodec import load_model
from swathpack.codec.terracodec.checkpoint import FAMILIES
from swathpack.tools.cli import main
from swathpack.tools.commands import import_checkpoint
from swathpack.tools.errors import BAD_INPUT, REFUSED
from tests.codec.terracodec.make_models import small


def test_families_are_those_of_the_codec() -> None:
    assert import_checkpoint.FAMILIES == FAMILIES


@pytest.mark.parametrize("family", FAMILIES)
def test_import(tmp_path: Path, capsys: pytest.CaptureFixture[str], family: str) -> None:
    torch.save(small(family).state_dict(), tmp_path / "c.pt")
    assert main(["import", str(tmp_path / "c.pt"), "-o", str(tmp_path / "m.swt")]) == 0
    model = load_model(tmp_path / "m.swt")
    out = capsys.readouterr().out
    assert out.startswith(f"{family}: {model.parameters:,} parameters") and model.digest.hex() in out


def test_statistics(tmp_path: Path) -> None:
    torch.save(small("fp", bands=3).state_dict(), tmp_path / "c.pt")
    (tmp_path / "stats.json").write_text(json.dumps({"mean": [1, 2, 3], "std": [4, 5, 6]}))
    command = ["import", str(tmp_path / "c.pt"), "-o", str(tmp_path / "m.swt")]
    assert main(command) == 1
    assert main([*command, "--stats", str(tmp_path / "stats.json")]) == 0
    assert load_model(tmp_path / "m.swt").std.tolist() == [4, 5, 6]


def test_errors_are_one_line_with_the_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    (tmp_path / "no.pt").write_bytes(b"\x80nonsense")
    torch.save(small("fp").state_dict(), tmp_path / "fp.pt")
    (tmp_path / "bad.json").write_text('{"mean": "many"}')
    out = ["-o", str(tmp_path / "m.swt")]
    cases = {
        "no.pt": ["import", str(tmp_path / "no.pt"), *out],
        "expected a checkpoint of tt": ["import", str(tmp_path / "fp.pt"), *out, "--family", "tt"],
        "bad.json": ["import", str(tmp_path / "fp.pt"), *out, "--stats", str(tmp_path / "bad.json")],
        "is an input": ["import", str(tmp_path / "fp.pt"), "-o", str(tmp_path / "fp.pt")],
        "cannot write": ["import", str(tmp_path / "fp.pt"), "-o", str(tmp_path / "none" / "m.swt")],
    }
    for message, command in cases.items():
        assert main(command) == (REFUSED if message == "is an input" else BAD_INPUT)
        error = capsys.readouterr().err
        assert message in error and "Traceback" not in error and error.count("\n") == 1
