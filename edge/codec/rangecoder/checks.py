"""Checks within a range coder run: what tells a decoder that the bytes before it are those that were written.

A payload that was cut decodes to true layers up to the cut; one that lost bytes in its middle decodes to noise that
looks like layers. So where a layer begins and at least CHECK_WORDS words have left the coder since the last check,
CHECK_BITS plain bits stand before it: the low bits of the CRC-32 over every value of the run so far. Redundancy that is
proportional to the bytes, as with a forbidden symbol (Boyd, Cleary, Irvine, Rinsma-Melchert, Witten, "Integrating error
detection into arithmetic coding", IEEE Trans. Communications 45(1), 1997), but paid only where a layer ends: at most
12 bits for 512 bytes, 0.293 %.

Noise passes one check in 4,096 times. So where nothing else vouches for a run, a layer counts only when the check behind it
and the one after that have held: what stays is wrong once in 4,096^2 times.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rangecoder.interface import Decoder, Encoder, RangeCoderError

CHECK_WORDS = 128
CHECK_BITS = 12


class CheckFailedError(RangeCoderError):
    """A check says that the values before it are not those that were coded."""


class RunChecks:
    """The checks of one run, on either side: `cover` every layer, `write` or `read` before the next one.

    confirmed: layers covered when the last check but one held. held: when the last one did.
    """

    def __init__(self) -> None:
        self.confirmed = self.held = 0
        self._covered = self._crc = self._mark = 0

    def cover(self, values: NDArray[np.int16]) -> None:
        """Take the values of a whole layer in, any shape, in the order of memory."""
        self._crc = zlib.crc32(np.ascontiguousarray(values, "<i2").tobytes(), self._crc)
        self._covered += 1

    def write(self, encoder: Encoder) -> None:
        """Put a check where one is due."""
        if self._due(encoder.position):
            encoder.encode_bits(self._value(), CHECK_BITS)

    def read(self, decoder: Decoder) -> None:
        """Take the check where one is due. Raises CheckFailedError, and what the decoder does."""
        if not self._due(decoder.position):
            return
        found = decoder.decode_bits(CHECK_BITS)
        if found != self._value():
            raise CheckFailedError(f"expected check {self._value():03x}, found {found:03x}")
        self.confirmed, self.held = self.held, self._covered

    def _due(self, position: int) -> bool:
        due = self._covered > 0 and position - self._mark >= CHECK_WORDS
        if due:
            self._mark = position
        return due

    def _value(self) -> int:
        return self._crc & (1 << CHECK_BITS) - 1
