"""A complete embedded transform coder without a network, for any band set and rate; see docs/codec.md."""

from swathpack.edge.codec.transform_coder.head import TransformCoderError
from swathpack.edge.codec.transform_coder.prediction import counts_of
from swathpack.edge.codec.transform_coder.tile import (
    LAYERS,
    CodedTile,
    DecodedTile,
    decode_tile,
    encode_against,
    encode_tile,
    first_target,
    is_predicted,
    layer_ends,
)

__all__ = [
    "LAYERS",
    "CodedTile",
    "DecodedTile",
    "TransformCoderError",
    "counts_of",
    "decode_tile",
    "encode_against",
    "encode_tile",
    "first_target",
    "is_predicted",
    "layer_ends",
]
