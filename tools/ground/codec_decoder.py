"""The edge codec's decoding half for segments that flew alone (`swathpack.tools.ground.decoder.SegmentDecoder`)."""

from __future__ import annotations

import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.carrier import carry
from swathpack.edge.codec.flight import coding_context
from swathpack.edge.codec.latents import CHANNELS
from swathpack.edge.codec.layers import EmbeddedDecoder, tile_decoder
from swathpack.edge.codec.lone import LoneTile, date_in, decode_lone, lone_ends, read_lone_head
from swathpack.edge.codec.lone_exact import ExactTile, decode_exact, promised_error
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.plain import DecodedPlain, PlainError, latent_size
from swathpack.edge.codec.prediction import CodingError, Reconstruction, TileDecoder
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.stream import StreamError, lone_binding
from swathpack.edge.stream.quality import PREDICTIVE, TRANSFORM, is_learned
from swathpack.edge.stream.segment import (
    LONE_READABLE,
    RECORD_CRC_BYTES,
    SYNC,
    Segment,
    payload_of,
    unpack_front,
    wire_bytes,
)
from swathpack.tools.ground.decoder import DecodeError, SegmentHead

LONGEST_FRONT = 40


@dataclass(frozen=True)
class _Front:
    """A segment without its payload, where that starts, and the version of the format that it was written in."""

    segment: Segment
    start: int
    version: int

    @property
    def total_bytes(self) -> int:
        """Of the whole record."""
        return self.start + wire_bytes(self.segment, self.segment.payload_bytes) + RECORD_CRC_BYTES


