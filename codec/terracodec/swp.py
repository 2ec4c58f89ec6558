"""The family's streams inside our `.swp` file (edge/stream), so that one file format carries all.

The file header names the model, tables, size, bands and times as for the flight codec; the stream itself
follows in extension records of tag 84 (`T`), each up to 1 MiB, in order. Readers that do not know the tag
keep the records and find no segments.
"""

from __future__ import annotations

from swathpack.codec.terracodec.stream import StreamError, unpack_header
from swathpack.edge.stream import Extension, StreamWriter, read_stream
from swathpack.edge.stream import Header as FileHeader
from swathpack.edge.stream import StreamError as FileError
from swathpack.edge.stream.records import MAX_EXTENSION_BYTES

TAG = 84


def to_swp(data: bytes, bands: tuple[str, ...], level: str = "unknown") -> bytes:
    """A stream of `encode_series` as a `.swp` file. bands: names, one per band of the stream."""
    header = unpack_header(data)
    if len(bands) != header.bands:
        raise StreamError(f"expected {header.bands} band names, found {len(bands)}")
    try:
        file_header = FileHeader(
            model_digest=header.model_digest,
            tables_digest=header.tables_digest,
            frames=header.frames,
            height=header.height,
            width=header.width,
            bands=bands,
            level=level,
        )
    except FileError as error:
        raise StreamError(f"this series does not fit a .swp file: {error}") from error
    writer = StreamWriter(file_header)
    for first in range(0, len(data), MAX_EXTENSION_BYTES):
        writer.add(Extension(TAG, data[first : first + MAX_EXTENSION_BYTES]))
    return writer.to_bytes()


def from_swp(file: bytes) -> bytes:
    """The family's stream in a `.swp` file; StreamError if there is none or the file is damaged."""
    try:
        stream = read_stream(file)
    except FileError as error:
        raise StreamError(f"expected a .swp file: {error}") from error
    if stream.problems:
        raise StreamError(f"expected an intact .swp file, found: {stream.problems[0].message}")
    pieces = [extension.data for extension in stream.extensions if extension.tag == TAG]
    if not pieces:
        raise StreamError("expected a TerraCodec stream (extension tag 84) in the file, found none")
    return b"".join(pieces)
