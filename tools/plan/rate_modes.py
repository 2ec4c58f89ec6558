"""Rate tables of all modes and band sets: what `swathpack.tools.bench.rate_tables` measures.

    {"schema": "swathpack-rates-2", "measured": true, "source": "...", "command": "...", "date": "...", ...
     "sets": [{"bands": ["B08"], "scenes": 23, "learned_tiles": 0,
               "transform": {"head_bytes": 67, "rows": [[0, ...], [null, ...], [1, ...], ...]},
               "auto": {...},
               "predictive": {"head_bytes": 30, "rows": [[0, ...], [1, ...], ...]}}, ...],
     "boards": ...}

A row of `transform` and `auto` is [layers, mean bppb, PSNR mean, P10, P50, P90]; layers null is a prefix shorter than the first
layer, which files may be cut to and passes are not. `auto` stands only where it gave tiles to the network. A row of `predictive` is
[greatest error, bppb mean, P10, P50, P90, PSNR the same], with null for PSNR where every value is exact. A number of bands that
was not measured lies between two that were: its bits a pixel and band and its PSNR are interpolated, point by point.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np

from swathpack.tools.errors import UserError
from swathpack.tools.plan.rate_table import (
    CLASS_WEIGHTS,
    Array,
    Effort,
    RateTable,
    Service,
    classes_of,
    read_effort,
    rmse_dn,
)

TABLES_SCHEMA = "swathpack-rates-2"
SERVICE_ERRORS = (0, 1, 2, 5, 10, 20, 50)
SERVICE_RMSE = (5.0, 10.0, 20.0, 50.0)
# Columns of mean, P10 and P90: of bppb, then of PSNR. All tiles of an embedded coder take the mean, as they are cut there.
EMBEDDED, WHOLE = (1, 1, 1, 2, 3, 5), (1, 2, 4, 5, 6, 8)
MODES = ("auto", "learned", "transform", "predictive")


@dataclass(frozen=True)
class Rows:
    """Points of a coder. first: (n,) layers or greatest errors. bppb, psnr_db: (3, n) mean, P10, P90; infinite if exact."""

    head_bytes: float
    first: Array
    bppb: Array
    psnr_db: Array

    def between(self, other: Rows, share: float) -> Rows:
        """At `share` of the way to another's."""
        if not np.array_equal(self.first, other.first):
            raise UserError("rate table: expected the same points in all sets")

        def mixed(a: Array, b: Array) -> Array:
            return np.where(np.isfinite(a), (1 - share) * a + share * np.where(np.isfinite(b), b, 0), a)

        head = (1 - share) * self.head_bytes + share * other.head_bytes
        return Rows(head, self.first, mixed(self.bppb, other.bppb), mixed(self.psnr_db, other.psnr_db))

    def table(self, mode: str, names: Sequence[str], source: str, measured: bool, effort: Effort) -> RateTable:
        """As the planner takes it. Hard tiles are those with P10 of the quality and P90 of the bytes."""
        rate = classes_of(self.bppb[0], self.bppb[2], self.bppb[1])
        quality = classes_of(*self.psnr_db)
        return RateTable(
            source,
            measured,
            mode,
            tuple(names),
            self.head_bytes,
            rate,
            np.maximum.accumulate(self.bppb[0]),
            quality,
            np.maximum.accumulate(self.psnr_db[0]),
            effort,
        )


@dataclass(frozen=True)
class BandSet:
    """All coders on one set of bands."""

    bands: tuple[str, ...]
    transform: Rows
    auto: Rows
    predictive: Rows

    def between(self, other: BandSet, share: float) -> BandSet:
        """Between two sets."""
        parts = ((getattr(self, n), getattr(other, n)) for n in ("transform", "auto", "predictive"))
        return BandSet(self.bands, *(a.between(b, share) for a, b in parts))


