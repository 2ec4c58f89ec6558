"""Tiles without the network: of the transform coder (any bands, any rate, cut anywhere) or the predictive coder (exact,
or to a greatest error). What they give and take is what `CodedLatent` and `tile_decoder` do, with counts for latents.

A quality byte names the mode: TRANSFORM or PREDICTIVE, which no step and base of the learned codec make. A predictive
payload starts with the greatest error: one byte 0..254, or 255 and four bytes, little-endian, whose highest bit says that
predictions are refined.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec import predictive, transform_coder
from swathpack.edge.codec.carrier import carry
from swathpack.edge.codec.latents import LAYERS, STRIDE
from swathpack.edge.codec.rate import Curve
from swathpack.edge.stream import ContextRef, Segment
from swathpack.edge.stream.quality import PREDICTIVE, TRANSFORM

MAX_BANDS = 16
FINEST_DN = 0.5  # of the transform coder's last bit plane, when nothing is said
_LONG = 255
_REFINED = 1 << 31  # of the four bytes, above every error that there may be: readers of before refuse it as too great
Samples = NDArray[np.generic]
Counts = NDArray[np.uint16]


class PlainError(ValueError):
    """A tile that no mode without the network codes, or a payload that none wrote."""


@dataclass(frozen=True, eq=False)
class CodedPlain:
    """A tile's payload, in layers. sizes: (17,) bytes of the first k layers. distortion: (17,) squared error over the valid
    pixels of all bands by their weights, balanced (`Weights.balance`), counts^2. size: (h, w) latent positions that the tile would have.
    least: bytes of payload without
    which nothing decodes. fine: more points of bytes and error than the layers', where the coder has them. reference: which
    of the earlier dates given it is coded against, None for a tile that stands alone. source: what the transform coder made.
    stand_in: in the place of a latent (`swathpack.edge.codec.carrier`), where it is not made of the bytes.
    """

    quality: int
    payload: bytes
    payload_sizes: NDArray[np.int64]
    distortion: NDArray[np.float64]
    size: tuple[int, int]
    least: int = 1
    fine: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None
    reference: int | None = None
    source: transform_coder.CodedTile | None = None
    stand_in: NDArray[np.int16] | None = None

    @cached_property
    def curve(self) -> Curve:
        """How far the error falls with the bytes."""
        sizes, errors = self.fine or (self.payload_sizes, self.distortion)
        return Curve.of(np.maximum(sizes, self.least), errors)

    @property
    def contexts(self) -> tuple[()]:
        """None of the learned codec's: an earlier date is no latent; see `reference`."""
        return ()

    @cached_property
    def latent(self) -> NDArray[np.int16]:
        """What stands for a latent where board and ground compare what they hold."""
        return self.stand_in if self.stand_in is not None else carry(self.payload, self.payload_sizes, self.size)

    def cut(self, payload_bytes: int) -> CodedPlain:
        """The first bytes of it, as a tile of its own: a prefix may end inside a layer."""
        sizes = np.minimum(self.payload_sizes, payload_bytes)
        return replace(self, payload=self.payload[:payload_bytes], payload_sizes=sizes)

    def segment(self, frame: int, tile: int, stop: int, refs: tuple[ContextRef, ...] = (), start: int = 0) -> Segment:
        """The segment record with layers [start, stop)."""
        payload = self.payload[int(self.payload_sizes[start]) : int(self.payload_sizes[stop])]
        return replace(self.empty_segment(frame, tile, stop, refs, start), payload=payload, payload_bytes=-1)

    def empty_segment(
        self, frame: int, tile: int, stop: int, refs: tuple[ContextRef, ...] = (), start: int = 0
    ) -> Segment:
        """The segment record of layers [start, stop) without its payload."""
        return Segment.empty((frame, tile), self.quality, (start, stop), self.size, refs)


def mode_name(quality: int) -> str:
    """learned, transform or predictive."""
    return {TRANSFORM: "transform", PREDICTIVE: "predictive"}.get(quality, "learned")


