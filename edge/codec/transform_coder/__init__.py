"""A complete embedded transform coder without a network, for any band set and rate; see docs/transform_coder.md."""

from swathpack.edge.codec.transform_coder.against import encode_against
from swathpack.edge.codec.transform_coder.head import TransformCoderError, is_predicted
from swathpack.edge.codec.transform_coder.prediction import counts_of
from swathpack.edge.codec.transform_coder.tile import (
    LAYERS,
    CodedTile,
    DecodedTile,
    decode_tile,
    encode_tile,
    first_target,
    layer_ends,
    weights_in,
)
from swathpack.edge.codec.transform_coder.trellis import OTHERS, WORTH, refine_payload, refine_payloads
from swathpack.edge.codec.transform_coder.water import agreement
from swathpack.edge.codec.transform_coder.weights import (
    CHOICES,
    Weights,
    asked,
    follow_pixels,
    masks_count,
    thinned,
    weighted_errors,
    weights_for,
)

__all__ = [
    "CHOICES",
    "LAYERS",
    "OTHERS",
    "WORTH",
    "CodedTile",
    "DecodedTile",
    "TransformCoderError",
    "Weights",
    "agreement",
    "asked",
    "counts_of",
    "decode_tile",
    "encode_against",
    "encode_tile",
    "first_target",
    "follow_pixels",
    "is_predicted",
    "layer_ends",
    "masks_count",
    "refine_payload",
    "refine_payloads",
    "thinned",
    "weighted_errors",
    "weights_for",
    "weights_in",
]
