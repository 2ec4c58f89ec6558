"""A fake tile codec for tests of the runtime: a poor transform codec with the real codec's contract.

Blocks of 16x16 pixels, 2-D DCT per band, low frequencies first, one quantiser step, layers deflated one by
one as differences to the newest context. It compresses badly and needs no network; prefixes decode to whole
layers, segments name their contexts by digest, and decoding against anything else is refused.

    head    "FK" tile i64 time i64 q u8 bands u8 channels u16 h u8 w u8 contexts u8, 4 bytes per context,
            total length u32, CRC-32 of the head
    layer   length u32, deflated int16, CRC-32
"""

from __future__ import annotations

import struct
import zlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.protocol import CodecError, ContextLatent, TileKey, TilePixels
from swathpack.tools.ground.decoder import DecodeError, SegmentHead

_HEAD = struct.Struct(">2sqqBBHBBB")
_BLOCK = 16


def step_of(q: int) -> float:
    """Quantiser step in DN."""
    return 8.0 * 2 ** (q / 8)


def _dct() -> NDArray[np.float64]:
    n = np.arange(_BLOCK)
    basis: NDArray[np.float64] = np.cos(np.pi * (2 * n[None] + 1) * n[:, None] / (2 * _BLOCK)) * np.sqrt(2 / _BLOCK)
    basis[0] /= np.sqrt(2)
    return basis


_DCT = _dct()
_ORDER = sorted(((u, v) for u in range(_BLOCK) for v in range(_BLOCK)), key=lambda p: (sum(p), p))


