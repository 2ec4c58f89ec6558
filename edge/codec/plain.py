"""Tiles without the network: of the transform coder (any bands, any rate, cut anywhere) or the predictive coder (exact,
or to a greatest error). What they give and take is what `CodedLatent` and `tile_decoder` do, with counts for latents.

A quality byte names the mode: TRANSFORM or PREDICTIVE, which no step and base of the learned codec make. A predictive
payload starts with the greatest error: one byte 0..254, or 255 and four bytes, little-endian.
"""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec import predictive, transform_coder
from swathpack.edge.codec.base_layer import PREDICTIVE, TRANSFORM, shift_of, step_of
from swathpack.edge.codec.latents import LAYERS, STRIDE
from swathpack.edge.stream import ContextRef, Segment
from swathpack.edge.stream.header import BAND_ORDER

MAX_BANDS = 16
FINEST_DN = 0.5  # of the transform coder's last bit plane, when nothing is said
_LONG = 255
LEAST_LEARNED_BANDS = 9  # with fewer, the learned codec spends bits on bands that nobody gave
Samples = NDArray[np.generic]


class PlainError(ValueError):
    """A tile that no mode without the network codes, or a payload that none wrote."""


@dataclass(frozen=True, eq=False)
class CodedPlain:
    """A tile's payload, in layers. sizes: (17,) bytes of the first k layers. distortion: (17,) squared error over the valid
    pixels of all bands, counts^2, by the weights of the bands. size: (h, w) latent positions that the tile would have.
    least: bytes of payload without
    which nothing decodes. fine: more points of bytes and error than the layers', where the coder has them.
    """

    quality: int
    payload: bytes
    payload_sizes: NDArray[np.int64]
    distortion: NDArray[np.float64]
    size: tuple[int, int]
    least: int = 1
    fine: tuple[NDArray[np.int64], NDArray[np.float64]] | None = None

    @cached_property
    def curve(self) -> Curve:
        """How far the error falls with the bytes."""
        return Curve.of(*(self.fine or (self.payload_sizes, self.distortion)))

    @property
    def contexts(self) -> tuple[()]:
        """None: a tile without the network stands alone."""
        return ()

    @cached_property
    def latent(self) -> NDArray[np.int16]:
        """What stands for a latent where board and ground compare what they hold: `seals`."""
        return seals(self.payload, self.payload_sizes, self.size)

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
        q, flags = step_of(self.quality), shift_of(self.quality)
        return Segment(frame, tile, q, start, stop - start, *self.size, refs, flags=flags)


@dataclass(frozen=True, eq=False)
class Curve:
    """The lower convex hull of (bytes, error): `sizes` and `slopes` (error saved a byte there), both without equal ones."""

    sizes: NDArray[np.float64]
    slopes: NDArray[np.float64]

    @classmethod
    def of(cls, sizes: NDArray[np.int64], errors: NDArray[np.float64]) -> Curve:
        """Of a tile's prefixes, 0 bytes first."""
        hull = [0]
        for k in range(1, len(sizes)):
            if sizes[k] <= sizes[hull[-1]]:
                continue
            while len(hull) > 1 and _slope(sizes, errors, hull[-2], hull[-1]) <= _slope(sizes, errors, hull[-1], k):
                hull.pop()
            hull.append(k)
        chords = np.array([_slope(sizes, errors, a, b) for a, b in zip(hull, hull[1:])])
        keep = chords > 0
        chords, ends = chords[keep], np.array(hull[1:], np.int64)[keep]
        if not len(chords):
            return cls(np.zeros(1), np.zeros(1))
        # At the end of a chord the slope lies between it and the next one; behind the last it falls as fast again.
        following = np.append(chords[1:], chords[-1] * min(0.25, chords[-1] / chords[-2] if len(chords) > 1 else 0.25))
        return cls(sizes[ends].astype(np.float64), np.sqrt(chords * following))

    def bytes_at(self, slope: float) -> int:
        """The prefix beyond which a byte saves less error than `slope`; interpolated on logarithmic scales."""
        if not self.sizes[-1] or slope >= self.slopes[0] * 4:
            return 0
        if slope <= self.slopes[-1]:
            return int(self.sizes[-1])
        return int(2 ** np.interp(-np.log2(slope), -np.log2(self.slopes), np.log2(self.sizes)))


def _slope(sizes: NDArray[np.int64], errors: NDArray[np.float64], a: int, b: int) -> float:
    return float((errors[a] - errors[b]) / (sizes[b] - sizes[a]))


def few_missing(names: Sequence[str]) -> bool:
    """Whether the learned codec may be worth its bytes: all bands are its own, and at least nine of the twelve."""
    return set(names) <= set(BANDS) and len(names) >= LEAST_LEARNED_BANDS


def mode_name(quality: int) -> str:
    """learned, transform or predictive."""
    return {TRANSFORM: "transform", PREDICTIVE: "predictive"}.get(quality, "learned")


