"""What damage to the head of a payload may lead to."""

from __future__ import annotations

import contextlib

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import CodedTile, TransformCoderError, decode_tile


def assert_decoded_or_refused(
    coded: CodedTile,
    names: tuple[str, ...],
    tile: NDArray[np.uint16],
    date: NDArray[np.uint16],
    times: int,
    length: int,
) -> None:
    """Three bytes of the head changed, so many times, in the first `length` bytes of a payload."""
    rng = np.random.default_rng(3)
    for _ in range(times):
        damaged = bytearray(coded.payload[:length])
        for at in rng.integers(0, coded.head, 3):
            damaged[at] = rng.integers(0, 256)
        with contextlib.suppress(TransformCoderError):
            assert decode_tile(bytes(damaged), tile.shape, names, date).samples.shape == tile.shape
