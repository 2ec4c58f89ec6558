"""What a journal is of: inputs with what is read beside them; where it lies: never over an input."""

from __future__ import annotations

from pathlib import Path

import pytest

from swathpack.edge.codec.model import DEFAULT_DIRECTORY
from swathpack.tools.errors import RefusedError
from swathpack.tools.files.journal import fingerprint_of, place_beside
from swathpack.tools.files.models import open_model


def test_an_input_is_never_the_journal(tmp_path: Path) -> None:
    source = tmp_path / "a.npz.journal"
    source.write_bytes(b"a stream")
    with pytest.raises(RefusedError, match="is an input"):
        place_beside(tmp_path / "a.npz", [source])
    assert place_beside(tmp_path / "b.npz", [source]) == tmp_path / "b.npz.journal"


@pytest.mark.parametrize("beside", ["a.tif.msk", "a.tif.aux.xml", "a.tfw"])
def test_a_journal_is_of_what_is_read_beside_its_input(tmp_path: Path, beside: str) -> None:
    model, source = open_model(DEFAULT_DIRECTORY, 1, "auto"), tmp_path / "a.tif"
    source.write_bytes(b"raster")
    seen = [fingerprint_of(model, {}, [source])]
    for content in (b"one", b"other"):
        (tmp_path / beside).write_bytes(content)
        seen.append(fingerprint_of(model, {}, [source]))
    assert len(set(seen)) == 3