@dataclass(frozen=True, eq=False)
class LoneTile:
    """What a transform-coded payload that flies alone says of itself before the coder's own bytes: `names` of its bands, its
    `height` and `width`; `start`: where those bytes begin. See `lone_head`.
    """

    names: tuple[str, ...]
    height: int
    width: int
    start: int

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return len(self.names), self.height, self.width


def lone_head(names: Sequence[str], height: int, width: int) -> bytes:
    """Of a tile of at most 256 x 256: height - 1, width - 1, then a mask of the thirteen bands in Sentinel-2's order
    (2 bytes, little-endian), or 0, 0, the number of bands and each name as a byte of length and UTF-8.
    """
    sides = bytes([height - 1, width - 1])
    mask = sum(1 << BAND_ORDER.index(n) for n in names) if set(names) <= set(BAND_ORDER) else 0
    if mask and tuple(n for n in BAND_ORDER if n in names) == tuple(names):
        return sides + mask.to_bytes(2, "little")
    texts = [n.encode() for n in names]
    return sides + bytes([0, 0, len(texts)]) + b"".join(bytes([len(t)]) + t for t in texts)


def read_lone_head(payload: bytes) -> LoneTile | None:
    """The head of a payload that flew alone; None where it is not all there. Raises PlainError."""
    if len(payload) < 4:
        return None
    height, width, mask = payload[0] + 1, payload[1] + 1, int.from_bytes(payload[2:4], "little")
    if mask:
        if mask >> len(BAND_ORDER):
            raise PlainError(f"lone tile: unknown bands in mask {mask:#06x}")
        return LoneTile(tuple(n for i, n in enumerate(BAND_ORDER) if mask >> i & 1), height, width, 4)
    names: list[str] = []
    at = 5
    while len(payload) >= 5 and len(names) < payload[4]:
        end = at + 1 + (payload[at] if at < len(payload) else 256)
        if end > len(payload):
            return None
        names.append(payload[at + 1 : end].decode("utf-8", "replace"))
        at = end
    if len(payload) < 5 or not 1 <= len(names) <= MAX_BANDS or len(set(names)) != len(names):
        if len(payload) < 5:
            return None
        raise PlainError(f"lone tile: expected 1 to {MAX_BANDS} different bands, found {names}")
    return LoneTile(tuple(names), height, width, at)


def lone_ends(payload: bytes, total: int) -> NDArray[np.int64] | None:
    """(17,) bytes after which the first k layers are whole of a lone payload of `total` bytes; None while its heads are
    not there. Raises PlainError.
    """
    lone = read_lone_head(payload)
    if lone is None:
        return None
    try:
        ends = transform_coder.layer_ends(payload[lone.start :], lone.shape, _known(lone.names), total - lone.start)
    except transform_coder.TransformCoderError as error:
        raise PlainError(str(error)) from error
    return None if ends is None else ends + np.where(np.arange(LAYERS + 1) > 0, lone.start, 0)


def decode_lone(payload: bytes) -> tuple[LoneTile, DecodedPlain]:
    """A prefix of a lone payload to counts. Raises PlainError."""
    lone = read_lone_head(payload)
    if lone is None:
        raise PlainError(f"{len(payload)} bytes are too few for a tile's head")
    valid = np.ones(lone.shape[1:], np.bool_)
    return lone, decode_plain(TRANSFORM, payload[lone.start :], lone.shape, valid, lone.names)


def seals(payload: bytes, ends: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.int16]:
    """(16, h, w) int16: the CRC-32 of every layer's bytes in its first two values (its low half where there is one), all
    else 0; 0 for layers that are not all here. What stands for a latent where the two sides compare what they hold.
    """
    found = np.zeros((LAYERS, size[0] * size[1]), np.uint16)
    for layer, (start, stop) in enumerate(zip(ends[:-1], ends[1:])):
        if stop <= len(payload):
            check = zlib.crc32(payload[int(start) : int(stop)])
            found[layer, :2] = (check & 0xFFFF, check >> 16)[: found.shape[1]]
    return found.view(np.int16).reshape(LAYERS, *size)


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
) -> CodedPlain:
    """Counts (C, H, W) uint16 by the transform coder; see `transform_coder.encode_tile`. Raises PlainError."""
    try:
        coded = transform_coder.encode_tile(counts, valid, _known(names), finest_dn, max_bytes, aim_bytes, weights)
    except transform_coder.TransformCoderError as error:
        raise PlainError(str(error)) from error
    total = len(coded.payload)
    shape = (counts.shape[0], counts.shape[1], counts.shape[2])
    ends = transform_coder.layer_ends(coded.payload, shape, _known(names), total)
    sizes = np.minimum(np.arange(LAYERS + 1) * total, total) if ends is None else ends
    fine = coded.curve_bytes, coded.curve_error
    return CodedPlain(TRANSFORM, coded.payload, sizes, coded.distortion, latent_size(shape), coded.head, fine)


