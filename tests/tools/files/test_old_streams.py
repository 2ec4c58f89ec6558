"""Files that encoders of before wrote: they decode as they did then."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.stream import read_stream
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.tools.files import decoder
from swathpack.tools.files.decode_report import Decoded
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.part_file import PartFile
from tests.codec_models import shipped

OLD = Path(__file__).with_name("old_streams")
TIMES = ["2024-05-01", "2024-05-06", "noon", "2024-05-16"]


def fingerprint(found: Decoded) -> str:
    """SHA-256 of samples, masks and times."""
    parts = [f.data.tobytes() + np.packbits(f.valid).tobytes() + str(f.time).encode() for f in found.frames]
    return hashlib.sha256(b"".join(parts)).hexdigest()


def test_version_2_with_dates_masks_and_mixed_times(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of the transform coder, whose samples are defined to the last bit whatever the model: as ever, and as they are drawn since
    drawn tiles are filtered.
    """
    stream = read_stream((OLD / "version_2_transform.swp").read_bytes())
    assert stream.header.version == 2 and not stream.problems
    assert [(s.quality_byte, [c.frame for c in s.contexts]) for s in stream.segments] == [
        (TRANSFORM, [n - 1] if n else []) for n in range(4)
    ]
    header = replace(stream.header, model_digest=shipped().digest, tables_digest=shipped().tables_digest)
    found = StreamDecoder(shipped(), replace(stream, header=header)).frames()
    assert fingerprint(found) == "666ea6404f08d42c52298af14f8e448be1b3e3cdb3849d4537b99f946e2c83b5"
    monkeypatch.setattr(decoder, "filtered", lambda samples, valid, steps: samples)
    found = StreamDecoder(shipped(), replace(stream, header=header)).frames()
    assert not found.problems and [f.time for f in found.frames] == TIMES
    assert fingerprint(found) == "fd8d74c53d6ede3b00c9555001ece0afbeea7b300333cd737ae38ea885d1b685"


def test_version_2_of_the_learned_codec() -> None:
    data = (OLD / "version_2_learned.swp").read_bytes()
    stream = read_stream(data)
    assert stream.header.version == 2 and not stream.problems
    assert [[c.frame for c in s.contexts] for s in stream.segments] == [[], [0], [1, 0], [1, 2]]
    assert all(len(c.digest) == 4 and c.layers == 16 for s in stream.segments for c in s.contexts)
    if stream.header.model_digest == shipped().digest:  # what it says depends on the model that it was made with
        assert not StreamDecoder(shipped(), data).frames().problems


def test_parts_of_old_files_are_read_by_their_heads() -> None:
    for name in ("transform", "learned"):
        path = OLD / f"version_2_{name}.swp"
        part = PartFile(path)
        assert part.places == {(n, 0) for n in range(4)} and part._whole is None
        assert (
            part.stream({(3, 0)}).segments == read_stream(path.read_bytes()).segments
        )  # the last one needs all others
