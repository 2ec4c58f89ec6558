"""contours.c in slow Python: the definition that is easy to read, and the coder of masks where no C is built."""

from __future__ import annotations

from collections.abc import Sequence
from enum import Enum
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.stream.binary import RangeDecoder, RangeEncoder, mixed_bit
from swathpack.edge.stream.errors import StreamError

MOST_STEPS = 8  # columns of a move that are told one by one
MOST_DOUBLINGS = 20
LIMIT, LEARNING_SHIFT = 127, 16
WEIGHTS = {1: 16384, 2: 9830, 4: 5734}  # that so many states start with

# Kinds of decisions, and the probability in 1/65536 that their states start with.
OTHER, ENDS, MORE, LONE, MOVES, LEFT, STEP, DOUBLING, BIT = range(9)
START = (1966, 45875, 1311, 6554, 29491, 32768, 32768, 39322, 32768)
COLUMN, WIDTH, FAR = range(3)  # numbers that are told by doublings

NOT_RISING = "expected edges in rising order within the columns, found others"
ENDED = "expected more of a mask's edges, found their end"
TOO_LONG = "expected no more decisions in a mask's edges than so many rows and bytes may take, found more"
TOO_FAR = f"expected columns of at most {MOST_DOUBLINGS} bits in a mask's edges, found more"

Context = tuple[int, ...]


class _Next(Enum):
    """What stands next in a row."""

    GOES_ON = 0
    ENDS = 1
    BEGIN = 2
    LONE = 3
    NOTHING = 4


class _Edge(NamedTuple):
    """A column, the moves to it (last one first), rows since it moved and between the two moves before, to which side it did."""

    column: int
    moves: tuple[int, int, int, int] = (0, 0, 0, 0)
    still: int = 15
    before: int = 15
    side: int = 0

    def moved(self, by: int) -> _Edge:
        moves = (by, *self.moves[:3])
        if by == 0:
            return _Edge(self.column, moves, self.still + 1, self.before, self.side)
        return _Edge(self.column + by, moves, 0, self.still, 1 if by > 0 else -1)

    def contexts(self, near: int) -> tuple[Context, ...]:
        last, slope = _move_class(self.moves[0]), min(max(sum(self.moves), -12), 12)
        still = min(self.still, 12), min(self.before, 12), self.side
        return (last, _move_class(self.moves[1])), (last, near), (slope, last), still


def encode(cells: NDArray[np.bool_]) -> tuple[bytes, int]:
    """The packed edges of (H, W) and how many decisions they are."""
    encoder = RangeEncoder()
    rows = _Rows(encoder, cells.shape[1], None)
    for line in cells:
        rows.row(np.flatnonzero(np.diff(line, prepend=True)).tolist())
    return encoder.finish(), rows.decisions


class Decoder:
    """Rows of packed edges, from the top."""

    def __init__(self, packed: bytes, width: int, most: int) -> None:
        self._decoder, self._width = RangeDecoder(packed), width
        self._rows = _Rows(self._decoder, width, most)

    def rows(self, number: int) -> NDArray[np.bool_]:
        """(number, width), True where there is data. StreamError for what no encoder writes."""
        changes = np.zeros((number, self._width), np.uint8)
        for line in changes:
            line[self._rows.row(None)] = 1
        return np.asarray(np.bitwise_xor.accumulate(changes, axis=1) == 0, np.bool_)

    @property
    def left(self) -> int:
        """Bytes that no decision so far has to do with."""
        return self._decoder.left


def _move_class(move: int) -> int:
    size = abs(move)
    found = size if size < 4 else 4 if size < 6 else 5 if size < 10 else 6
    return found if move >= 0 else -found


def _gap_class(columns: int) -> int:
    """Two classes an octave."""
    if columns <= 0:
        return 0
    n = (columns + 1).bit_length() - 1
    return min(2 * n + ((columns + 1) >> (n - 1) & 1), 14)


