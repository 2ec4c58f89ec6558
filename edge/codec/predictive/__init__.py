"""Predictive coding of a tile: lossless, or with a guaranteed greatest error (docs/predictive.md, docs/stream.md).

tile = encode(samples, valid, max_error)          samples (C, H, W) integers -> payload, sizes of its 16 layers
tile, found = encode_checked(...)                 the same, decoded again and compared
encode ... decode(payload[:n], shape, valid, max_error)    any prefix -> the samples it wholly holds
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.predictive import reference
from swathpack.edge.codec.predictive.interface import (
    LAYERS,
    MAX_BANDS,
    MAX_SIDE,
    CodedTile,
    Decoded,
    PredictiveError,
    checked_errors,
    checked_samples,
    checked_shape,
    checked_valid,
)
from swathpack.edge.codec.predictive.native import Workspace
from swathpack.edge.codec.rangecoder import native as library

__all__ = [
    "LAYERS",
    "MAX_BANDS",
    "MAX_SIDE",
    "CodedTile",
    "Decoded",
    "PredictiveError",
    "Workspace",
    "backend",
    "decode",
    "encode",
    "encode_checked",
]


def backend() -> str:
    """`native`, or `reference` where the C library is not built: the same bytes, some thousand times slower."""
    return "native" if library.available() else "reference"


def _workspace(given: Workspace | None, shape: tuple[int, int, int]) -> Workspace:
    if given is not None and given.shape != shape:
        raise PredictiveError(f"expected a workspace of shape {shape}, found {given.shape}")
    return given or Workspace(shape)


def encode(
    samples: NDArray[Any],
    valid: NDArray[Any] | None = None,
    max_error: int | Sequence[int] | NDArray[Any] = 0,
    workspace: Workspace | None = None,
    refined: bool = False,
) -> CodedTile:
    """Samples (C, H, W), any integers from -32768 to 65535, to a payload of 16 layers: layer k holds the rows of
    pixels from floor(k H / 16) on, less those of coarse cells that reach beyond the layer.

    valid (H, W): pixels outside it cost next to nothing and come back as 0; None: all. max_error: greatest absolute
    error in the samples' unit, one number or one a band; 0 is lossless. A workspace of the same shape saves the
    allocation. refined: with refined predictions, or without where that is likely shorter (`interface.either`).
    PredictiveError for what cannot be coded.
    """
    checked = checked_samples(samples)
    shape = checked_shape(checked.shape)
    mask, errors = checked_valid(valid, shape), checked_errors(max_error, shape[0])
    coder = reference if backend() == "reference" else _workspace(workspace, shape)
    return (coder.encode_either if refined else coder.encode)(checked, mask, errors)


def decode(
    payload: bytes,
    shape: tuple[int, int, int],
    valid: NDArray[Any] | None = None,
    max_error: int | Sequence[int] | NDArray[Any] = 0,
    workspace: Workspace | None = None,
    refined: bool = False,
) -> Decoded:
    """What a payload or any prefix of it wholly holds; shape, valid and max_error as they were given to `encode`, refined as
    its tile says.

    PredictiveError for a payload that no encoder wrote, as far as that can be known.
    """
    shape = checked_shape(shape)
    mask, errors = checked_valid(valid, shape), checked_errors(max_error, shape[0])
    if backend() == "reference":
        return reference.decode(payload, shape, mask, errors, refined)
    return _workspace(workspace, shape).decode(payload, mask, errors, refined)


def encode_checked(
    samples: NDArray[Any],
    valid: NDArray[Any],
    max_error: int = 0,
    workspace: Workspace | None = None,
    refined: bool = False,
) -> tuple[CodedTile, Decoded]:
    """As `encode`, with what a decoder makes of it: whole, and every valid sample within `max_error`, or PredictiveError. That
    is the guarantee, kept on the way out: a fault of memory or machine is an error here and no wrong sample there.
    """
    coded = encode(samples, valid, max_error, workspace, refined)
    found = decode(coded.payload, samples.shape, valid, max_error, workspace, coded.refined)
    off = int(np.abs(found.samples - samples.astype(np.int32))[:, valid].max(initial=0))
    if found.layers != LAYERS or not found.known.all() or off > max_error:
        raise PredictiveError(f"expected {LAYERS} layers within {max_error}, decoded {found.layers} within {off}")
    return coded, found
