"""The head of a payload, for tests that look into one."""

from __future__ import annotations

from collections.abc import Sequence

from swathpack.edge.codec.transform_coder.head import Head, expected_of, read_head
from swathpack.edge.codec.transform_coder.header import BitReader


def head_of(payload: bytes, shape: Sequence[int], names: Sequence[str] | None) -> Head:
    """The head that a payload of a tile (C, H, W) begins with; names: of its bands, None for bands that nobody knows."""
    bands, height, width = shape
    return read_head(BitReader(payload), (bands, height, width), expected_of(names, bands))
