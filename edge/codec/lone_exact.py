"""Predictive tiles whose segments fly alone: every count exact, or within a greatest error, and decoded again before they go.

    encode   counts, valid -> payload -> decoded, compared with what was given -> segment
    decode   any prefix of a payload -> the counts of its whole layers

The payload starts with the head of lone tiles (`swathpack.edge.codec.lone.lone_head`) and its greatest error (one byte 0 to
254, or 255 and four bytes, little-endian); then a varint, the length of the mask of valid pixels, 0 where all are, and that mask
(`swathpack.edge.stream.masks`, of the tile alone); then the predictive coder's bytes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec import predictive
from swathpack.edge.codec.carrier import carry_counts
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.lone import LoneTile, lone_head, read_lone_head
from swathpack.edge.codec.plain import (
    CodedPlain,
    Counts,
    PlainError,
    error_bytes,
    error_of_strips,
    latent_size,
    read_error,
)
from swathpack.edge.radiometry import MAX_COUNT, PLAIN, Radiometry
from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.masks import pack_mask, unpack_mask
from swathpack.edge.stream.quality import PREDICTIVE
from swathpack.edge.stream.wire import MAX_VARINT_BYTES, Cursor, varint

_LONGEST = 5 + MAX_VARINT_BYTES  # greatest error and the mask's length


@dataclass(frozen=True, eq=False)
class ExactFront:
    """What a predictive payload that flies alone says before its coder's bytes, which begin at `start`. valid: (H, W) bool."""

    lone: LoneTile
    max_error: int
    valid: NDArray[np.bool_]
    start: int


@dataclass(frozen=True, eq=False)
class ExactTile:
    """Decoded `counts` (C, H, W) uint16, each valid one within `front.max_error` of what was coded; `known` (C, H, W) bool: those
    that the `layers` whole layers brought. stand_in: in the place of a latent (`swathpack.edge.codec.carrier`).
    """

    front: ExactFront
    counts: Counts
    known: NDArray[np.bool_]
    layers: int
    stand_in: NDArray[np.int16]


class ExactCoder:
    """Codes tiles, decodes each again and compares; keeps the memory for tiles of one shape. For one thread at a time."""

    def __init__(self) -> None:
        self._workspace: predictive.Workspace | None = None

    def encode(
        self,
        counts: Counts,
        valid: NDArray[np.bool_],
        names: Sequence[str],
        max_error: int,
        radiometry: Radiometry = PLAIN,
    ) -> CodedPlain:
        """Counts (C, H, W), each valid one to come back within `max_error`. Raises PlainError, also where one does not."""
        shape = (counts.shape[0], counts.shape[1], counts.shape[2])
        room = self._room(shape)
        try:
            coded, found = predictive.encode_checked(counts, valid, max_error, room)
        except predictive.PredictiveError as error:
            raise PlainError(str(error)) from error
        mask = pack_mask(valid) or b""
        front = lone_head(names, *shape[1:], radiometry) + error_bytes(max_error) + varint(len(mask)) + mask
        sizes = coded.sizes + np.where(np.arange(LAYERS + 1) > 0, len(front), 0)
        size = latent_size(shape)
        stand_in = carry_counts(_counts(found), found.since, LAYERS, size)
        distortion = error_of_strips(counts, valid, max_error)
        return CodedPlain(PREDICTIVE, front + coded.payload, sizes, distortion, size, len(front) + 1, stand_in=stand_in)

    def _room(self, shape: tuple[int, int, int]) -> predictive.Workspace | None:
        if predictive.backend() != "native":
            return None
        if self._workspace is None or self._workspace.shape != shape:
            self._workspace = predictive.Workspace(shape)
        return self._workspace


def _counts(found: predictive.Decoded) -> Counts:
    """Decoded samples as counts: what lies beyond the type, within the greatest error, comes nearer to what was there."""
    return np.clip(found.samples, 0, MAX_COUNT).astype(np.uint16)


def promised_error(payload: bytes) -> int | None:
    """The greatest error that a payload's first bytes say; None where they are too few. Raises PlainError."""
    lone = read_lone_head(payload)
    rest = b"" if lone is None else payload[lone.start : lone.start + _LONGEST]
    try:
        return read_error(rest)[0]
    except PlainError:
        return None


def read_exact_front(payload: bytes) -> ExactFront | None:
    """What a payload says before its coder's bytes; None where that is not all there. Raises PlainError."""
    lone = read_lone_head(payload)
    if lone is None:
        return None
    rest = payload[lone.start : lone.start + _LONGEST]
    try:
        max_error, at, refined = read_error(rest)
        core = Cursor(rest, at)
        length = core.varint()
    except (PlainError, StreamError) as error:
        if len(rest) < _LONGEST:
            return None
        raise PlainError(f"lone tile: {error}") from error
    if refined:
        raise PlainError("lone tile: expected predictions as a board makes them, found refined ones")
    start = lone.start + core.at
    if length > lone.height * lone.width // 8 + 64:  # deflate makes no more of any mask
        raise PlainError(f"lone tile: expected a mask of {lone.height} x {lone.width} pixels, found {length} bytes")
    if len(payload) < start + length:
        return None
    return ExactFront(lone, max_error, _valid(payload[start : start + length], lone), start + length)


def _valid(mask: bytes, lone: LoneTile) -> NDArray[np.bool_]:
    if not mask:
        return np.ones((lone.height, lone.width), np.bool_)
    try:
        return unpack_mask(mask, lone.height, lone.width)
    except StreamError as error:
        raise PlainError(f"lone tile: mask: {error}") from error


def decode_exact(payload: bytes) -> ExactTile | None:
    """What a prefix of a payload holds in whole layers; None where it is too short for its own front. Raises PlainError."""
    front = read_exact_front(payload)
    if front is None:
        return None
    shape = front.lone.shape
    try:
        found = predictive.decode(payload[front.start :], shape, front.valid, front.max_error)
    except predictive.PredictiveError as error:
        raise PlainError(str(error)) from error
    counts = _counts(found)
    known = found.known & (found.since <= found.layers)
    stand_in = carry_counts(counts, found.since, found.layers, latent_size(shape))
    return ExactTile(front, counts, known, found.layers, stand_in)
