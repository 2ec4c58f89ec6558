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
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import bitplane, native
from swathpack.edge.codec.transform_coder.adjoint import made_up
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
from swathpack.edge.codec.transform_coder.shaped import RasterShape, holes_in

WORTH = 0.3  # squared steps a bit: of 0.15 to 0.5 what gives the least error
OTHERS = 0.2, 0.4  # give nearly as little, and other errors
STEP_BY_WORTH = 0.156  # the power of what bits are worth by which steps fall that take as many bytes: training crops, 0.05 and 0.2 bits
ROUNDS = 6  # codings at most; beside a date the first guess may be far off
SHORTEST = 0.997  # of the room that is enough
FILLED = 0.9985  # of the room, aimed at
LONGEST = 1.0003  # cut off by that much, a payload loses next to nothing
# Bits of a coefficient by its size over the step, in octaves: fitted to bytes of training crops, 0.02 to 2 bits a sample (3 % off).
OCTAVES, BITS = (-1.0, -0.5, 0.0, 1.0, 3.0, 23.0), (0.0, 0.09, 1.46, 4.58, 4.58, 26.4)
PARTS, SMALLEST, LARGEST = 8, -8, 20  # an octave, and from which to which sizes are told apart
COMPENSATED = 0.5  # of 0.3 to 1 what gives the least error
_NO_TARGETS = np.zeros(0, np.uint64)


@dataclass(frozen=True, eq=False)
class _Made:
    """A payload, its head, and of how many bytes that is."""

    payload: bytes
    head: Head
    front: int


@dataclass(frozen=True, eq=False)
class _Coding:
    """Coefficients (n_values,) in DN of one tile, and the head of the payload that it has. valid: (H, W). shapes: of the rasters, where
    the other pixels are left out, and holes: see `bitplane.encode`. earlier: the date that it is coded beside.
    """

    head: Head
    expected: Expected
    layout: Layout
    values: NDArray[np.float32]
    valid: NDArray[np.bool_]
    shapes: tuple[RasterShape, ...] | None
    holes: NDArray[np.uint8] | None
    earlier: Earlier | None
    worth: float = WORTH

    def at(self, index: int, fine: int) -> _Made:
        """The payload with a trellis of that step."""
        head = replace(self.head, step=index, fine=fine)
        costs = bitplane.trellis_costs()
        found = native.choose_indices(self.layout.subbands, self.values, head.step_dn, self.worth, costs, self.holes)
        scaled, planes = scaled_indices(found)
        head = replace(head, planes=planes)
        front = write_head(head, len(self.head.means), self.expected)
        most = 4 * len(found) + 4096
        beside = None if self.earlier is None else self.earlier.beside(head, self.layout)
        body, _, _ = bitplane.encode(self.layout, planes, scaled, most, _NO_TARGETS, self.holes, True, beside)
        return _Made(front + body, head, len(front))

    def compensating(self, made: _Made, shapes: Sequence[RasterShape]) -> _Coding:
        """The same with coefficients that make up for those of which a payload of it tells nothing. What they would have to be were
        they alone is too much: they overlap, and are coarse.
        """
        head, body = made.head, made.payload[made.front :]
        beside = None if self.earlier is None else self.earlier.beside(head, self.layout)
        known = bitplane.decode(self.layout, head.planes, body, _NO_TARGETS, self.holes, True, beside)[:2]
        drawn = bitplane.estimate(self.layout, *known, head.step_dn, True)
        missing = np.where(known[0] == 0, self.values - drawn, np.float32(0))
        more = made_up(head.parts, shapes, self.valid, self.layout.gather(missing, head.pyramids))
        added = np.where(known[0] == 0, np.float32(0), np.float32(COMPENSATED) * self.layout.scatter(more))
        return replace(self, values=self.values + added)

    @property
    def finest(self) -> float:
        """The step at which the largest index has as many planes as there may be, less half a plane for what steps are rounded by."""
        return float(np.abs(self.values).max() / 2.0 ** (bitplane.MAX_PLANES + 0.5))

    @cached_property
    def sizes(self) -> NDArray[np.int64]:
        """(n,) how many coefficients have sizes within each part of an octave."""
        octaves = np.log2(np.maximum(np.abs(self.values), np.float32(2.0**SMALLEST)))
        places = np.minimum((PARTS * (octaves - SMALLEST)).astype(np.int64), PARTS * (LARGEST - SMALLEST) - 1)
        return np.bincount(places, minlength=PARTS * (LARGEST - SMALLEST))

    def bits_about(self, step: float) -> float:
        """Bits that the coefficients take with a trellis of that step, about."""
        octaves = SMALLEST + (np.arange(len(self.sizes)) + 0.5) / PARTS - np.log2(step)
        return float(self.sizes @ np.interp(octaves, OCTAVES, BITS))

    def guess(self, bits: float) -> float:
        """A step at which about so many bits are taken."""
        low, high = -9.0, 18.0
        for _ in range(24):
            middle = (low + high) / 2
            low, high = (middle, high) if self.bits_about(2.0**middle) > bits else (low, middle)
        return float(2.0**high)


