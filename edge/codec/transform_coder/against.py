"""The encoder's half of a tile beside an earlier date: which date, with gains or without, on which bases."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder.analysis import Analysis, Bases
from swathpack.edge.codec.transform_coder.choice import Chosen
from swathpack.edge.codec.transform_coder.date_values import Beside
from swathpack.edge.codec.transform_coder.head import TransformCoderError, expected_of
from swathpack.edge.codec.transform_coder.layout import Layout, layout_of
from swathpack.edge.codec.transform_coder.prediction import Counts
from swathpack.edge.codec.transform_coder.tile import (
    SHORT,
    CodedTile,
    Wanted,
    checked,
    coded_once,
    excess,
    step_index,
)
from swathpack.edge.codec.transform_coder.weights import Weights

VERY_SHORT = 1024  # bytes aimed at, for which bases of a tile's own are worth another look, too
TRIED_LENGTHS, HEADS = 2, 256  # so far a tile is coded where several codings are compared


def encode_against(
    alone: CodedTile,
    samples: NDArray[np.generic],
    valid: NDArray[np.bool_] | None,
    names: Sequence[str] | None,
    aim_bytes: int,
    dates: Sequence[Counts],
) -> CodedTile:
    """A tile that `encode_tile` made `alone` of, against one of several earlier dates, counts (C, H, W) as the decoder will have
    them (`counts_of`), where that has less error around aim_bytes; else `alone` itself. Raises TransformCoderError.
    """
    samples, valid = checked(samples, valid)
    if alone.wanted is None:
        return alone
    expected, wanted = expected_of(names, len(samples)), alone.wanted
    found = Analysis.of(samples, valid, expected, wanted.weights, shaped=wanted.shaped)
    tried = found.against([_fitting(d, samples) for d in dates], aim_bytes) if dates and valid.any() else []
    wanted = replace(wanted, aim=aim_bytes)
    others = [_coded_beside(found if c.parts else found.filled(aim_bytes), wanted, c) for c in tried]
    best = min(others, key=lambda each: excess(each.coded, aim_bytes), default=None)
    return best.whole() if best is not None and excess(best.coded, aim_bytes) < excess(alone, aim_bytes) else alone


def _fitting(date: Counts, samples: NDArray[np.float32]) -> Counts:
    if date.shape != samples.shape or date.dtype != np.uint16:
        raise TransformCoderError(f"earlier date: expected uint16 {samples.shape}, found {date.dtype} {date.shape}")
    return date


@dataclass(frozen=True, eq=False)
class _Trial:
    """A tile beside an earlier date, coded so far that it can be compared, and what it takes to code the rest."""

    coded: CodedTile
    found: Analysis
    wanted: Wanted
    chosen: Chosen
    bases: Bases

    @classmethod
    def of(cls, found: Analysis, wanted: Wanted, chosen: Chosen, bases: Bases) -> tuple[_Trial, set[str]]:
        """And the kinds of its bases."""
        several = wanted.aim <= SHORT  # of which one is coded whole
        limit = min(wanted.limit, TRIED_LENGTHS * wanted.aim + HEADS) if several else wanted.limit
        coded, kinds = coded_once(found, replace(wanted, limit=limit), chosen, bases)
        return cls(coded, found, wanted, chosen, bases), kinds

    def whole(self) -> CodedTile:
        """All of it."""
        if self.coded.wanted == self.wanted:
            return self.coded
        return coded_once(self.found, self.wanted, self.chosen, self.bases)[0]


def _coded_beside(found: Analysis, wanted: Wanted, chosen: Chosen) -> _Trial:
    """On the bases that give most; for few bytes what all kinds give is seen."""
    first, kinds = _Trial.of(found, wanted, chosen, "any")
    others: list[Bases] = []
    if wanted.aim <= SHORT and "usual" in kinds:
        others = ["own", "date"]
    elif wanted.aim <= SHORT and "date" in kinds:
        others = ["own"]
    elif wanted.aim <= VERY_SHORT and kinds:
        others = ["date"]
    trials = [first, *(_Trial.of(found, wanted, chosen, bases)[0] for bases in others)]
    return min(trials, key=lambda trial: excess(trial.coded, wanted.aim))


def beside_of(
    samples: NDArray[np.generic], names: Sequence[str] | None, finest_step: float, aim_bytes: int, date: Counts
) -> list[tuple[Layout, int, NDArray[np.int32], Beside]]:
    """As `coefficients_of` beside an earlier date, with gains, where they save anything, and without, for training."""
    known, valid = checked(samples, None)
    found = Analysis.of(known, valid, expected_of(names, len(samples)), Weights.equal(len(samples)))
    tried, out = found.against([date], aim_bytes), []
    if len(tried) == 1 and tried[0].parts:
        tried.append(replace(tried[0], prediction=None, parts=None))
    for chosen in tried:
        head, matrices = found.coefficients(step_index(finest_step), aim_bytes, chosen)
        layout = layout_of(head.pyramids)
        out.append((layout, head.planes, layout.scatter(matrices), chosen.earlier.beside(head, layout)))
    return out
