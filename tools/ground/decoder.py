"""What the ground needs of a codec: to read a segment's head and to decode any prefix of it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.protocol import ContextLatent, TileKey


class DecodeError(Exception):
    """These bytes are no segment of ours, were coded against another context or model, or are damaged.

    latent, layers: of a damaged one, what its checks confirm, as `SegmentDecoder.decode` gives it.
    """

    def __init__(self, message: str, latent: NDArray[np.int16] | None = None, layers: int = 0) -> None:
        super().__init__(message)
        self.latent, self.layers = latent, layers


@dataclass(frozen=True)
class SegmentHead:
    """What a segment says of itself. shape: (M, h, w) of the latent. total_bytes: of the whole segment."""

    key: TileKey
    q: int
    shape: tuple[int, int, int]
    context_digests: tuple[bytes, ...]
    total_bytes: int


class SegmentDecoder(Protocol):
    """The decoding half of the codec. Both methods raise DecodeError and nothing else."""

    def head(self, data: bytes) -> SegmentHead | None:
        """The head of a segment of which `data` is a prefix; None while it is too short."""

    def decode(self, data: bytes, contexts: Sequence[ContextLatent]) -> tuple[NDArray[np.int16], int]:
        """(latent (M, h, w) int16, zero beyond the whole layers; their number) of a prefix of a segment.

        contexts: those that the head names, in its order.
        """
