"""What stands for a latent of a tile without the network where board and ground compare, keep and confirm what they hold.

The array has the learned codec's shape, 512 x h x w int16, 32 channels a layer. Of a transform tile those of a layer hold,
little-endian, the CRC-32 of the layer's bytes, their number and the bytes themselves, as far as all of these fit: 8 bytes and
two bits a pixel. A layer that does not fit has its CRC-32 alone. So stores, digests and reports treat all codecs alike, and
what the ground has confirmed of a tile is all that it takes to draw it again as an earlier date.

Of a predictive tile a layer has the first 16 bytes of the SHA-256 of the counts that it brought, band by band, row by row, uint16
little-endian: what a report confirms of it are the very numbers that the ground has decoded.
"""

from __future__ import annotations

import hashlib
import zlib

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import CHANNELS, GROUP, LAYERS

_HEAD = 8
_DIGEST = 16


def carry(payload: bytes, ends: NDArray[np.int64], size: tuple[int, int]) -> NDArray[np.int16]:
    """(512, h, w) int16 for the layers of a payload that end at `ends` (17,); 0 for layers that are not all here."""
    room = 2 * GROUP * size[0] * size[1]
    found = np.zeros((LAYERS, room), np.uint8)
    for layer, (start, stop) in enumerate(zip(ends[:-1], ends[1:])):
        if stop > len(payload):
            break
        data = payload[int(start) : int(stop)]
        fits = _HEAD + len(data) <= room
        row = zlib.crc32(data).to_bytes(4, "little") + (len(data).to_bytes(4, "little") + data if fits else bytes(4))
        found[layer, : len(row)] = np.frombuffer(row, np.uint8)
    return found.reshape(-1).view("<i2").astype(np.int16).reshape(CHANNELS, *size)


def carried(latent: NDArray[np.int16]) -> bytes:
    """The payload's beginning that such an array holds, up to its first layer that is not there or did not fit."""
    if latent.shape[0] != CHANNELS:
        return b""
    payload = b""
    for row in np.ascontiguousarray(latent, "<i2").reshape(LAYERS, -1):
        octets = row.tobytes()
        length = int.from_bytes(octets[4:_HEAD], "little")
        data = octets[_HEAD : _HEAD + length]
        if not length or len(data) != length or zlib.crc32(data) != int.from_bytes(octets[:4], "little"):
            break
        payload += data
    return payload


def carry_counts(
    counts: NDArray[np.uint16], since: NDArray[np.uint8], layers: int, size: tuple[int, int]
) -> NDArray[np.int16]:
    """(512, h, w) int16 for the first `layers` layers of decoded counts (C, H, W), known since the layers (1 to 16) that
    `since` (C, H, W) names; 0 for the others.
    """
    found = np.zeros((LAYERS, 2 * GROUP * size[0] * size[1]), np.uint8)
    for layer in range(layers):
        brought = np.ascontiguousarray(counts[since == layer + 1], "<u2")
        found[layer, :_DIGEST] = np.frombuffer(hashlib.sha256(brought.data).digest()[:_DIGEST], np.uint8)
    return found.reshape(-1).view("<i2").astype(np.int16).reshape(CHANNELS, *size)
