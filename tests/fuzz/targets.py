"""What is fuzzed: the targets of the campaign, and the parsers of files that only the ground reads."""

from __future__ import annotations

import json
import zlib
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import numpy as np

from swathpack.edge.codec import predictive
from swathpack.edge.codec.layers import tile_decoder
from swathpack.edge.codec.lone_exact import ExactCoder, decode_exact
from swathpack.edge.codec.plain import PlainError
from swathpack.edge.codec.prediction import CodingError
from swathpack.edge.codec.rangecoder import PayloadEnded, RangeCoderError, new_decoder, new_encoder
from swathpack.edge.codec.transform_coder.tile import TransformCoderError, decode_tile, encode_tile
from swathpack.edge.sources.acquisition import samples_of
from swathpack.edge.stream import Segment, StreamError, pack_mask, pack_segment, read_stream
from swathpack.edge.stream.contours import pack_contours
from swathpack.edge.stream.edges import edge_rows, pack_edges
from swathpack.edge.stream.masks import mask_rows
from swathpack.edge.stream.segment import lone_binding
from swathpack.hil_tests.promises import fuzz_targets
from swathpack.hil_tests.promises.fuzz_targets import Target
from swathpack.tools.commands.inspect import describe, text
from swathpack.tools.errors import UserError
from swathpack.tools.files.byte_table import byte_table
from swathpack.tools.files.rasters import pack_metadata, packing, unpack_metadata
from swathpack.tools.files.rasters.series import array_from_json, array_to_json
from swathpack.tools.ground.codec_decoder import EdgeSegmentDecoder
from swathpack.tools.ground.decoder import DecodeError

CORPUS = Path(__file__).with_name("corpus")
MOST_BYTES = 4096
_SHAPE = (3, 16, 20)
_FILES = {"format": "raster", "files": [[{"name": f"a_{n}.tif", "x": n + 0.123456789012}] for n in (998, 1001, 1004)]}


def targets() -> list[Target]:
    """All of them; `files` play no part here."""
    return [target for group in GROUPS for target in group()]


def target_of(name: str) -> Target:
    """One of them."""
    for target in targets():
        if target.name == name:
            return target
    raise ValueError(f"expected a target of tests.fuzz, found {name!r}")


def load_all() -> None:
    """Import all that targets import late."""
    targets()


def slug(name: str) -> str:
    """A target's folder in the corpus."""
    return name.replace(" ", "-")


def file_targets() -> list[Target]:
    """Parsers of files."""
    mask = np.ones((64, 48), bool)
    mask[5:30, 7:40] = False
    metadata = {"format": "npz", "extra": {"a": array_to_json(np.arange(5)), "b": array_to_json(np.eye(3))}}
    segment = pack_segment(
        Segment(1000, 3, 20, 0, 16, 4, 4, payload=bytes(range(40))), lone_binding(b"modelmod", b"tabl")
    )
    head = EdgeSegmentDecoder(SimpleNamespace(digest=b"modelmod", tables_digest=b"tabl")).head  # type: ignore[arg-type]
    return [
        Target("mask", lambda d: list(mask_rows(d, 64, 48, 16)), (StreamError,), [pack_mask(mask) or b""], ()),
        Target("edges", lambda d: list(edge_rows(d, 64, 48, 16)), (StreamError,), [pack_edges(mask) or b""], ()),
        Target("contours", lambda d: list(edge_rows(d, 64, 48, 16)), (StreamError,), [pack_contours(mask) or b""], ()),
        Target("inspect", _inspect, (StreamError,), [fuzz_targets.small_stream()], ()),
        Target("metadata", _metadata, (UserError,), [zlib.decompress(pack_metadata(metadata))], ()),
        Target("packed metadata", packing.unpack, (UserError,), [packing.pack(metadata), packing.pack(_FILES)], ()),
        Target("segment head", head, (DecodeError,), [segment, segment[:12]], ()),
    ]


def terracodec_targets() -> list[Target]:
    """Parsers of TerraCodec's streams; their package loads torch."""
    from swathpack.codec.terracodec import guards, stream

    header = stream.Header("tt", 16, 12, 1, 64, 64, bytes(8), bytes(4))
    file = stream.pack_stream(header, [stream.FrameBody(b"abc", (1, 2), b"guard")])
    some = guards.pack_guards(np.arange(3, 400, 13), np.ones(31, bool))
    return [
        Target("guards", guards.unpack_guards, (guards.GuardError,), [some], ()),
        Target("terracodec", stream.unpack_stream, (stream.StreamError,), [file], ()),
    ]


