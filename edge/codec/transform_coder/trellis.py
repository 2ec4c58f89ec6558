"""Trellis-coded quantisation: a tile's payload coded once more, with less error in as many bytes.

Bit planes cut every coefficient by itself; from half a bit a sample on that leaves a tenth of a bit a coefficient that is worth
something on the table. Here two quantisers of step 2 d take turns, one of even multiples of d, one of odd ones and zero, and which one a
coefficient has follows from the parities of the indices before it; so a decoder knows values of step d apart at the price of
2 d, and the encoder looks for the path of least squared error plus what the bits are worth (trellis.c). The indices go through the same
bit planes. Only a payload whose planes are all there gains: of one that is cut in its last plane the rest has values without their
parities, and above it every cut is a little worse than without a trellis. So it is for payloads whose length is settled.

The decoder's side is exact as ever; which indices are chosen is the encoder's own affair, and it needs the C library.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import bitplane, native
from swathpack.edge.codec.transform_coder.analysis import Analysis
from swathpack.edge.codec.transform_coder.beside import Earlier
from swathpack.edge.codec.transform_coder.head import (
    FINE_UNIT,
    STEP_BIAS,
    STEP_BITS,
    STEPS_AN_OCTAVE,
    TRELLIS_UNIT,
    Expected,
    Head,
    expected_of,
    read_head,
    step_of,
    trellis_step,
    write_head,
)
from swathpack.edge.codec.transform_coder.header import BitReader, BitsEnded
from swathpack.edge.codec.transform_coder.layout import Layout, layout_of
from swathpack.edge.codec.transform_coder.prediction import Counts
from swathpack.edge.codec.transform_coder.shaped import holes_in

WORTH = 0.3  # squared steps a bit: of 0.15 to 0.5 what gives the least error
OTHERS = 0.2, 0.4  # give nearly as little, and other errors
ROUNDS = 6  # codings at most; beside a date the first guess may be far off
SHORTEST = 0.997  # of the room that is enough
LONGEST = 1.0003  # cut off by that much, a payload loses next to nothing
BYTES_A_STEP = 1.33  # a step longer by a hundredth part makes bytes fewer by so many, about
SEEN = 1 << 14  # coefficients that the first step is guessed from
_NO_TARGETS = np.zeros(0, np.uint64)


@dataclass(frozen=True, eq=False)
class _Coding:
    """Coefficients (n_values,) in DN of one tile, and the head of the payload that it has. holes: see `bitplane.encode`. earlier: the date
    that it is coded beside.
    """

    head: Head
    expected: Expected
    layout: Layout
    values: NDArray[np.float32]
    holes: NDArray[np.uint8] | None
    earlier: Earlier | None
    worth: float = WORTH

    def at(self, index: int, fine: int) -> bytes:
        """The payload with a trellis of that step."""
        head = replace(self.head, step=index, fine=fine)
        costs = bitplane.trellis_costs()
        found = native.choose_indices(self.layout.subbands, self.values, head.step_dn, self.worth, costs, self.holes)
        scaled, planes = scaled_indices(found)
        front = write_head(replace(head, planes=planes), len(self.head.means), self.expected)
        most = 4 * len(found) + 4096
        beside = None if self.earlier is None else self.earlier.beside(head, self.layout)
        body, _, _ = bitplane.encode(self.layout, planes, scaled, most, _NO_TARGETS, self.holes, True, beside)
        return front + body

    @property
    def finest(self) -> float:
        """The step at which the largest index has as many planes as there may be, less half a plane for what steps are rounded by."""
        return float(np.abs(self.values).max() / 2.0 ** (bitplane.MAX_PLANES + 0.5))

    def guess(self, room: int) -> float:
        """A step at which about `room` bytes are taken, by the sizes of the coefficients alone."""
        sizes = np.abs(np.concatenate([view.ravel() for view in self.layout.views(self.values)]))
        sizes, bits = sizes[:: max(len(sizes) // SEEN, 1)], 8.0 * room / len(sizes)
        low, high = -2.0, 14.0
        for _ in range(20):
            middle = (low + high) / 2
            low, high = (middle, high) if bits_about(sizes, 2.0**middle) > bits else (low, middle)
        return float(2.0**high)


def scaled_indices(indices: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Indices as values of the bit-plane coder, each in the middle of its step; and their planes."""
    values = np.sign(indices) * ((np.abs(indices) << bitplane.FRACTION) + (1 << (bitplane.FRACTION - 1)))
    return values.astype(np.int32), max(int(np.abs(indices).max()).bit_length(), 1)


def bits_about(sizes: NDArray[np.floating], step: float) -> float:
    """Bits a coefficient of these sizes that a trellis of that step takes, about."""
    return 1.3 * float(np.log2(1 + sizes / (2 * step)).mean())


