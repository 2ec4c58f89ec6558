"""Put a stream together record by record, knowing its exact size at every moment."""

from __future__ import annotations

from swathpack.edge.stream.errors import StreamError
from swathpack.edge.stream.header import Header, header_bytes
from swathpack.edge.stream.records import Extension, FrameRecord, pack_extension, pack_frame
from swathpack.edge.stream.segment import Segment
from swathpack.edge.stream.short import Marks, pack_in


class StreamWriter:
    """Collects packed records behind a header. `size` is the exact length of `to_bytes()` at any time."""

    def __init__(self, header: Header) -> None:
        self.header = header
        self.binding = header.binding
        self._marks = Marks()
        self._records: list[bytes] = []
        self._size = header_bytes(header)

    @property
    def size(self) -> int:
        """Bytes of the file so far, the header included."""
        return self._size

    def add(self, record: Segment | FrameRecord | Extension) -> int:
        """Append a record; returns its bytes."""
        return self.add_packed(self.pack(record))

    def pack(self, record: Segment | FrameRecord | Extension) -> bytes:
        """The record as this file would hold it, without adding it; those that a segment was coded against are here already."""
        if isinstance(record, Segment):
            return pack_in(self.header, record, self._marks)
        if isinstance(record, FrameRecord):
            return pack_frame(record, self.binding)
        return pack_extension(record, self.binding)

    def add_packed(self, record: bytes) -> int:
        """Append a record made by `pack`; returns its bytes."""
        if not record:
            raise StreamError("expected a packed record, found no bytes")
        self._records.append(record)
        self._size += len(record)
        return len(record)

    def to_bytes(self) -> bytes:
        """The file, its total length in the header."""
        return b"".join([self.header.pack(self._size), *self._records])