class _Rows:
    """The rows of a mask one after another, told to an encoder or by a decoder."""

    def __init__(self, coder: RangeEncoder | RangeDecoder, width: int, most: int | None) -> None:
        self.decisions = 0
        self._coder, self._width, self._most = coder, width, most
        self._states: dict[tuple[int, int, Context], list[int]] = {}
        self._weights: dict[int, list[int]] = {}
        self._above: list[_Edge] = []

    def row(self, wanted: Sequence[int] | None) -> list[int]:
        """The columns of the next row's edges: `wanted`, or what the decoder says. StreamError if these are none."""
        found: list[_Edge] = []
        at = 0
        while (following := self._next(at, found, wanted)) is not _Next.NOTHING:
            if following is _Next.GOES_ON:
                found.append(self._goes_on(at, found, wanted))
                at += 1
            elif following is _Next.ENDS:
                at += 2
            else:
                self._begin(at, found, wanted, 1 if following is _Next.LONE else 2)
            if found and not -1 < found[-1].column < self._width:
                raise StreamError(NOT_RISING)
        if not self._coder.settled:
            raise StreamError(ENDED)
        self._above = found
        return [edge.column for edge in found]

    def _next(self, at: int, found: list[_Edge], wanted: Sequence[int] | None) -> _Next:
        said = (
            None if wanted is None else _following([e.column for e in self._above[at : at + 2]], wanted[len(found) :])
        )
        last = found[-1].column if found else -1
        if at >= len(self._above):
            room = _gap_class(self._width - max(last, 0))
            if not self._bit(MORE, said is not _Next.NOTHING, (room, len(found) & 1), (int(not self._above),)):
                return _Next.NOTHING
            return _Next.LONE if self._bit(LONE, said is _Next.LONE, ()) else _Next.BEGIN
        edge, gap = self._above[at], self._gap(at)
        closing = (self._above[at + 1].moves[0] if at + 1 < len(self._above) else 0) - edge.moves[0]
        soon, before = _gap_class(gap + closing), _gap_class(edge.column + edge.moves[0] - last)
        if not self._bit(OTHER, said is not _Next.GOES_ON, (soon, _move_class(closing)), (_gap_class(gap), before)):
            return _Next.GOES_ON
        return _Next.ENDS if self._bit(ENDS, said is _Next.ENDS, (soon,)) else _Next.BEGIN

    def _gap(self, at: int) -> int:
        """Columns from an edge of the row above to the next one."""
        return (self._above[at + 1].column if at + 1 < len(self._above) else self._width) - self._above[at].column

    def _goes_on(self, at: int, found: list[_Edge], wanted: Sequence[int] | None) -> _Edge:
        edge = self._above[at]
        before = 0 if at == 0 else min(max(edge.column - found[-1].column, 0), 2) if found else 2
        contexts = edge.contexts(3 * min(self._gap(at), 4) + before)
        to = edge.moved(self._move(None if wanted is None else wanted[len(found)] - edge.column, contexts))
        if found and to.column <= found[-1].column:
            raise StreamError(NOT_RISING)
        return to

    def _move(self, said: int | None, contexts: tuple[Context, ...]) -> int:
        if not self._bit(MOVES, said != 0, *contexts):
            return 0
        sign = -1 if self._bit(LEFT, said is not None and said < 0, *contexts) else 1
        size = None if said is None else abs(said)
        for steps in range(1, MOST_STEPS):
            at = tuple((steps, sign, *context) for context in contexts)
            if not self._bit(STEP, size is not None and size > steps, *at):
                return sign * steps
        return sign * (MOST_STEPS + self._number(None if size is None else size - MOST_STEPS, FAR, 0))

    def _begin(self, at: int, found: list[_Edge], wanted: Sequence[int] | None, edges: int) -> None:
        last = found[-1].column if found else -1
        room = (self._above[at].column if at < len(self._above) else self._width) - max(last, 0)
        said = None if wanted is None else wanted[len(found)] - last - 1
        found.append(_Edge(last + 1 + self._number(said, COLUMN, _gap_class(room))))
        if edges == 2:
            start = found[-1].column
            said = None if wanted is None else wanted[len(found)] - start - 1
            found.append(_Edge(start + 1 + self._number(said, WIDTH, 0)))

    def _number(self, said: int | None, which: int, room: int) -> int:
        """An Exp-Golomb code of order 0 with adaptive states."""
        bits = None if said is None else (said + 1).bit_length() - 1
        n = 0
        while self._bit(DOUBLING, bits is not None and bits > n, (which, n, room)):
            n += 1
            if n > MOST_DOUBLINGS:
                raise StreamError(TOO_FAR)
        value = 1
        for place in range(n - 1, -1, -1):
            bit = said is not None and bool((said + 1) >> place & 1)
            value = 2 * value + self._bit(BIT, bit, (which, n if place == n - 1 else -1))
        return value - 1

    def _bit(self, kind: int, bit: bool, *contexts: Context) -> int:
        self.decisions += 1
        if self._most is not None and self.decisions > self._most:
            raise StreamError(TOO_LONG)
        states = [self._state((kind, number, context)) for number, context in enumerate(contexts)]
        weights = self._weights.setdefault(kind, [WEIGHTS[len(states)]] * len(states))
        return mixed_bit(self._coder, int(bit), states, weights, LIMIT, LEARNING_SHIFT)

    def _state(self, key: tuple[int, int, Context]) -> list[int]:
        if key not in self._states:
            self._states[key] = [START[key[0]], 0]
        return self._states[key]


def _following(above: Sequence[int], wanted: Sequence[int]) -> _Next:
    """What is said of the next edges above and those wanted. A pair that no other column overlaps ends or begins."""
    if not above:
        return (_Next.NOTHING, _Next.LONE, _Next.BEGIN)[min(len(wanted), 2)]
    if not wanted or (len(above) > 1 and above[1] < wanted[0]):
        return _Next.ENDS
    return _Next.BEGIN if len(wanted) > 1 and wanted[1] < above[0] else _Next.GOES_ON
