"""What every range coder here offers: the encoder and decoder protocols, the errors, the input checks."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.tables import MAX_TABLES, SYMBOL_LIMIT

if TYPE_CHECKING:
    from swathpack.edge.codec.rangecoder.adaptive import Adaptation


class RangeCoderError(Exception):
    """Bad input to a range coder, or a payload that no encoder wrote."""


class PayloadEnded(RangeCoderError):  # noqa: N818 - an expected end, not a fault
    """The payload ends before the batch: some continuation of it would decode to other symbols."""


@dataclass(frozen=True)
class Checkpoint:
    """A place in an encoder's stream: `size_bytes` is the exact payload length if it ended here.

    `state` belongs to the backend that made it; give it only to the same encoder.
    """

    size_bytes: int
    symbols: int
    state: Any


class Encoder(Protocol):
    """Appends batches of symbols to one range-coded run.

    A batch is coded in order of table index (stable), then its escapes, then its low bits; the decoder must
    ask for the same batches.
    """

    def encode(self, symbols: NDArray[Any], table_index: NDArray[Any]) -> None:
        """Append a batch: symbols (n,) integers with |s| < 2^17, table_index (n,) integers.

        RangeCoderError leaves the encoder as it was.
        """

    def encode_bounded(
        self, symbols: NDArray[Any], table_index: NDArray[Any], low: NDArray[Any], high: NDArray[Any]
    ) -> None:
        """Append a batch of symbols known to lie in [low, high], 1 to 16 values each, in their own order
        (`swathpack.edge.codec.rangecoder.bounded`). RangeCoderError leaves the encoder as it was.
        """

    def encode_adaptive(
        self,
        symbols: NDArray[Any],
        table_index: NDArray[Any],
        adaptation: Adaptation,
        places: NDArray[Any],
        low: NDArray[Any] | None = None,
        high: NDArray[Any] | None = None,
    ) -> None:
        """Append a batch of all channels (c, n) of the group that `adaptation` has begun, at places (n,), channel by
        channel in that order, with tables shifted by what was learned, and learn from it (`swathpack.edge.codec.rangecoder.adaptive`).
        low, high: (c, n), where the symbols are known to lie. RangeCoderError leaves the encoder as it was.
        """

    def encode_bits(self, value: int, n_bits: int) -> None:
        """Append a whole number of 0 to 16 bits, all equally likely. RangeCoderError leaves the encoder as it was."""

    @property
    def position(self) -> int:
        """32-bit words that the interval has left behind; after the same symbols the same on both sides."""

    def checkpoint(self) -> Checkpoint:
        """Where the stream stands; costs next to nothing and disturbs nothing."""

    def payload(self, at: Checkpoint | None = None) -> bytes:
        """The stream as it is if it ends at `at` (default: here), in the fewest bytes.

        Words are big-endian and the last one is cut to the bytes that matter: whatever follows them, the
        same symbols come out. The encoder may go on afterwards.
        """

    def words(self, at: Checkpoint | None = None) -> NDArray[np.uint32]:
        """The same stream closed as constriction's `RangeEncoder.get_compressed` closes it, (n,) uint32."""


class Decoder(Protocol):
    """Takes batches back out of a payload, which may have been cut at any byte."""

    def decode(self, table_index: NDArray[Any]) -> NDArray[np.int32]:
        """The next batch, (n,) int32.

        PayloadEnded when the payload does not settle every symbol of the batch, RangeCoderError when it is
        corrupt; after either, every further call raises the same.
        """

    def decode_bounded(self, table_index: NDArray[Any], low: NDArray[Any], high: NDArray[Any]) -> NDArray[np.int32]:
        """The next batch of symbols known to lie in [low, high], (n,) int32; errors as in `decode`."""

    def decode_adaptive(
        self,
        table_index: NDArray[Any],
        adaptation: Adaptation,
        places: NDArray[Any],
        low: NDArray[Any] | None = None,
        high: NDArray[Any] | None = None,
    ) -> NDArray[np.int32]:
        """The next batch, (c, n) int32, see `Encoder.encode_adaptive`; errors as in `decode`."""

    def decode_bits(self, n_bits: int) -> int:
        """A whole number of 0 to 16 bits; errors as in `decode`."""

    @property
    def position(self) -> int:
        """As the encoder's; after a failure it means nothing."""

    @property
    def overran(self) -> bool:
        """True once a batch was asked for that the payload does not settle."""


MAX_PLAIN_BITS = 16


def checked_bits(n_bits: int, value: int = 0) -> int:
    """n_bits, or RangeCoderError when it is not 0 to 16 or the value does not fit."""
    if not 0 <= n_bits <= MAX_PLAIN_BITS or not 0 <= value < 1 << n_bits:
        raise RangeCoderError(f"expected a number of 0 to {MAX_PLAIN_BITS} bits, found {value} in {n_bits}")
    return n_bits


def checked_batch(symbols: NDArray[Any], table_index: NDArray[Any]) -> NDArray[np.int32]:
    """Symbols as contiguous (n,) int32, or RangeCoderError."""
    symbols = np.asarray(symbols)
    if symbols.ndim != 1 or symbols.shape != np.shape(table_index) or symbols.dtype.kind not in "iu":
        raise RangeCoderError(
            f"expected one integer symbol per table index, found {symbols.dtype} {symbols.shape} for "
            f"{np.shape(table_index)}"
        )
    if symbols.size and not -SYMBOL_LIMIT < int(symbols.min()) <= int(symbols.max()) < SYMBOL_LIMIT:
        raise RangeCoderError(f"expected |symbol| < {SYMBOL_LIMIT}, found {int(symbols.min())}..{int(symbols.max())}")
    return np.ascontiguousarray(symbols, dtype=np.int32)


def checked_index(table_index: NDArray[Any], n_tables: int) -> NDArray[np.uint16]:
    """Table indexes as contiguous (n,) uint16, or RangeCoderError."""
    index = np.asarray(table_index)
    if index.ndim != 1 or index.dtype.kind not in "iu":
        raise RangeCoderError(f"expected integer table indexes (n,), found {index.dtype} {index.shape}")
    if index.size and not 0 <= int(index.min()) <= int(index.max()) < min(n_tables, MAX_TABLES):
        raise RangeCoderError(
            f"expected table indexes in 0..{n_tables - 1}, found {int(index.min())}..{int(index.max())}"
        )
    return np.ascontiguousarray(index, dtype=np.uint16)
