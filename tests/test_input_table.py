"""Every case of the table of inputs and commands: exit code, message, and all other files as they were."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.input_table import CASES, Case, lay, run


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("desk")
    lay(folder)
    return folder


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.words)
def test_case(case: Case, desk: Path) -> None:
    if case.needs:
        pytest.importorskip(case.needs)
    assert run(case, desk).wrong(case) == ""
