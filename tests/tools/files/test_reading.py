"""Dates that are asked for by number, as they are written."""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import pytest

from swathpack.tools.cli import main
from swathpack.tools.errors import DONE, UsageError, UserError
from swathpack.tools.files.reading import Reading


@pytest.fixture(scope="module")
def stream(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dates")
    np.savez(folder / "a.npz", data=np.full((5, 1, 4, 4), 900, np.uint16), bands=["B08"])
    assert main(["compress", str(folder / "a.npz"), "-o", str(folder / "a.swp"), "--lossless"]) == DONE
    return folder / "a.swp"


def dates(stream: Path, text: str) -> tuple[int, ...]:
    words = {"input": stream, "window": None, "bbox": None, "bands": None, "preview": None, "dates": text}
    found = Reading.of(argparse.Namespace(**words)).part
    assert found is not None
    return found.dates


@pytest.mark.parametrize(("text", "wanted"), [("0", (0,)), ("3,0", (0, 3)), ("0,2-4", (0, 2, 3, 4)), ("2-2", (2,))])
def test_numbers_and_runs(stream: Path, text: str, wanted: tuple[int, ...]) -> None:
    assert dates(stream, text) == wanted


@pytest.mark.parametrize("text", ["2-1", "1-", "-1", "x", "1,,2", "1-2-3"])
def test_what_is_no_run_is_refused_and_never_all_dates(stream: Path, text: str) -> None:
    with pytest.raises(UsageError, match=f"expected numbers such as 0,3,5-7, found '{text}'"):
        dates(stream, text)


@pytest.mark.parametrize("option", ["bands", "dates"])
@pytest.mark.parametrize("text", ["", ",", " , "])
def test_nothing_between_commas_is_never_all(stream: Path, option: str, text: str) -> None:
    words = dict.fromkeys(("window", "bbox", "bands", "dates", "preview")) | {"input": stream, option: text}
    with pytest.raises(UsageError, match=f"--{option}: expected at least one between commas, found '{text}'"):
        Reading.of(argparse.Namespace(**words))


@pytest.mark.parametrize("text", ["5", "0-5", "0-99999999999999", "99999999999990-99999999999999", "1,1"])
def test_dates_that_are_not_there_take_no_memory(stream: Path, text: str) -> None:
    with pytest.raises(UserError, match="expected different numbers of 0 to 4"):
        dates(stream, text)
