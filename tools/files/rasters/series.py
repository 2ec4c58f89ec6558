"""A time series of frames of one place, and what its files said beside the pixels."""

from __future__ import annotations

import base64
import json
import math
import re
import zlib
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import Frame
from swathpack.tools.errors import UserError

MAX_METADATA_BYTES = 1 << 22  # as JSON, which takes some twenty times as much in memory
MAX_ARRAY_BYTES = 1 << 26
_DTYPE = re.compile(r"[<>|=][biufcmMSUV]\d{1,8}(\[\w{1,4}\])?")  # what `dtype.str` gives of types without objects
LISTED_ITEMS = 4096  # small arrays travel as JSON lists, larger ones as packed bytes


@dataclass
class Series:
    """`frames` in order of date and `metadata`, plain JSON types only, enough to write the same files again.

    metadata["format"] is npz or raster; npz has "extra" (its other keys), raster has "files" (per frame, the
    `records.FileRecord`s of its files as JSON); "synthesis" says what drew decoded pixels, where that is to be said.
    notes: what was assumed or left out, a sentence each. classes: per frame
    the scene classes (h, w) that its files hold, or None. groups: per frame the number of its grid; frames of different
    grids tell nothing of each other. dropped: bands that were left out since they are no reflectances.
    """

    frames: Sequence[Frame]
    metadata: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    classes: list[NDArray[Any] | None] = field(default_factory=list)
    groups: list[int] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.frames)


def pack_metadata(metadata: dict[str, Any]) -> bytes:
    """Compressed JSON, deterministic; empty for no metadata."""
    if not metadata:
        return b""
    return zlib.compress(json.dumps(metadata, separators=(",", ":"), sort_keys=True).encode(), 9)


def unpack_metadata(data: bytes, limit: int = MAX_METADATA_BYTES) -> dict[str, Any]:
    """The metadata of `pack_metadata`. Raises UserError when it is damaged or would unpack to over `limit` bytes."""
    if not data:
        return {}
    try:
        stream = zlib.decompressobj()
        text = stream.decompress(data, limit)
        value = json.loads(text) if stream.eof else None
    except (zlib.error, ValueError, RecursionError) as error:
        raise UserError(f"metadata is damaged: {error}") from error
    if not isinstance(value, dict):
        raise UserError(f"metadata is damaged or larger than {limit} bytes")
    return value


def array_to_json(array: NDArray[Any]) -> dict[str, Any]:
    """A numeric, bool or text array as plain JSON types; `array_from_json` gives it back exactly."""
    head = {"dtype": array.dtype.str, "shape": list(array.shape)}
    if array.size <= LISTED_ITEMS and array.dtype.kind in "Uiub":
        return head | {"values": array.ravel().tolist()}
    packed = zlib.compress(np.ascontiguousarray(array).tobytes(), 9)
    return head | {"packed": base64.b64encode(packed).decode()}


def _dtype(text: object) -> np.dtype[Any]:
    """The type whose `str` this is. Raises ValueError; numpy itself takes much more for a type, and parses some of it as
    Python.
    """
    if not isinstance(text, str) or not _DTYPE.fullmatch(text):
        raise ValueError(f"type {str(text)[:40]!r}")
    return np.dtype(text)


def array_from_json(item: dict[str, Any]) -> NDArray[Any]:
    """The array of `array_to_json`. Raises UserError for anything else, whatever it may claim to be."""
    try:
        dtype, shape = _dtype(item["dtype"]), tuple(int(n) for n in item["shape"])
        size = math.prod(shape) * dtype.itemsize
        if dtype.hasobject or min(shape, default=0) < 0 or size > MAX_ARRAY_BYTES:
            raise UserError(f"metadata: expected an array of at most {MAX_ARRAY_BYTES} bytes, found {dtype} {shape}")
        if "values" in item:
            values = list(item["values"])
            if len(values) != math.prod(shape):
                raise UserError(f"metadata: expected {math.prod(shape)} values, found {len(values)}")
            return np.array(values, dtype).reshape(shape)
        stream = zlib.decompressobj()
        raw = stream.decompress(base64.b64decode(item["packed"]), size + 1)
        return np.frombuffer(raw, dtype).reshape(shape).copy()
    except (KeyError, TypeError, ValueError, OverflowError, zlib.error) as error:
        raise UserError(f"metadata: expected an array, found {error}") from error
