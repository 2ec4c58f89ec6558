"""The stream container's bytes as they are for ever: golden files, the worked example of the docs, digests."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest

from swathpack.edge.codec.digest import array_digest, context_digest
from swathpack.edge.digests import DigestError
from swathpack.edge.stream import ContextRef, FrameRecord, Segment, StreamWriter, read_stream
from swathpack.edge.stream.edges import pack_edges
from tests.edge.stream_example import header

DOCS = Path(__file__).resolve().parents[3] / "docs" / "stream.md"


def golden_2() -> bytes:
    """A file of version 2."""
    writer = StreamWriter(header(frames=6, height=64, width=64, tile_size=64, times=(), version=2))
    writer.add(FrameRecord(0, "2024-05-01"))
    writer.add(FrameRecord(1, "noon"))
    writer.add(Segment(0, 0, 20, 0, 2, 4, 4, payload=bytes.fromhex("c0ffee")))
    writer.add(Segment(5, 0, 20, 0, 16, 4, 4, (ContextRef(0, 2, b"\xaa\xbb\xcc\xdd"),), payload=b"\x01"))
    return writer.to_bytes()


GOLDEN_2 = (
    "53575002130001020304050607746162730200064040ff1b5d000000fa27f724e20532000188b60254e2348de2077001"
    "07046e6f6f6ed12efc7be1000014013303e1f9c0ffee74a9dbc5e10500540f33aabbccdd15014d7101974f2038"
)


def golden() -> bytes:
    times = ("2024-05-01", "2024-05-06", "noon", "north")
    writer = StreamWriter(header(frames=4, height=64, width=64, tile_size=64, times=times))
    valid = np.ones((64, 64), bool)
    valid[:, :5] = False
    writer.add(FrameRecord(0, mask=pack_edges(valid), edges=True))
    writer.add(Segment(0, 0, 20, 0, 16, 4, 4, flags=3, payload=bytes.fromhex("c0ffee")))
    writer.add(Segment(1, 0, 20, 0, 16, 4, 4, (ContextRef(0, 16),), flags=3, payload=b"\x01"))
    writer.add(FrameRecord(2))
    writer.add(Segment(2, 0, 20, 0, 2, 4, 4, payload=b"\x02\x03"))
    writer.add(FrameRecord(3, like=3))
    return writer.to_bytes()


GOLDEN = (
    "535750032800010203040506077461627302f0044040ff1b0188b6020192b6020700046e6f6f6e070203727468760000001db1b452"
    "e20a8600906366606518ca0000205c35b9181403c0ffee60501954010137a7e2028e0200b62a44e6e10200140133028e9e02037bcaf5cd"
    "e203af03800333ff4076"
)


def test_golden_file():
    assert golden().hex() == GOLDEN
    assert read_stream(golden()).problems == ()


def test_files_of_version_2_are_still_written_and_read():
    assert golden_2().hex() == GOLDEN_2
    stream = read_stream(golden_2())
    assert stream.problems == () and stream.header.version == 2
    assert [(s.frame, s.quality, s.payload.hex()) for s in stream.segments] == [(0, 20, "c0ffee"), (5, 20, "01")]
    assert stream.segments[1].contexts == (ContextRef(0, 2, b"\xaa\xbb\xcc\xdd"),)
    assert [stream.time(n) for n in range(3)] == ["2024-05-01", "noon", None]


def test_the_worked_example_of_the_docs_is_the_golden_file():
    text = DOCS.read_text(encoding="utf-8")
    block = re.search(r"```hex\n(.*?)```", text, re.S)
    assert block is not None
    digits = "".join(re.sub(r"#.*", "", line) for line in block.group(1).splitlines())
    assert re.sub(r"\s", "", digits) == golden().hex()


def test_the_docs_give_the_true_overheads():
    text = DOCS.read_text(encoding="utf-8")
    assert "37 bytes" in text and "14 bytes" in text and "24 bytes" in text and "6 bytes" in text


def test_context_digest_depends_on_known_layers_and_nothing_else():
    latent = np.random.default_rng(0).integers(-500, 500, (512, 16, 16)).astype(np.int16)
    digest = context_digest(latent, 3)
    assert len(digest) == 4
    beyond = latent.copy()
    beyond[96:] = 0
    assert context_digest(beyond, 3) == digest == context_digest(latent[:96].astype(np.int32), 3)
    assert context_digest(latent[:96].astype(">i2"), 3) == digest
    inside = latent.copy()
    inside[95, 15, 15] ^= 1
    assert context_digest(inside, 3) != digest != context_digest(latent, 4)
    assert context_digest(latent.reshape(512, 8, 32), 3) != digest


def test_digests_are_pinned():
    assert context_digest(np.arange(64 * 4, dtype=np.int16).reshape(64, 2, 2), 2).hex() == CONTEXT_GOLDEN
    assert array_digest(np.arange(6, dtype=np.int32).reshape(2, 3), 4).hex() == ARRAY_GOLDEN


CONTEXT_GOLDEN = "0c3547cf"
ARRAY_GOLDEN = "abd42326"


@pytest.mark.parametrize("layers", [-1, 17])
def test_impossible_contexts_are_refused(layers):
    with pytest.raises(DigestError):
        context_digest(np.zeros((512, 4, 4), np.int16), layers)


def test_values_beyond_int16_have_no_context_digest():
    with pytest.raises(DigestError):
        context_digest(np.full((32, 4, 4), 40000), 1)