def parse_modes(
    document: dict[str, Any], bands: Sequence[str], mode: str, max_error: int, board: str, power_mode: str
) -> tuple[RateTable, list[str]]:
    """The table of a mode for these bands, its services with it, and warnings. Raises UserError."""
    effort = read_effort(document.get("boards", {}), board, power_mode)
    found, warnings = set_for(read_sets(document), bands)
    source, measured = str(document.get("source", "")), document.get("measured") is True
    if mode == "predictive":
        table = exact_table(found.predictive, max_error, source, measured, effort)
    else:
        rows = found.transform if mode == "transform" else found.auto
        table = rows.table(mode, layer_names(rows), source, measured, effort)
    return replace(table, services=services(found, source, measured, effort)), warnings


def layer_names(rows: Rows) -> list[str]:
    """`nothing`, `1 layer`, `2 layers`, ..."""
    return ["nothing", "1 layer", *(f"{k:.0f} layers" for k in rows.first[2:])]


def services(found: BandSet, source: str, measured: bool, effort: Effort) -> tuple[Service, ...]:
    """What every tile may be promised, lossless first; an RMSE by the first layer of the transform coder that has it."""
    kept = [
        Service(promise(error), exact_table(found.predictive, error, source, measured, effort), max_error=error)
        for error in SERVICE_ERRORS
        if error <= found.predictive.first[-1]
    ]
    table = found.transform.table("transform", layer_names(found.transform), source, measured, effort)
    return (*kept, *(Service(f"RMSE at most {rmse:g} DN", _reaching(table, rmse), rmse=rmse) for rmse in SERVICE_RMSE))


def promise(max_error: int) -> str:
    """`lossless` or `within N DN`."""
    return f"within {max_error} DN" if max_error else "lossless"


def exact_table(rows: Rows, max_error: int, source: str, measured: bool, effort: Effort) -> RateTable:
    """Whole tiles by the predictive coder. Between measured errors bits and PSNR go with the logarithm of 2 N + 1, the number
    of values that one step of the quantiser takes together. Raises UserError beyond them.
    """
    if max_error > rows.first[-1]:
        raise UserError(f"[codec] max_error: no figures beyond {rows.first[-1]:.0f} DN, found {max_error}")
    at, known = math.log2(2 * max_error + 1), np.log2(2 * rows.first + 1)
    bits = np.array([np.interp(at, known, row) for row in rows.bppb])
    # Exact values have no PSNR to go from; the first bounded error that was measured is 1.
    decibels = [float(np.interp(at, known[1:], row[1:])) if max_error else math.inf for row in rows.psnr_db]
    nothing = np.zeros(3)  # no bytes; and 0 dB, an error of 10,000 DN: far worse than anything that is sent
    rate, quality = np.column_stack([nothing, bits]), np.column_stack([nothing, np.array(decibels)])
    whole = Rows(rows.head_bytes, np.array([0.0, 1.0]), rate, quality)
    measured = measured and max_error in rows.first
    return whole.table("predictive", ("nothing", promise(max_error)), source, measured, effort)


def _reaching(table: RateTable, rmse: float) -> RateTable:
    """Of every class the first point whose RMSE is at most that, or the last one."""
    points = [int(np.argmax(good)) if good.any() else len(good) - 1 for good in rmse_dn(table.psnr_db) <= rmse]
    rows = np.arange(len(points))

    def two(values: Array) -> Array:
        return np.column_stack([values[:, 0], values[rows, points]])

    rate, quality = two(table.bppb), two(table.psnr_db)
    means = [np.array(CLASS_WEIGHTS) @ part for part in (rate, quality)]
    names = ("nothing", f"RMSE at most {rmse:g} DN")
    return replace(table, names=names, bppb=rate, psnr_db=quality, mean_bppb=means[0], mean_psnr_db=means[1])


# ------------------------------------------------------------------------------------------------------------ band sets


