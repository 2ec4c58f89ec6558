"""The codec in three calls, for the bench and for scripts."""

from __future__ import annotations

from collections.abc import Sequence

from swathpack.codec import filters, seams, squares
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.tile_coder import RDO_SLOPE
from swathpack.edge.digests import bytes_digest
from swathpack.edge.frame import Frame
from swathpack.edge.stream import Extension, FrameRecord, Segment, Stream, read_stream
from swathpack.edge.stream.quality import MAX_SHIFT
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.models import open_model

# Of what the encoder makes of one model: from 2 on with a base layer, from 4 on with adaptive scales, from 5 on with weights, from 7 on
# with a trellis and with what later dates inherit, from 8 on with earlier dates moved by parts of a pixel, from 9 on in large tiles,
# from 10 on with first payloads of twice the aim, from 11 on with tiles looked further for than six times it, from 12 on with bases for
# twice as many bytes, from 13 on with bases turned to where blocks take least.
CODING_VERSION = 13


def model(threads: int = 1) -> EdgeModel:
    """The shipped model, opened once."""
    return open_model(threads=threads)


def model_version() -> str:
    """The model's digest, the version of the coding and what images are drawn with, for caches of results."""
    return f"{model().digest.hex()} c{CODING_VERSION} d{drawing()}"


def drawing() -> str:
    """What images are drawn with, for all that keeps drawn tiles or measures of them: tables may be fitted anew from one version to the
    next; the words are of the code.
    """
    tables = [bytes_digest(file.read_bytes()) for file in (filters.FILE, squares.FILE, seams.FILE)]
    return bytes_digest(b"filters, strips" + b"".join(tables), 4).hex()


def encode_series(
    frames: Sequence[Frame],
    q: int,
    layers: int = LAYERS,
    intra_every: int = 0,
    slope: float = RDO_SLOPE,
    shift: int = MAX_SHIFT,
    mode: str = "auto",
    weights: str = "auto",
) -> bytes:
    """One stream for a series at quantiser step q; other parameters as in `SeriesEncoder`."""
    encoder = SeriesEncoder(model(), list(frames), None, intra_every, slope, shift, mode, (), weights)
    return encoder.at_quality(q, layers)


def decode_series(stream: bytes) -> list[Frame]:
    """The frames of a stream, from its bytes alone."""
    return StreamDecoder(model(), stream).frames().frames


def record_sizes(stream: Stream, total: int) -> dict[tuple[int, int], int]:
    """Bytes of every segment and frame record, keyed by (frame, offset); `total` is the length of the
    file.
    """
    found = {}
    for record, size in record_spans(stream, total):
        if not isinstance(record, Extension):
            found[record.frame if isinstance(record, Segment) else record.index, record.offset] = size
    return found


def record_spans(stream: Stream, total: int) -> list[tuple[Segment | FrameRecord | Extension, int]]:
    """Every record in the order of the file, and the bytes to the next one."""
    records: list[Segment | FrameRecord | Extension] = [*stream.segments, *stream.frames, *stream.extensions]
    records.sort(key=lambda record: record.offset)
    ends = [record.offset for record in records[1:]] + [total]
    return [(record, end - record.offset) for record, end in zip(records, ends)]


def frame_bytes(stream: bytes) -> list[int]:
    """Bytes of each frame's records, without the file header and extensions."""
    parsed = read_stream(stream)
    sizes = [0] * parsed.header.frames
    for (frame, _), size in record_sizes(parsed, len(stream)).items():
        sizes[frame] += size
    return sizes
