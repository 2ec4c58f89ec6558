"""Which pixels hold data, packed: masks of all bands, holes of single ones.

A mask marks pixels without data, holes those that lack data in one band only: each row is XORed with the row above (of the same
band), the bits are packed row by row (holes: band after band), high bit first, and deflated (raw). A mask may also be packed by
its edges (edges.py).
"""

from __future__ import annotations

import zlib
from collections.abc import Iterable, Iterator

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.stream.errors import StreamError

_SKIP_BYTES = 1 << 16


def deflate(data: bytes) -> bytes:
    """Raw deflated bytes (RFC 1951)."""
    return deflate_all((data,))


def deflate_all(pieces: Iterable[bytes]) -> bytes:
    """The same of pieces that come one by one."""
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return b"".join([*(packer.compress(piece) for piece in pieces), packer.flush()])


def inflate(data: bytes, size: int) -> bytes:
    """Exactly `size` bytes; longer or shorter content is StreamError, and no more is ever made."""
    unpacker = Inflater(data)
    plain = unpacker.take(size)
    unpacker.done()
    return plain


def pack_mask(valid: NDArray[np.bool_]) -> bytes | None:
    """The packed mask of a (H, W) bool array that is True where there is data; None when all is valid."""
    if valid.ndim != 2 or valid.dtype != np.bool_:
        raise StreamError(f"expected a bool mask (H, W), found {valid.dtype} {valid.shape}")
    if valid.all():
        return None
    missing = ~valid
    missing[1:] ^= ~valid[:-1]
    return deflate(np.packbits(missing).tobytes())


def unpack_mask(mask: bytes, height: int, width: int) -> NDArray[np.bool_]:
    """The inverse of pack_mask."""
    return np.concatenate(list(mask_rows(mask, height, width, max(height, 1))))


def mask_rows(mask: bytes, height: int, width: int, rows: int) -> Iterator[NDArray[np.bool_]]:
    """A packed mask as bool arrays (rows, width) from the top, the last one with what is left; True where there is
    data. No more is unpacked than is asked for. StreamError, at the latest behind the last rows, if it is not of that
    size.
    """
    unpacker = Inflater(mask)
    marks = _MarkedRows(unpacker, 0, width)
    for top in range(0, height, rows):
        yield ~marks.take(min(rows, height - top))
    unpacker.done()


class _MarkedRows:
    """Rows of marks out of deflated bits, each row XORed with the one above; the first starts at bit `skip` (0..7)."""

    def __init__(self, unpacker: Inflater, skip: int, width: int) -> None:
        self._unpacker, self._skip = unpacker, skip
        self._bits, self._above = np.zeros(0, np.uint8), np.zeros(width, np.uint8)

    def take(self, rows: int) -> NDArray[np.bool_]:
        """The next rows (rows, width), True where marked."""
        count = rows * self._above.size
        plain = self._unpacker.take((max(count + self._skip - self._bits.size, 0) + 7) // 8)
        bits = np.concatenate([self._bits, np.unpackbits(np.frombuffer(plain, np.uint8))])[self._skip :]
        steps, self._bits, self._skip = bits[:count].reshape(rows, -1), bits[count:].copy(), 0
        steps[0] ^= self._above
        marked = np.bitwise_xor.accumulate(steps, axis=0)
        self._above = marked[-1].copy()
        flags: NDArray[np.bool_] = marked != 0
        return flags


class Inflater:
    """Raw deflated content piece by piece; a piece that is not there, or more behind the last, is StreamError."""

    def __init__(self, data: bytes) -> None:
        self._unpacker = zlib.decompressobj(-15)
        self._packed = data

    def here(self) -> Inflater:
        """Another one that goes on from here."""
        twin = Inflater(self._packed)
        twin._unpacker = self._unpacker.copy()
        return twin

    def skip(self, size: int) -> None:
        """Pass over `size` bytes."""
        while size:
            size -= len(self.take(min(size, _SKIP_BYTES)))

    def take(self, size: int) -> bytes:
        """The next `size` bytes."""
        pieces, left = [], size
        while left:
            piece = self._more(left)
            if not piece:
                raise StreamError(f"expected {left} more bytes of deflated content, found its end")
            pieces.append(piece)
            left -= len(piece)
        return b"".join(pieces)

    def rest(self, most: int) -> bytes:
        """All that is left, which must be at most `most` bytes."""
        pieces, left = [], most
        while left and (piece := self._more(left)):
            pieces.append(piece)
            left -= len(piece)
        self.done()
        return b"".join(pieces)

    def done(self) -> None:
        """The content must end here."""
        if self._more(1) or not self._unpacker.eof or self._unpacker.unused_data:
            raise StreamError("expected the end of deflated content, found more")

    def _more(self, most: int) -> bytes:
        try:
            piece = self._unpacker.decompress(self._packed, most)
        except zlib.error as error:
            raise StreamError(f"deflated content damaged: {error}") from error
        self._packed = self._unpacker.unconsumed_tail
        return piece


def pack_holes(holes: NDArray[np.bool_]) -> bytes | None:
    """The packed holes of a (C, H, W) bool array that is True where a band lacks data; None without any."""
    if holes.ndim != 3 or holes.dtype != np.bool_:
        raise StreamError(f"expected bool holes (C, H, W), found {holes.dtype} {holes.shape}")
    if not holes.any():
        return None
    steps = holes.copy()
    steps[:, 1:] ^= holes[:, :-1]
    return deflate(np.packbits(steps).tobytes())


def unpack_holes(holes: bytes, bands: int, height: int, width: int) -> NDArray[np.bool_]:
    """The inverse of pack_holes."""
    return np.concatenate(list(hole_rows(holes, bands, height, width, height)), axis=1)


def hole_rows(holes: bytes, bands: int, height: int, width: int, rows: int) -> Iterator[NDArray[np.bool_]]:
    """Packed holes as bool arrays (bands, rows, width) from the top, the last one with what is left. No more is kept
    than is asked for: every band is unpacked by itself. StreamError before the first rows if they are not of that size.
    """
    unpacker, marks, at = Inflater(holes), [], 0
    for band in range(bands):
        start, skip = divmod(band * height * width, 8)
        unpacker.skip(start - at)
        at = start
        marks.append(_MarkedRows(unpacker.here(), skip, width))
    unpacker.skip((bands * height * width + 7) // 8 - at)
    unpacker.done()
    for top in range(0, height, rows):
        yield np.stack([band.take(min(rows, height - top)) for band in marks])
