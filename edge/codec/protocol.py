"""What the flight loop asks of a codec: tiles and contexts in, coded tiles out.

The loop, the queue and rate control know the codec only through these types, so that they can be tested
without networks and fly with any codec that keeps the contract:

- a segment names the digests of the contexts it was coded against, and nothing else is needed to decode it;
- any prefix of a segment decodes to whole layers: with at least `prefix_bytes[k]` bytes there are at least k;
- the same pixels, contexts and codec give the same bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.base_layer import known_groups, known_part
from swathpack.edge.codec.digest import context_digest
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.radiometry import PLAIN, Radiometry


class TileKey(NamedTuple):
    """A tile at a time: `tile` is the stable id of the ground window, `time` seconds since 1970-01-01 UTC."""

    tile: int
    time: int


class CodecError(Exception):
    """The codec could not code this tile; the message says why. Other tiles are not affected."""


@dataclass(frozen=True)
class Goal:
    """What is asked of one tile; None: what is usual. max_error: no count may come back off by more than that. q, finest_dn: see
    `swathpack.edge.codec.settings.CodecSettings`. room_bytes: what the next contact has for the tile, about; None: nobody knows.
    """

    max_error: int | None = None
    q: int | None = None
    finest_dn: float | None = None
    room_bytes: int | None = None


@dataclass(frozen=True, eq=False)
class TilePixels:
    """One tile to code: data (C, H, W) uint16 counts in the order of `bands`, DN where `radiometry` does not say otherwise, valid
    (H, W) bool. asked: what the tile's frame asks of weights (`swathpack.edge.codec.frame_weights`), None: nobody looked.
    """

    key: TileKey
    data: NDArray[np.uint16]
    bands: tuple[str, ...]
    valid: NDArray[np.bool_]
    radiometry: Radiometry = PLAIN
    goal: Goal = Goal()
    asked: float | None = None


@dataclass(frozen=True, eq=False)
class ContextLatent:
    """A latent that both sides know to its first `layers` layers.

    latent: (M, h, w) int16, as `swathpack.edge.codec.base_layer.known_part` leaves it. q: quality byte (step index and base shift).
    digest: `context_digest`.
    """

    key: TileKey
    q: int
    layers: int
    latent: NDArray[np.int16]
    digest: bytes

    @classmethod
    def known(cls, key: TileKey, q: int, layers: int, latent: NDArray[np.int16]) -> ContextLatent:
        """The context that a latent gives when only its first `layers` of 16 layers are known."""
        kept = known_part(latent, layers, q)
        digest = context_digest(kept, known_groups(layers, q), latent.shape[0] // LAYERS)
        return cls(key, q, layers, kept, digest)

    @property
    def groups(self) -> int:
        """Groups of M / 16 channels of which anything is known: all that the digest covers."""
        return known_groups(self.layers, self.q)


class CodedTile(Protocol):
    """One coded tile, ready for rate control.

    key: which tile of which time. q: quality byte (`swathpack.edge.codec.base_layer`). latent: (M, h, w) int16.
    prefix_bytes: (17,) int64, bytes of a segment that hold layers [0, k). distortion: (17,) float64, estimated sum of
    squared error (DN^2) with k layers. context_digests: of the contexts used, none for intra.
    """

    @property
    def key(self) -> TileKey: ...
    @property
    def q(self) -> int: ...
    @property
    def latent(self) -> NDArray[np.int16]: ...
    @property
    def prefix_bytes(self) -> NDArray[np.int64]: ...
    @property
    def distortion(self) -> NDArray[np.float64]: ...
    @property
    def context_digests(self) -> tuple[bytes, ...]: ...

    def segment(self, start: int, stop: int) -> bytes:
        """A complete segment record with layers [start, stop)."""


class TileCodec(Protocol):
    """Analysis, entropy model and range coder behind one call."""

    layers: int

    def encode(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> CodedTile:
        """Code one tile against up to two contexts, newest first. Raises CodecError."""
