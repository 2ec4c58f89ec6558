"""Tiles without the network whose segments fly alone: their payloads say bands, size and kind of samples themselves. Transform
tiles may be an earlier date for others; predictive ones are in lone_exact.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec import transform_coder
from swathpack.edge.codec.carrier import carried
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.pixels import MAX_FLIGHT_TILE, TILE
from swathpack.edge.codec.plain import (
    MAX_BANDS,
    CodedPlain,
    Counts,
    DecodedPlain,
    PlainError,
    Samples,
    against,
    decode_plain,
    encode_transform,
    known_names,
)
from swathpack.edge.radiometry import PLAIN, Radiometry
from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.header import BAND_ORDER
from swathpack.edge.stream.quality import TRANSFORM, is_learned
from swathpack.edge.stream.samples import pack_radiometry, unpack_radiometry
from swathpack.edge.stream.wire import Cursor

# Bits of the band mask: what the counts are is said; the sides' high bits follow.
_SAMPLES, _LARGE = 1 << 15, 1 << 14


@dataclass(frozen=True, eq=False)
class LoneTile:
    """What a payload that flies alone says of itself before anything else: `names` of its bands, its `height` and `width`, what
    its counts are; `start`: where the rest begins. See `lone_head`.
    """

    names: tuple[str, ...]
    height: int
    width: int
    start: int
    radiometry: Radiometry = PLAIN

    @property
    def shape(self) -> tuple[int, int, int]:
        """(C, H, W)."""
        return len(self.names), self.height, self.width


def lone_head(names: Sequence[str], height: int, width: int, radiometry: Radiometry = PLAIN) -> bytes:
    """Of a tile of at most MAX_FLIGHT_TILE a side: the low bytes of height - 1 and width - 1, then a mask of the thirteen bands in
    Sentinel-2's order (2 bytes, little-endian), or a mask of 0, the number of bands and each name as a byte of length and UTF-8.
    Bit 14 of the mask is set where a side is above 256: the high bits of height - 1 (bits 0-3) and of width - 1 (4-7) are in a byte
    behind the mask. Bit 15 is set where counts are not uint16 DN: a byte of length and what they are
    (`swathpack.edge.stream.samples`) are the last.
    """
    low, high = zip(*((side - 1 & 255, side - 1 >> 8) for side in (height, width)))
    samples, large = pack_radiometry(radiometry), any(high)
    said, mark = (bytes([len(samples)]) + samples, _SAMPLES) if samples else (b"", 0)
    more = bytes([high[0] | high[1] << 4]) if large else b""
    mask = sum(1 << BAND_ORDER.index(n) for n in names) if set(names) <= set(BAND_ORDER) else 0
    if tuple(n for n in BAND_ORDER if n in names) == tuple(names):
        listed = b""
    else:
        mask, texts = 0, [n.encode() for n in names]
        listed = bytes([len(texts)]) + b"".join(bytes([len(t)]) + t for t in texts)
    return bytes(low) + (mask | mark | _LARGE * large).to_bytes(2, "little") + more + listed + said


def read_lone_head(payload: bytes) -> LoneTile | None:
    """The head of a payload that flew alone; None where it is not all there. Raises PlainError."""
    if len(payload) < 4:
        return None
    mask = int.from_bytes(payload[2:4], "little")
    sides = _sides(payload, bool(mask & _LARGE))
    found = None if sides is None else _bands(payload, mask & ~(_SAMPLES | _LARGE), *sides)
    if found is None or not mask & _SAMPLES:
        return found
    end = found.start + 1 + (payload[found.start] if found.start < len(payload) else 256)
    if end > len(payload):
        return None
    try:
        core = Cursor(payload, found.start + 1, end)
        radiometry = unpack_radiometry(core)
        core.done()
    except StreamError as error:
        raise PlainError(f"lone tile: {error}") from error
    return replace(found, start=end, radiometry=radiometry)


def _sides(payload: bytes, large: bool) -> tuple[int, int, int] | None:
    """Height, width, and where the bands are listed if they are."""
    if not large:
        return payload[0] + 1, payload[1] + 1, 4
    if len(payload) < 5:
        return None
    height, width = (payload[0] | (payload[4] & 15) << 8) + 1, (payload[1] | (payload[4] >> 4) << 8) + 1
    if not TILE < max(height, width) <= MAX_FLIGHT_TILE:
        raise PlainError(f"lone tile: expected {TILE + 1} to {MAX_FLIGHT_TILE} pixels a side, found {height} x {width}")
    return height, width, 5


def _bands(payload: bytes, mask: int, height: int, width: int, start: int) -> LoneTile | None:
    """The head up to its bands."""
    if mask:
        if mask >> len(BAND_ORDER):
            raise PlainError(f"lone tile: unknown bands in mask {mask:#06x}")
        return LoneTile(tuple(n for i, n in enumerate(BAND_ORDER) if mask >> i & 1), height, width, start)
    if len(payload) <= start:
        return None
    names, count, at = list[str](), payload[start], start + 1
    while len(names) < count <= MAX_BANDS:
        end = at + 1 + (payload[at] if at < len(payload) else 256)
        if end > len(payload):
            return None
        names.append(payload[at + 1 : end].decode("utf-8", "replace"))
        at = end
    if not 1 <= count <= MAX_BANDS or len(set(names)) != count:
        raise PlainError(f"lone tile: expected 1 to {MAX_BANDS} different bands, found {names or count}")
    return LoneTile(tuple(names), height, width, at)


def lone_ends(payload: bytes, total: int) -> NDArray[np.int64] | None:
    """(17,) bytes after which the first k layers are whole of a lone payload of `total` bytes; None while its heads are
    not there. Raises PlainError.
    """
    lone = read_lone_head(payload)
    if lone is None:
        return None
    try:
        ends = transform_coder.layer_ends(
            payload[lone.start :], lone.shape, known_names(lone.names), total - lone.start
        )
    except transform_coder.TransformCoderError as error:
        raise PlainError(str(error)) from error
    return None if ends is None else ends + np.where(np.arange(LAYERS + 1) > 0, lone.start, 0)


def decode_lone(payload: bytes, date: Counts | None = None) -> tuple[LoneTile, DecodedPlain]:
    """A prefix of a lone payload to counts; date: what it was coded against. Raises PlainError."""
    lone = read_lone_head(payload)
    if lone is None:
        raise PlainError(f"{len(payload)} bytes are too few for a tile's head")
    valid = np.ones(lone.shape[1:], np.bool_)
    return lone, decode_plain(TRANSFORM, payload[lone.start :], lone.shape, valid, lone.names, date=date)


def encode_lone(
    counts: Samples,
    valid: NDArray[np.bool_],
    names: Sequence[str],
    finest_dn: float,
    max_bytes: int,
    aim_bytes: int,
    dates: Sequence[Counts] = (),
    weights: transform_coder.Weights | None = None,
    radiometry: Radiometry = PLAIN,
) -> CodedPlain:
    """`encode_transform`, and `against` the dates, of a tile whose segment flies alone: the payload says its bands and size
    itself.
    """
    head = lone_head(names, counts.shape[-2], counts.shape[-1], radiometry)
    alone = encode_transform(counts, valid, names, finest_dn, max_bytes - len(head), aim_bytes, weights)
    coded = against(alone, counts, valid, names, aim_bytes, dates)
    sizes = coded.payload_sizes + np.where(np.arange(LAYERS + 1) > 0, len(head), 0)
    size, error = coded.fine or (coded.payload_sizes, coded.distortion)
    fine = size + np.where(np.arange(len(size)) > 0, len(head), 0), error
    return replace(coded, payload=head + coded.payload, payload_sizes=sizes, least=coded.least + len(head), fine=fine)


def may_be_context(q: int, latent: NDArray[np.int16]) -> bool:
    """Whether later tiles may be coded against a confirmed one of that quality byte: a latent, or a date that stands alone."""
    return is_learned(q) or (q == TRANSFORM and stands_alone(latent))


def stands_alone(latent: NDArray[np.int16]) -> bool:
    """Whether a transform tile as `carrier.carry` has it may be an earlier date for others: it is there, and needs none."""
    payload = carried(latent)
    try:
        lone = read_lone_head(payload)
    except PlainError:
        return False
    return (
        lone is not None and len(payload) > lone.start + 1 and not transform_coder.is_predicted(payload[lone.start :])
    )


def date_in(latent: NDArray[np.int16]) -> tuple[LoneTile, Counts] | None:
    """The earlier date that such a tile is, as both sides draw it; None where it is none."""
    if not stands_alone(latent):
        return None
    try:
        lone, found = decode_lone(carried(latent))
    except PlainError:
        return None
    return (lone, transform_coder.counts_of(found.counts)) if found.known.any() else None
