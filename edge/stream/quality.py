"""The quality byte, which names a tile-frame's step wherever one is named.

    bits 0-5   the step index q
    bits 6-7   the shift: octaves from the step to that of the base layer; 0: no base, and layer j is group j

See `swathpack.edge.codec.base_layer` for what a base is.
"""

from __future__ import annotations

STEPS = 64
MAX_SHIFT = 3
STEPS_PER_OCTAVE = 8
FINE = 24  # to this step a base three octaves coarser saves more bytes than one of two, beyond it fewer
COARSE = 47  # beyond it a base two octaves coarser is off the scale, and one of one octave is a poor first layer
# Quality bytes that no step and base make: tiles coded without the network (swathpack.edge.codec.plain).
TRANSFORM, PREDICTIVE = 0xFF, 0xFE


def quality_of(q: int, shift: int = 0) -> int:
    """The quality byte of step q (0..63) and base shift (0..3)."""
    if not (0 <= q < STEPS and 0 <= shift <= MAX_SHIFT and q + STEPS_PER_OCTAVE * shift < STEPS):
        raise ValueError(f"expected a step 0..{STEPS - 1} whose base is one too, found {q} with shift {shift}")
    return q | shift << 6


def step_of(quality: int) -> int:
    """Step index q of a quality byte."""
    return quality & (STEPS - 1)


def shift_of(quality: int) -> int:
    """Base shift of a quality byte; 0: no base."""
    return quality >> 6


def base_step_of(quality: int) -> int:
    """Step index of the base."""
    return step_of(quality) + STEPS_PER_OCTAVE * shift_of(quality)


def usual_shift(q: int, most: int = MAX_SHIFT) -> int:
    """The best shift for step q that is at most `most`; judged on val, see docs/results.md."""
    return min(most, 3 if q <= FINE else 2 if q <= COARSE else 0)


def is_learned(quality: int) -> bool:
    """Whether a quality byte is one of the learned codec: a step and a base that is one too."""
    return base_step_of(quality) < STEPS
