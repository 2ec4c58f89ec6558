"""Options that would be ignored beside others are refused by name, with the exit code of a usage that is wrong whatever the input."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from swathpack.tools.cli import main
from swathpack.tools.errors import UsageError
from swathpack.tools.files.request import Request


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ("mission --init {new} m.toml", "--init: expected neither a mission nor --check"),
        ("mission m.toml --budget b.toml --satellite a", "--budget, --satellite: expected with --init only"),
        ("plan --presets x.toml", "--presets: expected no plan with it, found x.toml"),
        ("plan --init {new} --out {new}", "--out: expected without --init"),
        ("plan x.toml --check --compare y.toml", "--compare: expected without --check"),
        ("plan x.toml --check --sweep radio.margin_db=1:3:1", "--sweep: expected without --check"),
        ("plan x.toml --sweep radio.margin_db=1:3:1 --export ics --png", "--export, --png: expected without --sweep"),
        ("plan x.toml --no-files --out {new}", "--out: expected without --no-files"),
        ("hil --list smoke", "--list: expected neither a scenario"),
        ("receive --store {new} --list --tile 64 --synthesis best", "--tile, --synthesis: expected with --images only"),
        ("receive --store {new} --list --key-slot 1", "--key-slot: expected with --key-file only"),
        ("board status --target a@b --lines 3", "--lines: expected with logs only"),
        ("board logs --target a@b -o {new}", "--out: expected with keys only"),
        ("bundle --new-key {new} --out x.tar.zst", "--out: expected without --new-key"),
        ("bundle --role release --out x.tar.zst", "--role: expected with --new-key only"),
        ("bundle --no-wheels --wheel a.whl", "--wheel: expected without --no-wheels"),
        ("export --verify {new} --finer a=1", "--finer: expected without --verify"),
        ("bench {new} --speed --bppb 1", "--bppb: expected without --speed"),
        ("bench {new} --sides 512", "--sides: expected with --speed only"),
        ("bench {new} --evidence --out {new} --anchor jxl", "--anchor: expected without --evidence"),
        ("bench {new} --no-cache --cache {new}", "--cache: expected without --no-cache"),
        ("inpaint a.npz -o {new} --tokens onwards", "--tokens: expected with --codec only"),
        ("inpaint a.npz -o {new} --mask m.npz --scl-classes 3", "--scl-classes: expected without --mask"),
        ("inpaint a.npz -o {new} --no-page --page {new}", "--page: expected without --no-page"),
        ("compress a.npz -o {new} --lossless --mode transform", "--mode: expected without --lossless and --max-error"),
        ("compress a.npz -o {new} --bytes 99999999999", "--bytes: expected 1 to 2147483648, found 99999999999"),
        ("compress a.npz -o {new} --max-error 99999999", "--max-error: expected 0 to 65535, found 99999999"),
        ("compress a.npz -o {new} --mode transform --base 1", "--base: expected without --mode transform"),
    ],
)
def test_options_that_nothing_would_hear_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], words: str, said: str
) -> None:
    new = tmp_path / "new"
    assert main(words.format(new=new).split()) == 2
    told = capsys.readouterr()
    assert said in told.err and told.err.count("\n") == 1 and not told.out
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("option", ["--bands", "--wavelengths"])
def test_a_list_of_nothing_is_no_list(tmp_path: Path, capsys: pytest.CaptureFixture[str], option: str) -> None:
    np.savez(tmp_path / "a.npz", data=np.ones((1, 1, 8, 8), np.uint16), bands=np.array(["B02"]))
    assert main(["compress", str(tmp_path / "a.npz"), "-o", str(tmp_path / "a.swp"), option, ",, "]) == 2
    assert f"{option}: expected at least one between commas, found ',, '" in capsys.readouterr().err


def test_requests_from_python_say_the_same() -> None:
    with pytest.raises(UsageError, match="--weights and --base: expected without --lossless"):
        Request(max_error=3, weights="visible", base=0)
    with pytest.raises(UsageError, match="base: expected without --mode transform"):
        Request(mode="transform", base=0)
    for mode in ("transform", "learned"):  # of which tiles of unknown bands are the transform coder's
        assert Request(mode=mode, weights="visible").mode == mode


def test_limits_are_whole_numbers_from_one_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    for number in ("-5", "0", "1.5", "many"):
        with pytest.raises(SystemExit) as ended:
            main(["decompress", str(tmp_path / "x.swp"), "-o", str(tmp_path / "x.npz"), "--max-pixels", number])
        assert ended.value.code == 2
        assert f"--max-pixels: expected a whole number from 1 on, found {number!r}" in capsys.readouterr().err


def test_too_many_bands_are_refused_with_the_name_of_their_file(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    cube, names = np.full((1, 20, 32, 32), 900, np.uint16), np.array([f"x{n}" for n in range(20)])
    np.savez(tmp_path / "many.npz", data=cube, bands=names)
    assert main(["compress", str(tmp_path / "many.npz"), "-o", str(tmp_path / "many.swp")]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path / 'many.npz'}: expected 1 to 16 bands" in said and not (tmp_path / "many.swp").exists()
