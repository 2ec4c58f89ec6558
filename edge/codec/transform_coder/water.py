"""Water masks: green above infrared, which is where NDWI = (green - infrared) / (green + infrared) is above 0 (McFeeters 1996).

Where land or water lies by the edge of the mask, an error that nobody sees turns all of a lake at once. So tiles with many such
pixels are told from others here.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

GREEN, INFRARED = frozenset(("B03", "green")), frozenset(("B08", "nir"))
EDGE = 20  # NDWI within 1 / EDGE of 0 is by the edge
Counts = NDArray[np.int64]


def pair_of(names: Sequence[str], counts: NDArray[np.generic]) -> tuple[Counts, Counts] | None:
    """Green and infrared of counts (C, ...), None where one of them is missing."""
    found = [[n for n, name in enumerate(names) if name in one] for one in (GREEN, INFRARED)]
    if not all(found):
        return None
    green, infrared = (counts[numbers[0]].astype(np.int64) for numbers in found)
    return green, infrared


def edge_share(pair: tuple[Counts, Counts] | None) -> float:
    """Share of pixels by the edge of the mask; 0 where there are none."""
    if pair is None or not pair[0].size:
        return 0.0
    green, infrared = pair
    return float((EDGE * np.abs(green - infrared) < green + infrared).mean())


def agreement(
    names: Sequence[str],
    counts: NDArray[np.generic],
    image: NDArray[np.generic],
    valid: NDArray[np.bool_] | None = None,
) -> float:
    """Share of (valid) pixels whose mask is the same in counts (C, ...) and an image of them; 1 where there is no mask."""
    before, after = pair_of(names, counts), pair_of(names, image)
    if before is None or after is None:
        return 1.0
    same = (before[0] > before[1]) == (after[0] > after[1])
    same = same if valid is None else same[valid]
    return float(same.mean()) if same.size else 1.0
