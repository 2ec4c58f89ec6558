"""The TerraCodec family on the ground: TEC-FP, TEC-ELIC, TEC-TT and FlexTEC (arXiv 2510.12670).

    from swathpack.codec.terracodec import load_model, encode_series, decode_series
    model = load_model("tt.swt")                  # made by `swathpack import CHECKPOINT -o tt.swt`
    data = encode_series(model, frames)           # (T, C, H, W) digital numbers -> bytes
    frames = decode_series(model, data)           # bytes -> (T, C, H, W) float32 digital numbers

The networks follow the published checkpoint layout name by name; the streams are our own.
"""

from swathpack.codec.terracodec.checkpoint import CheckpointError, Imported, import_checkpoint, load_model, save_model
from swathpack.codec.terracodec.series import decode_batch, decode_series, encode_batch, encode_series
from swathpack.codec.terracodec.stream import MismatchError, StreamError

__all__ = [
    "CheckpointError",
    "Imported",
    "MismatchError",
    "StreamError",
    "decode_batch",
    "decode_series",
    "encode_batch",
    "encode_series",
    "import_checkpoint",
    "load_model",
    "save_model",
]