def refine_payload(
    payload: bytes,
    samples: NDArray[np.generic],
    valid: NDArray[np.bool_],
    names: Sequence[str] | None,
    date: Counts | None = None,
    worth: float = WORTH,
) -> bytes | None:
    """A payload with a trellis of at most as many bytes as `payload`, which codes `samples` (C, H, W) on the same bases; None where
    there is no C library, or nothing that could gain. date: what it is coded against. worth: of a bit, in squared steps. Whether it
    draws the tile better is for the caller to see: the error of both is known when both are decoded.
    """
    coding = _coding_of(payload, samples, valid, names, date) if native.available() else None
    if coding is None or not coding.values.any():
        return None
    return _fitted(replace(coding, worth=worth), len(payload))


def _coding_of(
    payload: bytes,
    samples: NDArray[np.generic],
    valid: NDArray[np.bool_],
    names: Sequence[str] | None,
    date: Counts | None,
) -> _Coding | None:
    shape = (samples.shape[0], samples.shape[1], samples.shape[2])
    expected = expected_of(names, shape[0])
    try:
        head = read_head(BitReader(payload), shape, expected)
    except BitsEnded:
        return None
    if not head.estimated or head.fine is not None or not valid.any() or (head.needs_date and date is None):
        return None
    shaped = head.check is not None
    found = Analysis.of(samples.astype(np.float32), valid, expected, head.weights, len(payload), shaped)
    rasters, known = [part.raster for part in head.parts], (head.pyramids, head.weights, found.shapes, head.shift)
    earlier = Earlier.of(date, rasters, *known) if date is not None and head.needs_date else None
    head = earlier.resolved(head, expected) if earlier is not None and head.dated else head
    bands = found.bands
    if earlier is not None and head.prediction is not None:
        bands = found.without(_predicted(head, earlier))
    components = [np.asarray(part.spectrum.forward(rows), np.float32) for part, rows in zip(head.parts, bands)]
    layout = layout_of(head.pyramids)
    holes = holes_in(layout, head.pyramids, found.shapes)
    beside = earlier if head.dated else None
    return _Coding(head, expected, layout, layout.scatter(components), holes, beside)


def _predicted(head: Head, earlier: Earlier) -> list[NDArray[np.float32]]:
    """What the head's prediction tells of every raster's bands, as a decoder has it."""
    assert head.prediction is not None
    every = enumerate(zip(head.parts, earlier.bands))
    return [head.prediction.of(n, bands, part.raster, part.pyramid) for n, (part, bands) in every]


def _fitted(coding: _Coding, room: int) -> bytes | None:
    """The payload of the step that takes just `room` bytes; None where none comes near."""
    step, best, seen = coding.guess(room), b"", dict[tuple[int, int], int]()
    for _ in range(ROUNDS):
        place = _nearest(max(step, coding.finest))
        if place in seen:
            break
        made = coding.at(*place)
        seen[place] = len(made)
        if _fit(len(made), room) > _fit(len(best), room):
            best = made
        if SHORTEST * room <= len(made) <= LONGEST * room:
            break
        step = _next_step([(trellis_step(*each), size) for each, size in seen.items()], room)
    return best[:room] if best and _fit(len(best), room) > 0 else None


def _fit(size: int, room: int) -> float:
    """How well a payload of that size does for the room: one that is cut loses several times what one that is short does."""
    return 1 - (room - size) / room if size <= room else 1 - 4 * (size - room) / room


def _next_step(seen: Sequence[tuple[float, int]], room: int) -> float:
    """Where the line through two sizes over steps, both as logarithms, meets the room: the two next to it on both sides, or the nearest."""
    near = sorted(seen, key=lambda each: abs(each[1] - room))
    (step, size), power = near[0], BYTES_A_STEP
    others = [each for each in near[1:] if (each[1] > room) != (size > room)] or near[1:2]
    if others and others[0][1] != size:
        power = float(np.clip(-np.log(others[0][1] / size) / np.log(others[0][0] / step), 0.5, 4.0))
    return float(step * (size / (0.9985 * room)) ** (1 / power))


def _nearest(step: float) -> tuple[int, int]:
    """Index of the step and what is finer, as heads say them."""
    whole = float(np.clip(step / TRELLIS_UNIT, step_of(0), step_of((1 << STEP_BITS) - 1)))
    index = int(np.clip(np.floor(STEPS_AN_OCTAVE * np.log2(whole) + 1e-9) + STEP_BIAS, 0, (1 << STEP_BITS) - 1))
    return index, int(np.clip(np.rint((whole / step_of(index) - 1) / FINE_UNIT), 0, round(0.19 / FINE_UNIT)))
