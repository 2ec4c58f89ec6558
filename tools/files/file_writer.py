"""A stream written to a file record by record, its header last: it tells the length."""

from __future__ import annotations

from collections import Counter
from typing import IO

from swathpack.edge.codec.plain import mode_name
from swathpack.edge.stream import Extension, FrameRecord, Header, Segment, StreamError, StreamWriter


class FileWriter(StreamWriter):
    """As `StreamWriter`, in a file opened for reading and writing. Nothing of it is a stream before `finish`. modes: how many
    tiles are coded how.
    """

    def __init__(self, header: Header, file: IO[bytes]) -> None:
        super().__init__(header)
        self._file, self.modes = file, Counter[str]()
        file.write(bytes(self.size))

    def add(self, record: Segment | FrameRecord | Extension) -> int:
        """Append a record; returns its bytes."""
        if isinstance(record, Segment):
            self.modes[mode_name(record.quality_byte)] += 1
        return super().add(record)

    def add_packed(self, record: bytes) -> int:
        """Append a record made by `pack` to the file; returns its bytes."""
        if not record:
            raise StreamError("expected a packed record, found no bytes")
        self._file.write(record)
        self._size += len(record)
        return len(record)

    def finish(self) -> None:
        """Write the header."""
        self._file.seek(0)
        self._file.write(self.header.pack(self._size))
        self._file.flush()

    def to_bytes(self) -> bytes:
        """The file."""
        self._file.seek(0)
        return self._file.read()
