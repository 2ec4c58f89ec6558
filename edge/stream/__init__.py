"""The SwathPack stream (docs/stream.md): file header, frame and extension records, segments."""

from __future__ import annotations

from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.header import Header, header_bytes, unpack_header
from swathpack.edge.stream.masks import pack_holes, pack_mask, unpack_holes, unpack_mask
from swathpack.edge.stream.reader import Stream, read_segment, read_segment_in, read_stream
from swathpack.edge.stream.records import (
    Extension,
    FrameRecord,
    pack_extension,
    pack_frame,
)
from swathpack.edge.stream.scanner import Problem
from swathpack.edge.stream.segment import (
    ContextRef,
    Segment,
    lone_binding,
    pack_segment,
    segment_overhead_bytes,
)
from swathpack.edge.stream.short import Marks, overhead_in, room_in
from swathpack.edge.stream.writer import StreamWriter

__all__ = [
    "ContextRef",
    "Extension",
    "FrameRecord",
    "Header",
    "Marks",
    "Problem",
    "Segment",
    "Stream",
    "StreamError",
    "StreamWriter",
    "header_bytes",
    "lone_binding",
    "overhead_in",
    "pack_extension",
    "pack_frame",
    "pack_holes",
    "pack_mask",
    "pack_segment",
    "read_segment",
    "read_segment_in",
    "read_stream",
    "room_in",
    "segment_overhead_bytes",
    "unpack_header",
    "unpack_holes",
    "unpack_mask",
]