def scaled_indices(indices: NDArray[np.int32]) -> tuple[NDArray[np.int32], int]:
    """Indices as values of the bit-plane coder, each in the middle of its step; and their planes."""
    values = np.sign(indices) * ((np.abs(indices) << bitplane.FRACTION) + (1 << (bitplane.FRACTION - 1)))
    return values.astype(np.int32), max(int(np.abs(indices).max()).bit_length(), 1)


def refine_payload(
    payload: bytes,
    samples: NDArray[np.generic],
    valid: NDArray[np.bool_],
    names: Sequence[str] | None,
    date: Counts | None = None,
) -> bytes | None:
    """A payload with a trellis of at most as many bytes as `payload`, which codes `samples` (C, H, W) on the same bases; None where
    there is no C library, or nothing that could gain. date: what it is coded against. Whether it draws the tile better is for the
    caller to see: the error of both is known when both are decoded.
    """
    return refine_payloads(payload, samples, valid, names, date)[0]


def refine_payloads(
    payload: bytes,
    samples: NDArray[np.generic],
    valid: NDArray[np.bool_],
    names: Sequence[str] | None,
    date: Counts | None = None,
    worths: Sequence[float] = (WORTH,),
) -> list[bytes | None]:
    """The same by what bits are worth, in squared steps."""
    coding = _coding_of(payload, samples, valid, names, date) if native.available() else None
    if coding is None or not coding.values.any():
        return [None] * len(worths)
    found, usual = list[bytes | None](), coding.guess(8.0 * len(payload))
    for worth in worths:
        own, power = replace(coding, worth=worth), (WORTH / worth) ** STEP_BY_WORTH
        made = _refined(own, len(payload), usual * power)
        found.append(None if made is None else made.payload)
        usual = usual if made is None else made.head.step_dn / power
    return found


def _refined(coding: _Coding, room: int, step: float) -> _Made | None:
    """The payload that fills the room, from a guess of its step."""
    found = _fitted(coding, room, step)
    if found is None or coding.shapes is None:
        return found
    return _fitted(coding.compensating(found, coding.shapes), room, found.head.step_dn)


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
    return _Coding(head, expected, layout, layout.scatter(components), valid, found.shapes, holes, beside)


def _predicted(head: Head, earlier: Earlier) -> list[NDArray[np.float32]]:
    """What the head's prediction tells of every raster's bands, as a decoder has it."""
    assert head.prediction is not None
    every = enumerate(zip(head.parts, earlier.bands))
    return [head.prediction.of(n, bands, part.raster, part.pyramid) for n, (part, bands) in every]


def _fitted(coding: _Coding, room: int, step: float) -> _Made | None:
    """The payload of the step, about that one, that takes just `room` bytes; None where none comes near."""
    best, seen = None, dict[tuple[int, int], int]()
    for _ in range(ROUNDS):
        place = _nearest(max(step, coding.finest))
        if place in seen:
            break
        made = coding.at(*place)
        seen[place] = size = len(made.payload)
        if best is None or _fit(size, room) > _fit(len(best.payload), room):
            best = made
        if SHORTEST * room <= size <= LONGEST * room:
            break
        step = _next_step(coding, [(trellis_step(*each), size) for each, size in seen.items()], room)
    # Near the smallest budgets a payload that is cut may end in its head.
    if best is None or _fit(len(best.payload), room) <= 0 or best.front > room:
        return None
    return replace(best, payload=best.payload[:room])


def _fit(size: int, room: int) -> float:
    """How well a payload of that size does for the room: one that is cut loses several times what one that is short does."""
    return 1 - (room - size) / room if size <= room else 1 - 4 * (size - room) / room


def _next_step(coding: _Coding, seen: Sequence[tuple[float, int]], room: int) -> float:
    """Of one size that was seen, as the coefficients tell. Else where the line through two sizes over steps, both as logarithms, meets the
    room: the two next to it on both sides, or the nearest.
    """
    near, wanted = sorted(seen, key=lambda each: abs(each[1] - room)), FILLED * room
    (step, size), others = near[0], [each for each in near[1:] if (each[1] > room) != (near[0][1] > room)] or near[1:2]
    if not others or others[0][1] == size:
        return coding.guess(coding.bits_about(step) * wanted / size)
    power = float(np.clip(-np.log(others[0][1] / size) / np.log(others[0][0] / step), 0.5, 4.0))
    return float(step * (size / wanted) ** (1 / power))


def _nearest(step: float) -> tuple[int, int]:
    """Index of the step and what is finer, as heads say them."""
    whole = float(np.clip(step / TRELLIS_UNIT, step_of(0), step_of((1 << STEP_BITS) - 1)))
    index = int(np.clip(np.floor(STEPS_AN_OCTAVE * np.log2(whole) + 1e-9) + STEP_BIAS, 0, (1 << STEP_BITS) - 1))
    return index, int(np.clip(np.rint((whole / step_of(index) - 1) / FINE_UNIT), 0, round(0.19 / FINE_UNIT)))
