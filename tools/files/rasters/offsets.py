"""The +1,000 of processing baseline 04.00 in a series: which dates carry it.

Archives mix products from before and after January 2022, and their metadata is often wrong. Among dates of one place
the pixels tell: the darkest ones of every band lie some 1,000 DN higher where the offset is in, by the same in all bands.
Clouds raise them too, but not all bands alike.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import BOA_OFFSET, Frame
from swathpack.edge.radiometry import Radiometry

DARK = 0.5  # percentile of a band's valid pixels
NEAR = 250.0  # DN by which the shift may miss 1,000
SPREAD = 250.0  # DN by which bands may differ in it (middle half)
LEAST_BANDS = 3
LEAST_PIXELS = 64
_THINNED = 1 << 18


def absorbed(frames: Sequence[Frame], told: Sequence[bool | None]) -> tuple[list[Frame], list[str]]:
    """The frames with `boa_offset` set as pixels and metadata (`told`, None where silent) say, and what was decided.

    Values are not changed: the offset comes off before coding and goes back on after it.
    """
    if frames[0].radiometry.gain != 1:
        return list(frames), []  # not Sentinel-2's numbers
    decided, notes = decide([_darkest(f) for f in frames], told, [f.time for f in frames], [f.bands for f in frames])
    return [replace(f, boa_offset=d) for f, d in zip(frames, decided)], notes


def decide(
    darkest: Sequence[NDArray[np.float64]],
    told: Sequence[bool | None],
    times: Sequence[str | None],
    bands: Sequence[tuple[str, ...]],
) -> tuple[list[bool], list[str]]:
    """Which dates carry the offset, by their darkest pixels (`darkest_of`) and metadata, and what was decided.

    Only dates of the same bands are compared with each other.
    """
    seen: list[bool | None] = [None] * len(darkest)
    for own in dict.fromkeys(bands):
        index = [i for i, b in enumerate(bands) if b == own]
        for i, judged in zip(index, _seen([darkest[i] for i in index], [told[i] for i in index])):
            seen[i] = judged
    decided = [_decided(s, t) for s, t in zip(seen, told)]
    notes = []
    if any(decided) and not all(decided):
        dates = [t or f"date {i}" for i, (t, d) in enumerate(zip(times, decided)) if d]
        why = "by their darkest pixels" if True in seen else "by their metadata"
        notes.append(
            f"{_listed(dates)} of {len(times)} dates carry the +1,000 of processing baseline 04.00 ({why}); it is "
            "taken off before coding and put back after it"
        )
    wrong = [n or f"date {i}" for i, (n, d, t) in enumerate(zip(times, decided, told)) if t is not None and d != t]
    if wrong:
        notes.append(f"metadata says otherwise of {_listed(wrong)}: the pixels are believed")
    return decided, notes


def _seen(darkest: Sequence[NDArray[np.float64]], told: Sequence[bool | None]) -> list[bool | None]:
    """What pixels tell of dates of the same bands, and metadata of those that lie together; None: nothing."""
    seen = shifted(darkest)
    return seen if True in seen else _alike(seen, told, darkest)


def _listed(dates: Sequence[str]) -> str:
    return ", ".join(dates[:6]) + (f" and {len(dates) - 6} more" if len(dates) > 6 else "")


def _alike(
    seen: Sequence[bool | None], told: Sequence[bool | None], darkest: Sequence[NDArray[np.float64]]
) -> list[bool | None]:
    """No date lies above the others: those that lie together carry the offset all or none, as their metadata says.

    Where it contradicts itself, DN well below 1,000 rule the offset out, and else the majority counts.
    """
    together = [i for i, s in enumerate(seen) if s is False]
    said = [told[i] for i in together if told[i] is not None]
    if not said:
        return [None] * len(seen)
    lowest = min(float(np.nanmin(darkest[i])) for i in together)
    both = len(set(said)) > 1
    carried = said[0] if not both else lowest >= BOA_OFFSET - NEAR and 2 * sum(map(bool, said)) >= len(said)
    return [carried if i in together else None for i in range(len(seen))]


def _decided(seen: bool | None, told: bool | None) -> bool:
    return bool(told) if seen is None else seen


def _darkest(frame: Frame) -> NDArray[np.float64]:
    """The dark end of every band in DN, offset included, (C,); NaN where there are too few pixels."""
    step = step_of(frame.valid.size)
    values = [frame.data[i].ravel()[::step][frame.band_valid(i).ravel()[::step]] for i in range(len(frame.bands))]
    return darkest_of(values, frame.valid.size, frame.radiometry)


def step_of(pixels: int) -> int:
    """Every so many pixels of a frame are looked at."""
    return max(1, pixels // _THINNED)


def darkest_of(values: Sequence[NDArray[np.uint16]], pixels: int, radiometry: Radiometry) -> NDArray[np.float64]:
    """The dark end of every band of a frame of so many pixels, from the counts that are looked at and valid; DN, (C,)."""
    out = np.full(len(values), np.nan)
    for i, own in enumerate(values):
        if own.size >= min(LEAST_PIXELS, pixels):
            out[i] = radiometry.to_dn(np.percentile(own, DARK, keepdims=True).astype(np.uint16))[0]
    return out


def shifted(darkest: Sequence[NDArray[np.float64]]) -> list[bool | None]:
    """Per date whether its darkest pixels (C,) lie 1,000 above the lowest of all dates (True) or with them (False), None
    where they do not tell.
    """
    table = np.stack(darkest)
    if len(table) < 2 or table.shape[1] < LEAST_BANDS or np.isnan(table).all(axis=0).any():
        return [None] * len(table)
    rise = table - np.nanmin(table, axis=0)
    return [_judged(r, d) for r, d in zip(rise, table)]


def _judged(rise: NDArray[np.float64], darkest: NDArray[np.float64]) -> bool | None:
    if np.isnan(rise).any():
        return None
    low, middle, high = np.percentile(rise, (25, 50, 75))
    if high - low > SPREAD:
        return None
    if abs(middle - BOA_OFFSET) <= NEAR and darkest.min() >= BOA_OFFSET - NEAR:
        return True
    return False if middle <= NEAR else None