def analyse(data: NDArray[np.uint16], channels: int) -> NDArray[np.float64]:
    """(C, H, W) DN -> coefficients (channels, H/16, W/16), low frequencies of all bands first."""
    bands, height, width = data.shape
    blocks = data.reshape(bands, height // _BLOCK, _BLOCK, width // _BLOCK, _BLOCK).transpose(0, 1, 3, 2, 4)
    spectrum = _DCT @ (blocks.astype(np.float64) - 1000.0) @ _DCT.T
    picked = [spectrum[b, :, :, u, v] for u, v in _ORDER for b in range(bands)]
    return np.array(picked[:channels])


def synthesise(latent: NDArray[np.int16], q: int, bands: int) -> NDArray[np.float64]:
    """Latent (channels, h, w) -> (bands, 16 h, 16 w) DN, float."""
    channels, h, w = latent.shape
    spectrum = np.zeros((bands, h, w, _BLOCK, _BLOCK))
    for c in range(channels):
        u, v = _ORDER[c // bands]
        spectrum[c % bands, :, :, u, v] = latent[c] * step_of(q)
    blocks = _DCT.T @ spectrum @ _DCT + 1000.0
    return blocks.transpose(0, 1, 3, 2, 4).reshape(bands, h * _BLOCK, w * _BLOCK)


@dataclass(frozen=True, eq=False)
class FakeCodedTile:
    """A `CodedTile` of the fake codec; record: the whole segment. `segment` raises CodecError for a part of it."""

    key: TileKey
    q: int
    latent: NDArray[np.int16]
    prefix_bytes: NDArray[np.int64]
    distortion: NDArray[np.float64]
    context_digests: tuple[bytes, ...]
    record: bytes

    def segment(self, start: int, stop: int) -> bytes:
        if (start, stop) != (0, LAYERS):
            raise CodecError("the fake codec writes whole segments only")
        return self.record


class FakeTileCodec:
    """A `TileCodec`, see the module docstring. `channels` is a multiple of 16."""

    layers = LAYERS

    def __init__(self, channels: int = 64, q: int = 20) -> None:
        self.channels, self.q = channels, q
        self.calls = 0

    def encode(self, tile: TilePixels, contexts: Sequence[ContextLatent]) -> FakeCodedTile:
        self.calls += 1
        coefficients = analyse(tile.data, self.channels)
        latent = np.clip(np.rint(coefficients / step_of(self.q)), -32768, 32767).astype(np.int16)
        usable = [c for c in contexts if c.latent.shape == latent.shape and c.key != tile.key][:2]
        sizes = (self.channels, *latent.shape[1:], len(usable))
        front = _HEAD.pack(b"FK", *tile.key, self.q, len(tile.bands), *sizes)
        front += b"".join(c.digest for c in usable)
        layers = [_pack_layer(part) for part in _residual(latent, usable).reshape(LAYERS, -1)]
        total = len(front) + 8 + sum(map(len, layers))
        front += struct.pack(">I", total)
        front += struct.pack(">I", zlib.crc32(front))
        prefix = len(front) + np.cumsum([0, *map(len, layers)])
        return FakeCodedTile(
            tile.key,
            self.q,
            latent,
            prefix,
            self._distortion(tile, coefficients, latent),
            tuple(c.digest for c in usable),
            front + b"".join(layers),
        )

    def _distortion(
        self, tile: TilePixels, coefficients: NDArray[np.float64], latent: NDArray[np.int16]
    ) -> NDArray[np.float64]:
        """Exact, the transform being orthonormal: energy not kept plus quantisation error."""
        energy = ((tile.data.astype(np.float64) - 1000.0) ** 2).sum()
        zero = (coefficients**2).reshape(LAYERS, -1).sum(axis=1)
        kept = ((coefficients - latent * step_of(self.q)) ** 2).reshape(LAYERS, -1).sum(axis=1)
        left: NDArray[np.float64] = energy - np.concatenate([[0.0], np.cumsum(zero - kept)])
        return left


def _residual(latent: NDArray[np.int16], contexts: Sequence[ContextLatent]) -> NDArray[np.int16]:
    return latent - contexts[0].latent if contexts else latent


def _pack_layer(values: NDArray[np.int16]) -> bytes:
    data = zlib.compress(values.astype("<i2").tobytes(), 6)
    return struct.pack(">I", len(data)) + data + struct.pack(">I", zlib.crc32(data))


class FakeSegmentDecoder:
    """A `SegmentDecoder` of the fake codec."""

    def head(self, data: bytes) -> SegmentHead | None:
        if len(data) < _HEAD.size:
            return None
        mark, tile, time, q, _, channels, h, w, count = _HEAD.unpack_from(data)
        end = _HEAD.size + 4 * count + 8
        if mark != b"FK" or count > 2:
            raise DecodeError("expected a segment of the fake codec")
        if len(data) < end:
            return None
        total, crc = struct.unpack_from(">II", data, end - 8)
        if zlib.crc32(data[: end - 4]) != crc:
            raise DecodeError("the head's checksum differs")
        digests = tuple(data[_HEAD.size + 4 * i :][:4] for i in range(count))
        return SegmentHead(TileKey(tile, time), q, (channels, h, w), digests, total)

    def decode(self, data: bytes, contexts: Sequence[ContextLatent]) -> tuple[NDArray[np.int16], int]:
        head = self.head(data)
        if head is None or tuple(c.digest for c in contexts) != head.context_digests:
            raise DecodeError("expected the contexts that the segment names")
        channels, h, w = head.shape
        residual = np.zeros((LAYERS, channels // LAYERS * h * w), np.int16)
        at, layers = _HEAD.size + 4 * len(contexts) + 8, 0
        while layers < LAYERS and len(data) >= at + 4:
            size = struct.unpack_from(">I", data, at)[0]
            body = data[at + 4 : at + 8 + size]
            if len(body) < size + 4:
                break
            if zlib.crc32(body[:-4]) != struct.unpack(">I", body[-4:])[0]:
                raise DecodeError(f"layer {layers}: checksum differs")
            residual[layers] = np.frombuffer(zlib.decompress(body[:-4]), "<i2")
            at, layers = at + 8 + size, layers + 1
        latent = residual.reshape(head.shape)
        known = layers * channels // LAYERS
        if contexts:
            latent[:known] += contexts[0].latent[:known]
        return latent, layers
