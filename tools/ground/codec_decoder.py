"""The edge codec's decoding half for segments that flew alone (`swathpack.tools.ground.decoder.SegmentDecoder`)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.flight import coding_context
from swathpack.edge.codec.latents import CHANNELS
from swathpack.edge.codec.layers import EmbeddedDecoder, tile_decoder
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.prediction import CodingError, Reconstruction, TileDecoder
from swathpack.edge.codec.protocol import ContextLatent, TileKey
from swathpack.edge.stream import StreamError, lone_binding, segment_overhead_bytes
from swathpack.edge.stream.segment import SYNC, Segment, unpack_front
from swathpack.tools.ground.decoder import DecodeError, SegmentHead

LONGEST_FRONT = 40


class EdgeSegmentDecoder:
    """Reads heads and decodes prefixes of segments made by `swathpack.edge.codec.flight.FlightCodec` with the same model."""

    def __init__(self, model: EdgeModel) -> None:
        self.model, self.binding = model, lone_binding(model.digest, model.tables_digest)

    def _front(self, data: bytes) -> tuple[Segment, int] | None:
        if not data:
            return None
        if data[0] != SYNC:
            raise DecodeError(f"expected a segment, found a first byte {data[0]:#04x}")
        try:
            return unpack_front(data, 0, self.binding)
        except StreamError as error:
            if len(data) < LONGEST_FRONT:
                return None
            raise DecodeError(str(error)) from error

    def head(self, data: bytes) -> SegmentHead | None:
        """See `SegmentDecoder.head`."""
        found = self._front(data)
        if found is None:
            return None
        s, _ = found
        total = s.payload_bytes + segment_overhead_bytes(replace(s, truncated=False), s.payload_bytes)
        return SegmentHead(
            TileKey(s.tile, s.frame),
            s.quality_byte,
            (CHANNELS, s.grid_h, s.grid_w),
            tuple(c.digest for c in s.contexts),
            total,
        )

    def decode(self, data: bytes, contexts: Sequence[ContextLatent]) -> tuple[NDArray[np.int16], int]:
        """See `SegmentDecoder.decode`."""
        decoder = self._decoder(data, contexts)
        return decoder.latent, decoder.layers

    def reconstruction(self, data: bytes, contexts: Sequence[ContextLatent]) -> Reconstruction:
        """What synthesis takes, with the model's means for layers that `data` lacks. Raises DecodeError."""
        return self._decoder(data, contexts).reconstruction()

    def _decoder(self, data: bytes, contexts: Sequence[ContextLatent]) -> TileDecoder | EmbeddedDecoder:
        found = self._front(data)
        if found is None:
            raise DecodeError(f"{len(data)} bytes are too few for a segment's head")
        s, start = found
        if tuple(c.digest for c in s.contexts) != tuple(c.digest for c in contexts):
            raise DecodeError("coded against other contexts than those given")
        if s.layer_start:
            raise DecodeError(f"expected layers from 0, found from {s.layer_start}")
        coding = [coding_context(c) for c in contexts]
        try:
            decoder = tile_decoder(self.model.engine, self.model.tables, coding, s.quality_byte, (s.grid_h, s.grid_w))
            decoder.decode(data[start : start + s.payload_bytes], s.layer_count)
        except CodingError as error:
            raise DecodeError(str(error)) from error
        return decoder
