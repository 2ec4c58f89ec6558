"""A complete embedded transform coder without a network, for any band set and rate; see docs/codec.md."""

from swathpack.edge.codec.transform_coder.tile import (
    LAYERS,
    CodedTile,
    DecodedTile,
    TransformCoderError,
    decode_tile,
    encode_tile,
    first_target,
    layer_ends,
)

__all__ = [
    "LAYERS",
    "CodedTile",
    "DecodedTile",
    "TransformCoderError",
    "decode_tile",
    "encode_tile",
    "first_target",
    "layer_ends",
]
