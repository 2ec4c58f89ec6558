"""Series of frames to bytes and back: the front door of the family.

`encode_series` and `decode_series` take one series, the `_batch` functions several at once (those of equal
shape go through the network together). Values are digital numbers; the decoder gives float32, not clipped.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swathpack.codec.terracodec.checkpoint import Imported
from swathpack.codec.terracodec.images import decode_elic, decode_fp, encode_elic, encode_fp
from swathpack.codec.terracodec.stream import MAX_PIXELS, FrameBody, Header, StreamError, pack_stream, unpack_stream
from swathpack.codec.terracodec.temporal import decode_temporal, encode_temporal
from swathpack.codec.terracodec.tiling import TRANSFORM_STRIDE, pad_frames, padded_size, tiled_analysis, tiled_synthesis
from swathpack.codec.terracodec.tt import TOKENS
from swathpack.edge.digests import bytes_digest
from swathpack.edge.stream.wire import TABLES_DIGEST_BYTES

FRAMES_AT_ONCE = 8
Frames = NDArray[Any]


def encode_series(imported: Imported, frames: Frames, keep: int = TOKENS) -> bytes:
    """(T, C, H, W) digital numbers (any real type, finite) -> a stream.

    keep: tokens of each window that are sent, 0..16 (FlexTEC's rate; 16 for the others).
    """
    return encode_batch(imported, [frames], keep)[0]


def decode_series(imported: Imported, data: bytes, max_pixels: int = MAX_PIXELS) -> NDArray[np.float32]:
    """A stream -> (T, C, H, W) float32 digital numbers. StreamError or MismatchError, never wrong images.

    max_pixels: of all frames together, that a stream may claim.
    """
    return decode_batch(imported, [data], max_pixels)[0]


@torch.inference_mode()
def encode_batch(imported: Imported, series: Sequence[Frames], keep: int = TOKENS) -> list[bytes]:
    """Several series; the streams are in the same order and each decodes on its own."""
    arrays = [checked_frames(imported, frames) for frames in series]
    if not 0 <= keep <= TOKENS:
        raise StreamError(f"expected 0 to {TOKENS} tokens to keep, found {keep}")
    out: list[bytes] = [b""] * len(arrays)
    for members in _same([array.shape for array in arrays]):
        for index, data in zip(members, _encode_equal(imported, [arrays[i] for i in members], keep)):
            out[index] = data
    return out


@torch.inference_mode()
def decode_batch(
    imported: Imported, streams: Sequence[bytes], max_pixels: int = MAX_PIXELS
) -> list[NDArray[np.float32]]:
    """The inverse of `encode_batch`; streams may have come from different calls."""
    parsed = [unpack_stream(data) for data in streams]
    for header, _ in parsed:
        _check_model(imported, header)
        claimed = header.frames * header.height * header.width
        if claimed > max_pixels:
            raise StreamError(f"expected at most {max_pixels} pixels in all frames, found {claimed}")
    out: list[NDArray[np.float32]] = [np.empty(0, np.float32)] * len(parsed)
    for members in _same([(h.frames, h.height, h.width, h.keep) for h, _ in parsed]):
        decoded = _decode_equal(imported, parsed[members[0]][0], [parsed[i][1] for i in members])
        for index, frames in zip(members, decoded):
            out[index] = frames
    return out


def latents(imported: Imported, frames: Frames) -> Tensor:
    """(T, C, H, W) digital numbers -> unquantised latents (T, M, h, w) of the padded frames."""
    model: Any = imported.model
    parts = []
    for first in range(0, len(frames), FRAMES_AT_ONCE):
        x = standardise(imported, frames[first : first + FRAMES_AT_ONCE])
        parts.append(tiled_analysis(model.analysis, pad_frames(x, model.ALIGN)))
    return torch.cat(parts)


def images(imported: Imported, inputs: list[Tensor], height: int, width: int) -> NDArray[np.float32]:
    """What `synthesis` takes, each (B, ., h, w) -> (B, C, height, width) float32 digital numbers."""
    model: Any = imported.model
    x = tiled_synthesis(model.synthesis, inputs)[:, :, :height, :width]
    mean, std = imported.mean[:, None, None], imported.std[:, None, None]
    return (x * std + mean).numpy()


def standardise(imported: Imported, frames: Frames) -> Tensor:
    """(B, C, H, W) digital numbers -> float32 with the model's band statistics removed."""
    x = torch.from_numpy(np.ascontiguousarray(frames, np.float32))
    return (x - imported.mean[:, None, None]) / imported.std[:, None, None]


def tables_digest(imported: Imported) -> bytes:
    """4 bytes over all probability tables of the model."""
    digests = [table.digest() for _, table in sorted(imported.tables.items())]
    return bytes_digest(b"".join(digests), TABLES_DIGEST_BYTES)


def grid_of(imported: Imported, height: int, width: int) -> tuple[int, int]:
    """Latent rows and columns of a padded frame."""
    model: Any = imported.model
    rows, columns = padded_size(height, width, model.ALIGN)
    return rows // TRANSFORM_STRIDE, columns // TRANSFORM_STRIDE


def checked_frames(imported: Imported, frames: Frames) -> Frames:
    """Frames as an array (T, C, H, W) that the model can take; StreamError for another shape, type or NaN."""
    array = np.asarray(frames)
    model: Any = imported.model
    if array.ndim != 4 or array.shape[1] != model.bands or 0 in array.shape or array.dtype.kind not in "iuf":
        raise StreamError(f"expected frames (T, {model.bands}, H, W), found {array.dtype} {array.shape}")
    if array.shape[0] > 0xFFFF or max(array.shape[2:]) >= 1 << 16:
        raise StreamError(f"expected at most 65535 frames, rows and columns, found {array.shape}")
    if array.dtype.kind == "f" and not np.isfinite(array).all():
        raise StreamError("expected finite digital numbers, found inf or NaN")
    return array


def _same(keys: list[Any]) -> Iterator[list[int]]:
    """Indexes of equal keys together."""
    for key in dict.fromkeys(keys):
        yield [index for index, other in enumerate(keys) if other == key]


def _encode_equal(imported: Imported, arrays: list[Frames], keep: int) -> list[bytes]:
    count, bands, height, width = arrays[0].shape
    family = imported.family
    kept = keep if family in ("tt", "flextec") else TOKENS
    header = Header(family, kept, bands, count, height, width, imported.digest, tables_digest(imported))
    ys = [latents(imported, frames) for frames in arrays]
    if family in ("tt", "flextec"):
        dates = encode_temporal(imported, [torch.stack([y[t] for y in ys]) for t in range(count)], keep)
        bodies = [[date[b] for date in dates] for b in range(len(arrays))]
    else:
        encode = encode_fp if family == "fp" else encode_elic
        bodies = [_by_parts(y, lambda part: encode(imported, part)) for y in ys]
    return [pack_stream(header, frames) for frames in bodies]


def _by_parts(y: Tensor, encode: Any) -> list[FrameBody]:
    return [body for part in torch.split(y, FRAMES_AT_ONCE) for body in encode(part)]


def _check_model(imported: Imported, header: Header) -> None:
    found = (header.family, header.model_digest.hex(), header.tables_digest.hex())
    mine = (imported.family, imported.digest.hex(), tables_digest(imported).hex())
    if found != mine:
        raise StreamError(f"expected a stream of {mine[0]} model {mine[1]}, tables {mine[2]}, found {found}")
    model: Any = imported.model
    if header.bands != model.bands or header.keep > TOKENS:
        raise StreamError(f"expected {model.bands} bands, found {header.bands} and {header.keep} tokens")


def _decode_equal(imported: Imported, header: Header, bodies: list[list[FrameBody]]) -> list[NDArray[np.float32]]:
    grid = grid_of(imported, header.height, header.width)
    if imported.family in ("tt", "flextec"):
        dates = [[frames[t] for frames in bodies] for t in range(header.frames)]
        decoded = [
            images(imported, [y, z], header.height, header.width)
            for y, z in decode_temporal(imported, dates, header.keep, grid)
        ]
        return list(np.stack(decoded, 1)) if decoded else _nothing(header, len(bodies))
    return [_decode_images(imported, header, frames, grid) for frames in bodies]


def _decode_images(
    imported: Imported, header: Header, frames: list[FrameBody], grid: tuple[int, int]
) -> NDArray[np.float32]:
    parts = []
    for first in range(0, len(frames), FRAMES_AT_ONCE):
        some = frames[first : first + FRAMES_AT_ONCE]
        if imported.family == "fp":
            y = decode_fp(imported, some, grid)
        else:
            y = decode_elic(imported, some, grid, first)
        parts.append(images(imported, [y], header.height, header.width))
    return np.concatenate(parts) if parts else _nothing(header, 1)[0]


def _nothing(header: Header, count: int) -> list[NDArray[np.float32]]:
    return [np.empty((0, header.bands, header.height, header.width), np.float32)] * count