def latent_size(shape: Sequence[int]) -> tuple[int, int]:
    """Latent rows and columns of a tile (..., H, W)."""
    return -(-shape[-2] // STRIDE), -(-shape[-1] // STRIDE)


def encode_transform(
    counts: Samples,
    valid: NDArray[np.bool_],
    names: Sequence[str],
    finest_dn: float = FINEST_DN,
    max_bytes: int | None = None,
    aim_bytes: int | None = None,
    weights: transform_coder.Weights | None = None,
    shaped: bool = False,
) -> CodedPlain:
    """Counts (C, H, W) uint16 by the transform coder; see `transform_coder.encode_tile`. Raises PlainError."""
    try:
        how = finest_dn, max_bytes, aim_bytes, weights, shaped
        coded = transform_coder.encode_tile(counts, valid, known_names(names), *how)
    except transform_coder.TransformCoderError as error:
        raise PlainError(str(error)) from error
    return _plain_of(coded, counts, names)


def against(
    alone: CodedPlain,
    counts: Samples,
    valid: NDArray[np.bool_],
    names: Sequence[str],
    aim_bytes: int,
    dates: Sequence[Counts],
) -> CodedPlain:
    """The same tile coded against one of some earlier dates (`transform_coder.counts_of` of what a decoder has), if that has
    less error around `aim_bytes`; else `alone`. Raises PlainError.
    """
    if not dates or alone.source is None:
        return alone
    try:
        coded = transform_coder.encode_against(alone.source, counts, valid, known_names(names), aim_bytes, dates)
    except transform_coder.TransformCoderError as error:
        raise PlainError(str(error)) from error
    return alone if coded is alone.source else _plain_of(coded, counts, names)


def refined_payloads(
    payload: bytes,
    counts: Samples,
    valid: NDArray[np.bool_],
    names: Sequence[str],
    date: Counts | None = None,
    worths: Sequence[float] = (transform_coder.WORTH,),
) -> list[bytes]:
    """A transform payload that is to be sent as it is, coded once more for its length, by what bits are worth; see
    `transform_coder.refine_payloads`. Those that could gain. Raises PlainError.
    """
    try:
        found = transform_coder.refine_payloads(payload, counts, valid, known_names(names), date, worths)
    except transform_coder.TransformCoderError as error:
        raise PlainError(str(error)) from error
    return [each for each in found if each is not None]


def payload_sizes_of(payload: bytes, shape: Sequence[int], names: Sequence[str]) -> NDArray[np.int64]:
    """(17,) bytes of the first k layers of a whole transform payload of a tile (C, H, W)."""
    total, size = len(payload), (shape[0], shape[1], shape[2])
    ends = transform_coder.layer_ends(payload, size, known_names(names), total)
    return np.minimum(np.arange(LAYERS + 1) * total, total) if ends is None else ends


def _plain_of(coded: transform_coder.CodedTile, counts: Samples, names: Sequence[str]) -> CodedPlain:
    sizes = payload_sizes_of(coded.payload, counts.shape, names)
    balance = coded.wanted.weights.balance if coded.wanted else 1.0
    fine, errors = (coded.curve_bytes, coded.curve_error * balance), coded.distortion * balance
    made = CodedPlain(TRANSFORM, coded.payload, sizes, errors, latent_size(counts.shape), coded.head, fine)
    return replace(made, reference=coded.reference, source=coded)


def encode_predictive(
    counts: Samples, valid: NDArray[np.bool_], max_error: int = 0, refined: bool = False
) -> CodedPlain:
    """Counts (C, H, W), each valid one to come back within `max_error`; refined: see `predictive.encode`. Raises PlainError,
    also where one does not: what was coded is decoded and compared.
    """
    try:
        coded, _ = predictive.encode_checked(counts, valid, max_error, refined=refined)
    except predictive.PredictiveError as error:
        raise PlainError(str(error)) from error
    head = error_bytes(max_error, coded.refined)
    sizes = coded.sizes + np.where(np.arange(LAYERS + 1) > 0, len(head), 0)
    distortion = error_of_strips(counts, valid, max_error)
    return CodedPlain(PREDICTIVE, head + coded.payload, sizes, distortion, latent_size(counts.shape))


def error_of_strips(counts: Samples, valid: NDArray[np.bool_], max_error: int) -> NDArray[np.float64]:
    """(17,) squared error (counts^2) of a predictive tile with its first k layers. Layers are strips of rows, so it falls in a
    straight line from the energy about the bands' means; strictly, for even a flat tile is to come down.
    """
    inside = counts[:, valid].astype(np.float64)
    energy = float(((inside - inside.mean(1, keepdims=True)) ** 2).sum()) if inside.size else 0.0
    exact = (max_error * (max_error + 1)) / 3 * inside.size
    left = 1 - np.arange(LAYERS + 1) / LAYERS
    return max(energy, exact + max(inside.size, 1)) * left + exact * (1 - left)


def error_bytes(max_error: int, refined: bool = False) -> bytes:
    """The greatest error as payloads say it, and whether predictions are refined."""
    if max_error < _LONG and not refined:
        return bytes([max_error])
    return bytes([_LONG]) + (max_error | _REFINED * refined).to_bytes(4, "little")


@dataclass(frozen=True, eq=False)
class DecodedPlain:
    """`counts` (C, H, W) float32, `known` (C, H, W) bool: what a payload holds of a tile; `layers` that are whole.
    max_error: guaranteed for every known count, None where nothing is. steps: of the transform coder, see its `DecodedTile`.
    """

    counts: NDArray[np.float32]
    known: NDArray[np.bool_]
    layers: int
    max_error: int | None = None
    steps: tuple[int, ...] = ()


def decode_plain(
    quality: int,
    payload: bytes,
    shape: tuple[int, int, int],
    valid: NDArray[np.bool_],
    names: Sequence[str],
    layers: int = LAYERS,
    date: Counts | None = None,
) -> DecodedPlain:
    """A payload, or any prefix of one, of that quality byte, at most its first `layers` layers. date: the earlier date that it
    was coded against, if any (`transform_coder.counts_of`). Raises PlainError.
    """
    try:
        if quality == TRANSFORM:
            return _decode_transform(payload, shape, names, layers, date, valid)
        if quality == PREDICTIVE:
            return _decode_predictive(payload, shape, valid, layers)
    except (transform_coder.TransformCoderError, predictive.PredictiveError) as error:
        raise PlainError(str(error)) from error
    raise PlainError(f"expected a mode without the network, found quality byte {quality}")


def greatest_error(payload: bytes) -> int:
    """The guarantee that a predictive payload starts with. Raises PlainError."""
    return read_error(payload)[0]


def read_error(payload: bytes) -> tuple[int, int, bool]:
    """(greatest error, bytes that it takes, refined) of what `error_bytes` begins. Raises PlainError where they are not all
    there.
    """
    length = 5 if payload[:1] == bytes([_LONG]) else 1
    if len(payload) < length:
        raise PlainError("the payload ends before its greatest error")
    if length == 1:
        return payload[0], 1, False
    value = int.from_bytes(payload[1:5], "little")
    return value & ~_REFINED, 5, value >= _REFINED


def _decode_transform(
    payload: bytes,
    shape: tuple[int, int, int],
    names: Sequence[str],
    layers: int,
    date: Counts | None,
    valid: NDArray[np.bool_],
) -> DecodedPlain:
    known = known_names(names)
    ends = transform_coder.layer_ends(payload, shape, known, 1 << 40)  # not cut by what there is of it
    if layers < LAYERS and ends is not None:
        # With no layer at all the header alone still tells the means.
        payload = payload[: int(ends[layers]) if layers else int(ends[1] - transform_coder.first_target(shape))]
    tile = transform_coder.decode_tile(payload, shape, known, date, valid)
    return DecodedPlain(tile.samples, np.full(shape, tile.started), min(tile.layers, layers), steps=tile.steps)


def _decode_predictive(
    payload: bytes, shape: tuple[int, int, int], valid: NDArray[np.bool_], layers: int
) -> DecodedPlain:
    max_error, length, refined = read_error(payload)
    tile = predictive.decode(payload[length:], shape, valid, max_error, refined=refined)
    known = tile.known & (tile.since <= layers)
    return DecodedPlain(tile.samples.astype(np.float32), known, min(tile.layers, layers), max_error)


def known_names(names: Sequence[str]) -> tuple[str, ...] | None:
    """The bands by name where all are Sentinel-2's: what both sides then expect of them."""
    return tuple(names) if set(names) <= set(BANDS) else None