def coder_targets() -> list[Target]:
    """Payloads of every coder of tiles; what they decode to is not looked at."""
    rng = np.random.default_rng(4)
    pixels = (1000 + 200 * rng.standard_normal(_SHAPE)).astype(np.uint16)
    lossless = predictive.encode(pixels.astype(np.int32), None, 2).payload
    refined = predictive.encode(pixels.astype(np.int32), None, 2, refined=True).payload
    embedded = encode_tile(pixels).payload
    return [
        Target("layers", *_layers(), []),  # type: ignore[arg-type]
        Target("bounded range coder", *_bounded()),
        Target(
            "predictive", lambda d: predictive.decode(d, _SHAPE, None, 2), (predictive.PredictiveError,), [lossless], ()
        ),
        Target(
            "refined predictive",
            lambda d: predictive.decode(d, _SHAPE, None, 2, refined=True),
            (predictive.PredictiveError,),
            [refined],
            (),
        ),
        Target("transform coder", lambda d: decode_tile(d, _SHAPE), (TransformCoderError,), [embedded], ()),
        Target("exact tile", decode_exact, (PlainError,), _exact_seeds(pixels), ()),
    ]


def _exact_seeds(pixels: np.ndarray) -> list[bytes]:
    """Payloads that fly alone: with a mask, signed samples and a name that is no band's; small, so that many are tried."""
    valid = np.ones(_SHAPE[1:], np.bool_)
    valid[3:9, 2:20] = False
    coder, small = ExactCoder(), np.s_[..., :12, :10]
    signed = coder.encode(
        pixels[small], valid[small], ("B02", "B03", "B04")[: len(pixels)], 300, samples_of("int16", -9999.0)
    )
    return [signed.payload, coder.encode(pixels[:1][small], valid[small], ("x",), 0).payload]


def _inspect(data: bytes) -> None:
    stream = read_stream(data)
    json.dumps(text(describe(stream, len(data))))
    assert sum(row.bytes for row in byte_table(stream, len(data))) == len(data)


def _metadata(data: bytes) -> None:
    found = unpack_metadata(zlib.compress(data))
    extra = found.get("extra")
    for item in extra.values() if isinstance(extra, dict) else ():
        if isinstance(item, dict):
            array_from_json(item)


def _layers() -> tuple[Callable[[bytes], object], tuple[type[BaseException], ...], list[bytes]]:
    """A tile of 64 x 64 pixels with a base layer, decoded by the shipped model."""
    from tests.codec_models import shipped

    model = shipped()

    def call(data: bytes) -> None:
        decoder = tile_decoder(model.engine, model.tables, (), 8 | 3 << 6, (4, 4))
        decoder.decode(data, 16)
        assert 0 <= decoder.confirmed <= decoder.layers <= 16

    return call, (CodingError,), [bytes(range(64))]


def _bounded() -> tuple[Callable[[bytes], object], tuple[type[BaseException], ...], list[bytes], tuple[str, ...]]:
    """Symbols in intervals and plain bits, by the C decoder on real tables."""
    from tests.codec_models import shipped

    tables, rng = shipped().tables, np.random.default_rng(6)
    index = rng.integers(0, tables.n_tables, 64).astype(np.uint16)
    low = rng.integers(-9, 5, 64).astype(np.int32)
    high = (low + rng.integers(0, 16, 64)).astype(np.int32)
    encoder = new_encoder(tables)
    encoder.encode_bounded(low, index, low, high)
    encoder.encode_bits(0x5A5, 12)

    def call(data: bytes) -> None:
        decoder = new_decoder(tables, data)
        for _ in range(6):
            found = decoder.decode_bounded(index, low, high)
            assert ((found >= low) & (found <= high)).all() and decoder.decode_bits(12) < 1 << 12

    return call, (RangeCoderError, PayloadEnded), [encoder.payload()], ()


GROUPS: tuple[Callable[[], list[Target]], ...] = (
    fuzz_targets.targets,
    file_targets,
    coder_targets,
    terracodec_targets,
)