def encode_lone(
    counts: Samples,
    valid: NDArray[np.bool_],
    names: Sequence[str],
    finest_dn: float,
    max_bytes: int,
    aim_bytes: int,
    weights: transform_coder.Weights | None = None,
) -> CodedPlain:
    """`encode_transform` of a tile whose segment flies alone: the payload says its bands and size itself."""
    head = lone_head(names, counts.shape[-2], counts.shape[-1])
    coded = encode_transform(counts, valid, names, finest_dn, max_bytes - len(head), aim_bytes, weights)
    sizes = coded.payload_sizes + np.where(np.arange(LAYERS + 1) > 0, len(head), 0)
    size, error = coded.fine or (coded.payload_sizes, coded.distortion)
    fine = size + np.where(np.arange(len(size)) > 0, len(head), 0), error
    return replace(coded, payload=head + coded.payload, payload_sizes=sizes, least=coded.least + len(head), fine=fine)


def encode_predictive(counts: Samples, valid: NDArray[np.bool_], max_error: int = 0) -> CodedPlain:
    """Counts (C, H, W), each valid one to come back within `max_error`. Raises PlainError."""
    try:
        coded = predictive.encode(counts, valid, max_error)
    except predictive.PredictiveError as error:
        raise PlainError(str(error)) from error
    head = bytes([max_error]) if max_error < _LONG else bytes([_LONG]) + max_error.to_bytes(4, "little")
    sizes = coded.sizes + np.where(np.arange(LAYERS + 1) > 0, len(head), 0)
    inside = counts[:, valid].astype(np.float64)
    energy = float(((inside - inside.mean(1, keepdims=True)) ** 2).sum()) if inside.size else 0.0
    left = 1 - np.arange(LAYERS + 1) / LAYERS  # layers are strips of rows
    exact = (max_error * (max_error + 1)) / 3 * inside.size
    return CodedPlain(
        PREDICTIVE, head + coded.payload, sizes, energy * left + exact * (1 - left), latent_size(counts.shape)
    )


@dataclass(frozen=True, eq=False)
class DecodedPlain:
    """`counts` (C, H, W) float32, `known` (C, H, W) bool: what a payload holds of a tile; `layers` that are whole.
    max_error: guaranteed for every known count, None where nothing is.
    """

    counts: NDArray[np.float32]
    known: NDArray[np.bool_]
    layers: int
    max_error: int | None = None


def decode_plain(
    quality: int,
    payload: bytes,
    shape: tuple[int, int, int],
    valid: NDArray[np.bool_],
    names: Sequence[str],
    layers: int = LAYERS,
) -> DecodedPlain:
    """A payload, or any prefix of one, of that quality byte, at most its first `layers` layers. Raises PlainError."""
    try:
        if quality == TRANSFORM:
            return _decode_transform(payload, shape, names, layers)
        if quality == PREDICTIVE:
            return _decode_predictive(payload, shape, valid, layers)
    except (transform_coder.TransformCoderError, predictive.PredictiveError) as error:
        raise PlainError(str(error)) from error
    raise PlainError(f"expected a mode without the network, found quality byte {quality}")


def greatest_error(payload: bytes) -> int:
    """The guarantee that a predictive payload starts with. Raises PlainError."""
    return _head(payload)[0]


def _head(payload: bytes) -> tuple[int, int]:
    """(greatest error, bytes it takes)."""
    length = 5 if payload[:1] == bytes([_LONG]) else 1
    if len(payload) < length:
        raise PlainError("the payload ends before its greatest error")
    return (payload[0], 1) if length == 1 else (int.from_bytes(payload[1:5], "little"), 5)


def _decode_transform(payload: bytes, shape: tuple[int, int, int], names: Sequence[str], layers: int) -> DecodedPlain:
    known = _known(names)
    ends = transform_coder.layer_ends(payload, shape, known, 1 << 40)  # not cut by what there is of it
    if layers < LAYERS and ends is not None:
        # With no layer at all the header alone still tells the means.
        payload = payload[: int(ends[layers]) if layers else int(ends[1] - transform_coder.first_target(shape))]
    tile = transform_coder.decode_tile(payload, shape, known)
    return DecodedPlain(tile.samples, np.full(shape, tile.started), min(tile.layers, layers))


def _decode_predictive(
    payload: bytes, shape: tuple[int, int, int], valid: NDArray[np.bool_], layers: int
) -> DecodedPlain:
    max_error, length = _head(payload)
    tile = predictive.decode(payload[length:], shape, valid, max_error)
    known = tile.known & (np.arange(shape[1]) < layers * shape[1] // LAYERS)[:, None]
    return DecodedPlain(tile.samples.astype(np.float32), known, min(tile.layers, layers), max_error)


def _known(names: Sequence[str]) -> tuple[str, ...] | None:
    """The bands by name where all are Sentinel-2's: what both sides then expect of them."""
    return tuple(names) if set(names) <= set(BANDS) else None
