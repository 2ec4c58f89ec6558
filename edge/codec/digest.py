"""Short SHA-256 digests that name arrays and contexts in a stream.

A digest here is the first bytes of SHA-256 over a canonical text of the thing: for arrays the type, the
shape and the little-endian elements in C order, so that the same values give the same digest on every
machine. Short digests detect mistakes (another model, another context); they are not signatures.
"""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.digests import DigestError
from swathpack.edge.stream.wire import CONTEXT_DIGEST_BYTES


def canonical_bytes(array: NDArray[Any]) -> bytes:
    """The little-endian, C-ordered bytes of an integer, float or bool array of any shape."""
    if array.dtype.kind not in "iufb":
        raise DigestError(f"expected an integer, float or bool array, found {array.dtype}")
    little = array.dtype.newbyteorder("<")
    return np.ascontiguousarray(array, dtype=little).tobytes()


def _head(array: NDArray[Any]) -> bytes:
    shape = ",".join(str(n) for n in array.shape)
    return f"{array.dtype.kind}{array.dtype.itemsize}[{shape}]".encode("ascii")


def arrays_digest(arrays: dict[str, NDArray[Any]], n_bytes: int = 32) -> bytes:
    """Digest of named arrays: per name in sorted order `name NUL type[shape] NUL bytes`.

    `n_bytes` 1..32 is how much of the SHA-256 is kept.
    """
    sha = hashlib.sha256()
    for name in sorted(arrays):
        array = arrays[name]
        sha.update(name.encode("utf-8") + b"\0" + _head(array) + b"\0")
        sha.update(canonical_bytes(array))
    return sha.digest()[:n_bytes]


def array_digest(array: NDArray[Any], n_bytes: int = 32) -> bytes:
    """Digest of one array: SHA-256 over `type[shape] NUL bytes`."""
    return hashlib.sha256(_head(array) + b"\0" + canonical_bytes(array)).digest()[:n_bytes]


def context_digest(latent: NDArray[np.int16], layers: int, layer_channels: int = 32) -> bytes:
    """The 4 bytes that name a context: a latent known to its first `layers` layers.

    latent: (M, h, w) integers that fit int16; only channels [0, layers * layer_channels) are read, so
    both sides agree whatever they hold beyond. SHA-256 over the ASCII text
    `context k=<layers> [<channels>,<h>,<w>]`, a NUL byte and the int16 little-endian channels.
    """
    channels = layers * layer_channels
    if latent.ndim != 3 or not 0 <= channels <= latent.shape[0]:
        raise DigestError(f"expected a latent (M, h, w) with at least {channels} channels, found shape {latent.shape}")
    known = np.ascontiguousarray(latent[:channels], dtype="<i2")
    if not np.array_equal(known, latent[:channels]):
        raise DigestError(f"expected latent values that fit int16, found {latent.dtype} beyond it")
    head = f"context k={layers} [{channels},{latent.shape[1]},{latent.shape[2]}]"
    return hashlib.sha256(head.encode("ascii") + b"\0" + known.tobytes()).digest()[:CONTEXT_DIGEST_BYTES]


def counts_digest(counts: NDArray[np.uint16]) -> bytes:
    """Names an earlier date (C, H, W) of a transform tile that later ones are coded against: 4 bytes of SHA-256 over `date
    [C,H,W]`, NUL and the counts, little-endian.
    """
    shape = ",".join(map(str, counts.shape))
    data = np.ascontiguousarray(counts, "<u2").tobytes()
    return hashlib.sha256(f"date [{shape}]".encode() + b"\0" + data).digest()[:CONTEXT_DIGEST_BYTES]