def set_for(sets: list[BandSet], bands: Sequence[str]) -> tuple[BandSet, list[str]]:
    """What is known of so many bands, and what to warn of: other bands than measured, or a number between two. Raises
    UserError outside of the numbers that were measured.
    """
    count = len(bands)
    same = [s for s in sets if len(s.bands) == count]
    if same:
        best = max(same, key=lambda s: len(set(s.bands) & set(bands)))
        strange = set(best.bands) != set(bands)
        note = f"rates of {count} bands are those of {', '.join(best.bands)}, not of {', '.join(bands)}"
        return best, [note] if strange else []
    below = [s for s in sets if len(s.bands) < count]
    above = [s for s in sets if len(s.bands) > count]
    if not below or not above:
        numbers = ", ".join(str(len(s.bands)) for s in sets)
        raise UserError(f"[imager] bands: no rates for {count} bands, expected a number among or between {numbers}")
    low, high = max(below, key=lambda s: len(s.bands)), min(above, key=lambda s: len(s.bands))
    share = (count - len(low.bands)) / (len(high.bands) - len(low.bands))
    note = f"rates of {count} bands are interpolated between those of {len(low.bands)} and {len(high.bands)}"
    return low.between(high, share), [note]


def read_sets(document: dict[str, Any]) -> list[BandSet]:
    """All sets, in order of their numbers of bands. Raises UserError."""
    rows = document.get("sets")
    if not isinstance(rows, list) or not rows:
        raise UserError("rate table: expected at least one set")
    return sorted((_read_set(row, at) for at, row in enumerate(rows)), key=lambda s: len(s.bands))


def _read_set(row: Any, at: int) -> BandSet:
    where = f"rate table, set {at}"
    if not isinstance(row, dict) or not isinstance(row.get("bands"), list) or not row["bands"]:
        raise UserError(f"{where}: expected a table with bands")
    transform = _read_rows(row.get("transform"), f"{where}, transform", EMBEDDED)
    auto = _read_rows(row["auto"], f"{where}, auto", EMBEDDED) if "auto" in row else transform
    predictive = _read_rows(row.get("predictive"), f"{where}, predictive", WHOLE)
    if len(auto.first) != len(transform.first):
        raise UserError(f"{where}: expected as many layers of auto as of transform")
    return BandSet(tuple(map(str, row["bands"])), transform, auto, predictive)


def _read_rows(table: Any, where: str, columns: Sequence[int]) -> Rows:
    """columns: of mean, P10 and P90 of bppb, then of PSNR."""
    count = columns[-1] + 1
    try:
        kept = [row for row in table["rows"] if row[0] is not None]
        values = np.array([[math.inf if v is None else float(v) for v in row] for row in kept], np.float64)
        head = float(table["head_bytes"])
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise UserError(f"{where}: expected head_bytes and rows of {count} numbers ({error})") from None
    if values.ndim != 2 or values.shape[1] != count or len(values) < 2 or not 0 <= head < 1e6:
        raise UserError(f"{where}: expected head_bytes and at least two rows of {count} numbers")
    rows = Rows(head, values[:, 0], values[:, columns[:3]].T, values[:, columns[3:]].T)
    _check(rows, where, falls=columns is WHOLE)
    return rows


def _check(rows: Rows, where: str, falls: bool) -> None:
    """falls: with the greatest error, as bytes and quality of the predictive coder do; else they rise with the layers."""
    sign = -1 if falls else 1
    if (np.diff(rows.first) <= 0).any() or rows.first[0] != 0 or not np.isfinite(rows.bppb).all():
        raise UserError(f"{where}: expected rows from 0 on, each beyond the one before, with finite rates")
    with np.errstate(invalid="ignore"):
        rises = [(sign * np.diff(row) < 0).any() for row in (rows.bppb[0], rows.psnr_db[0])]
    if any(rises) or (not falls and rows.bppb[0, 0] != 0):
        raise UserError(
            f"{where}: expected means of bppb and PSNR that never {'rise' if falls else 'fall'}, bppb from 0"
        )
    for (mean, low, high), what in ((rows.bppb, "bppb"), (rows.psnr_db, "psnr_db")):
        if (low > high).any() or (rows.bppb < 0).any() or np.isnan(mean).any():
            raise UserError(f"{where}: expected 0 or more, and P10 of {what} at most its P90")