class EdgeSegmentDecoder:
    """Reads heads and decodes prefixes of segments made by `swathpack.edge.codec.flight.FlightCodec` with the same model."""

    def __init__(self, model: EdgeModel) -> None:
        self.model = model
        self._bindings = {v: lone_binding(model.digest, model.tables_digest, v) for v in reversed(LONE_READABLE)}

    def _front(self, data: bytes) -> _Front | None:
        if not data:
            return None
        if data[0] != SYNC:
            raise DecodeError(f"expected a segment, found a first byte {data[0]:#04x}")
        problem: StreamError | None = None
        for version, binding in self._bindings.items():
            try:
                return _Front(*unpack_front(data, 0, binding), version)
            except StreamError as error:
                problem = problem or error
        if len(data) < LONGEST_FRONT:
            return None
        raise DecodeError(str(problem)) from problem

    def head(self, data: bytes) -> SegmentHead | None:
        """See `SegmentDecoder.head`."""
        found = self._front(data)
        if found is None:
            return None
        s = found.segment
        return SegmentHead(
            TileKey(s.tile, s.frame),
            s.quality_byte,
            (CHANNELS, s.grid_h, s.grid_w),
            tuple(c.digest for c in s.contexts),
            found.total_bytes,
        )

    def decode(self, data: bytes, contexts: Sequence[ContextLatent]) -> tuple[NDArray[np.int16], int]:
        """See `SegmentDecoder.decode`; of a tile without the network other things stand for the latent (`swathpack.edge.codec.carrier`)."""
        front = self._front(data)
        if front is not None and not is_learned(front.segment.quality_byte):
            return self._bytes(data, front, contexts)
        decoder, fault = self._decoder(data, contexts)
        if fault:
            raise DecodeError(fault, decoder.latent, decoder.layers)
        return decoder.latent, decoder.layers

    def image(self, data: bytes, contexts: Sequence[ContextLatent] = ()) -> tuple[LoneTile, DecodedPlain]:
        """The counts of a prefix of a transform-coded segment, given the contexts that it names. Raises DecodeError."""
        front = self._front(data)
        if front is None:
            raise DecodeError(f"{len(data)} bytes are too few for a segment's head")
        payload = payload_of(front.segment, data, front.start).payload
        try:
            _check_size(payload, (front.segment.grid_h, front.segment.grid_w))
            date = date_in(contexts[0].latent) if contexts else None
            return decode_lone(payload, date[1] if date else None)
        except PlainError as error:
            raise DecodeError(str(error)) from error

    def exact(self, data: bytes) -> ExactTile | None:
        """The counts of the whole layers of a prefix of a predictive segment; None while its front is not here. Raises DecodeError."""
        front = self._front(data)
        if front is None:
            return None
        try:
            return _exact(payload_of(front.segment, data, front.start).payload, front.segment)
        except PlainError as error:
            raise DecodeError(str(error)) from error

    def greatest_error(self, data: bytes) -> int | None:
        """What a predictive segment promises, from its first bytes; None while they are too few. Raises DecodeError."""
        front = self._front(data)
        if front is None or front.segment.quality_byte != PREDICTIVE:
            return None
        try:
            return promised_error(payload_of(front.segment, data, front.start).payload)
        except PlainError as error:
            raise DecodeError(str(error)) from error

    def lone(self, data: bytes) -> LoneTile | None:
        """The head of the payload of a tile without the network, from its first bytes. Raises DecodeError."""
        front = self._front(data)
        try:
            return None if front is None else read_lone_head(payload_of(front.segment, data, front.start).payload)
        except PlainError as error:
            raise DecodeError(str(error)) from error

    def _bytes(self, data: bytes, front: _Front, contexts: Sequence[ContextLatent]) -> tuple[NDArray[np.int16], int]:
        s = front.segment
        if s.layer_start or len(s.contexts) > (s.quality_byte == TRANSFORM):
            raise DecodeError("expected a whole tile, with at most one context if the transform coder made it")
        if tuple(c.digest for c in s.contexts) != tuple(c.digest for c in contexts):
            raise DecodeError("coded against other contexts than those given")
        payload, confirmed, failed = payload_of(s, data, front.start)
        fault = "a check between its chunks differs" if failed else ""
        if not failed and self._whole_but_wrong(data, front):
            payload, fault = payload[:confirmed], "the checksum of the whole segment differs"
        try:
            latent, layers = _held(payload, s)
        except PlainError as error:
            raise DecodeError(str(error)) from error
        if fault:
            raise DecodeError(fault, latent, layers)
        return latent, layers

    def reconstruction(self, data: bytes, contexts: Sequence[ContextLatent]) -> Reconstruction:
        """What synthesis takes, with the model's means for layers that `data` lacks. Raises DecodeError."""
        return self._decoder(data, contexts)[0].reconstruction()

    def _decoder(self, data: bytes, contexts: Sequence[ContextLatent]) -> tuple[TileDecoder | EmbeddedDecoder, str]:
        """A decoder with the layers that are here and good, and what is wrong with the others."""
        front = self._front(data)
        if front is None:
            raise DecodeError(f"{len(data)} bytes are too few for a segment's head")
        s = front.segment
        if tuple(c.digest for c in s.contexts) != tuple(c.digest for c in contexts):
            raise DecodeError("coded against other contexts than those given")
        if s.layer_start:
            raise DecodeError(f"expected layers from 0, found from {s.layer_start}")
        payload, checked = payload_of(s, data, front.start).payload, front.version > 1
        try:
            coding = [coding_context(c) for c in contexts]
            decoder = tile_decoder(self.model.engine, self.model.tables, coding, s.quality_byte, (s.grid_h, s.grid_w))
        except CodingError as error:
            raise DecodeError(str(error)) from error
        try:
            decoder.decode(payload, s.layer_count, checked=checked)
        except CodingError as error:
            return decoder, str(error)
        if self._whole_but_wrong(data, front):
            decoder.forget(decoder.confirmed)
            return decoder, "the checksum of the whole segment differs"
        return decoder, ""

    def _whole_but_wrong(self, data: bytes, front: _Front) -> bool:
        if len(data) < front.total_bytes:
            return False  # its packets' checksums vouch for what is here
        stop = front.total_bytes - RECORD_CRC_BYTES
        expected = int.from_bytes(data[stop : front.total_bytes], "little")
        return zlib.crc32(data[:stop], self._bindings[front.version]) != expected


def _held(payload: bytes, s: Segment) -> tuple[NDArray[np.int16], int]:
    """What stands for a latent of a prefix of a payload, and its whole layers. Raises PlainError."""
    size = (s.grid_h, s.grid_w)
    nothing = np.zeros((CHANNELS, *size), np.int16), 0
    if s.quality_byte == PREDICTIVE:
        found = _exact(payload, s)
        return nothing if found is None else (found.stand_in, found.layers)
    _check_size(payload, size)
    ends = lone_ends(payload, s.payload_bytes)
    if ends is None:
        return nothing
    layers = int((ends[1:] <= len(payload)).sum())
    return carry(payload[: int(ends[layers])], ends, size), layers


def _exact(payload: bytes, s: Segment) -> ExactTile | None:
    _check_size(payload, (s.grid_h, s.grid_w))
    return decode_exact(payload)


def _check_size(payload: bytes, size: tuple[int, int]) -> None:
    """That a lone payload's own size is the one of its segment's head. Raises PlainError."""
    lone = read_lone_head(payload)
    if lone is not None and latent_size(lone.shape) != size:
        raise PlainError(
            f"expected a tile of {size[0]} x {size[1]} positions, found {lone.height} x {lone.width} pixels"
        )
