"""Where every byte of a stream goes: a row for each kind of thing, which together are the file."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.plain import known_names, mode_name
from swathpack.edge.codec.transform_coder import TransformCoderError, first_target, layer_ends
from swathpack.edge.stream import FrameRecord, Header, Segment, Stream, header_bytes, overhead_in
from swathpack.edge.stream.quality import TRANSFORM
from swathpack.edge.stream.segment import wire_bytes
from swathpack.tools.files.api import record_spans

_ENDLESS = 1 << 40
SHORT_FROM = 3  # version of the stream whose records are short


@dataclass(frozen=True)
class ByteRow:
    """kind: what the bytes are. count: of the things. bytes: of all of them."""

    kind: str
    count: int
    bytes: int


def byte_table(stream: Stream, total: int) -> list[ByteRow]:
    """Rows whose bytes add up to `total`, the length of the file; what is damaged is part of the record before it, or named."""
    found: dict[str, list[int]] = {}

    def note(kind: str, size: int) -> None:
        row = found.setdefault(kind, [0, 0])
        row[0], row[1] = row[0] + 1, row[1] + size

    note("file header", header_bytes(stream.header))
    for record, size in record_spans(stream, total):
        if isinstance(record, Segment):
            for kind, part in _segment(stream.header, record, size):
                note(kind, part)
        elif isinstance(record, FrameRecord):
            packed = len(record.mask or b"") + len(record.holes or b"")
            note("frame records", size - packed)
            if packed:
                note("masks and holes", packed)
        else:
            note("what files said", size)
    left = total - sum(size for _, size in found.values())
    if left:
        note("nothing readable", left)
    return [ByteRow(kind, count, size) for kind, (count, size) in found.items()]


def _segment(header: Header, segment: Segment, size: int) -> list[tuple[str, int]]:
    """Of a cut or damaged record what of it is not used is named apart, with what is damaged behind it."""
    mode, payload = mode_name(segment.quality_byte), len(segment.payload)
    checks = wire_bytes(segment, payload) - payload
    around = overhead_in(header if header.version >= SHORT_FROM else None, segment, segment.payload_bytes)
    around -= wire_bytes(segment, segment.payload_bytes) - segment.payload_bytes
    around = min(around, size - payload - checks)
    kinds = [("around segments", around), (f"{mode} tiles", payload), ("checks between chunks", checks)]
    head = _head_bytes(header, segment)
    if head is not None:
        kinds[1:2] = [("transform tiles: means, bases, gains", head), ("transform tiles: blocks", payload - head)]
    kinds.append(("of cut or damaged tiles, not used", size - payload - checks - around))
    return [row for row in kinds if row[1] > 0]


def layers_within(header: Header, segment: Segment) -> int | None:
    """Whole layers of a transform payload by its length: that many are there, and all where the coder had no more to say; None
    for other tiles.
    """
    ends = _ends(header, segment)
    return None if ends is None else int(np.searchsorted(ends[1:], len(segment.payload), "right"))


def _ends(header: Header, segment: Segment) -> NDArray[np.int64] | None:
    """(17,) bytes at which layers of a transform payload end; None of other payloads, and where its head is not whole."""
    if segment.quality_byte != TRANSFORM or segment.layer_start:
        return None
    shape = (len(header.bands), *header.tile_shape(segment.tile))
    try:
        return layer_ends(segment.payload, shape, known_names(header.bands), _ENDLESS)
    except TransformCoderError:
        return None


def _head_bytes(header: Header, segment: Segment) -> int | None:
    """Bytes of a transform payload before its first block; all where it ends before that; None of other payloads."""
    if segment.quality_byte != TRANSFORM or segment.layer_start:
        return None
    ends, shape = _ends(header, segment), (len(header.bands), *header.tile_shape(segment.tile))
    return len(segment.payload) if ends is None else min(int(ends[1]) - first_target(shape), len(segment.payload))


def text(rows: list[ByteRow]) -> str:
    """The same for people."""
    total = sum(row.bytes for row in rows)
    lines = [f"{'':40}{'count':>8}{'bytes':>12}{'share':>9}"]
    lines += [f"{row.kind:40}{row.count:8}{row.bytes:12}{100 * row.bytes / total:7.1f} %" for row in rows]
    return "\n".join([*lines, f"{'all':48}{total:12}"])
