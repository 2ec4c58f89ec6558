"""Probability tables of the range coder: integer widths that sum to 2^24, one table per (fraction, scale).

A latent value y with predicted mean m is coded as the symbol `s = y - floor(m)` with the table
`index = fraction * n_scales + scale`, where `fraction / 8 = m - floor(m)`: table (f, i) is a discretised
distribution with its centre at f/8 and standard deviation sigma_i. The slots of a table are, in order, the
values v = -S .. S and one escape slot for all the rest.

Wide distributions are coded in two parts: `v = s >> shift` through the table, then the low `shift` bits
uniformly. With at least nine buckets per sigma the loss against a full table is below 0.001 bit per symbol
(second-order term of a linear density in a bucket: (width/sigma)^2 / 24 nat), and no table needs more than
258 slots.

The scales are log-spaced from 0.05 to 600 steps: below 0.05 a centred symbol costs less than 1e-6 bit, so a
finer grid buys nothing, and 600 steps is the spread of the lowest-frequency channels at the finest quantiser
step; one grid step is a factor of 1.16, so the worst scale error of 8 % costs below 0.01 bit per symbol.

What ships is the integer array: `build` uses float64 only to choose widths, and nobody builds tables
at run time. The digest covers every number that decides a coded bit.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.digest import arrays_digest
from swathpack.edge.stream.wire import TABLES_DIGEST_BYTES

PRECISION_BITS = 24
TOTAL = 1 << PRECISION_BITS
SYMBOL_LIMIT = 1 << 17  # every coded symbol satisfies |s| < SYMBOL_LIMIT: differences of two int16 fit
MAX_HALF = 1024
MAX_SHIFT = 8
MAX_ESCAPE_ORDER = 16
MAX_TABLES = 1 << 15
COST_UNIT = 1.0 / 65536.0  # bits per unit of the integer cost tables
SLOPE_BITS = 8  # fraction bits of slopes, in bits per scale
SLOPE_LIMIT = 4 << SLOPE_BITS
DISTANCE_BITS = 8  # fraction bits of expected distances, in 1/8 step
DISTANCE_LIMIT = 4095  # of a symbol from its mean, in 1/8 step
PRIOR_LIMIT = 20 << 16
PRIOR_SHAPE = (3, 2, 16, 16)  # see swathpack.edge.codec.rangecoder.adaptive

N_FRACTIONS = 8
N_SCALES = 64
SIGMA_MIN = 0.05
SIGMA_MAX = 600.0
TAIL_SIGMAS = 7.0
BUILD_MAX_HALF = 128

FloatArray = NDArray[np.float64]


class TableError(ValueError):
    """Probability tables that break a rule: shapes, widths, sums or limits; carries expected and found."""


def sigma_grid(n_scales: int = N_SCALES, low: float = SIGMA_MIN, high: float = SIGMA_MAX) -> FloatArray:
    """Log-spaced standard deviations in quantiser steps, (n_scales,) float64."""
    if n_scales == 1:
        return np.array([low])
    return low * (high / low) ** (np.arange(n_scales) / (n_scales - 1))


def _logistic_cdf(x: FloatArray) -> FloatArray:
    # Standard deviation 1: scale sqrt(3)/pi. tanh keeps both tails finite.
    return np.asarray(0.5 * (1.0 + np.tanh(0.5 * x * (math.pi / math.sqrt(3.0)))), dtype=np.float64)


def _gaussian_cdf(x: FloatArray) -> FloatArray:
    return np.array([0.5 * math.erfc(-v / math.sqrt(2.0)) for v in x.tolist()], dtype=np.float64)


def _laplace_cdf(x: FloatArray) -> FloatArray:
    tail = 0.5 * np.exp(-math.sqrt(2.0) * np.abs(x))
    return np.where(x < 0, tail, 1.0 - tail)


_CDFS: tuple[Callable[[FloatArray], FloatArray], ...] = (_logistic_cdf, _gaussian_cdf, _laplace_cdf)


@dataclass(frozen=True)
class Mixture:
    """Weights of the unit-variance shapes that make the symbol distribution; they are normalised."""

    logistic: float = 1.0
    gaussian: float = 0.0
    laplace: float = 0.0

    def interval(self, low: FloatArray, high: FloatArray) -> FloatArray:
        """Probability of [low, high) in units of sigma. Mirrored to the left tail, where a difference
        of CDFs loses no digits."""
        flip = low > 0
        a, b = np.where(flip, -high, low), np.where(flip, -low, high)
        weights = (self.logistic, self.gaussian, self.laplace)
        mass = np.zeros_like(a)
        for weight, cdf in zip(weights, _CDFS):
            if weight > 0:
                mass += weight * (cdf(b) - cdf(a))
        return np.asarray(np.maximum(mass, 0.0) / sum(weights), dtype=np.float64)


def round_to_total(mass: FloatArray) -> NDArray[np.int64]:
    """Integer widths >= 1 with sum 2^24, by largest remainder; ties go to the lower slot.

    One unit is set aside for each slot, the rest is shared in proportion to `mass` (n,) >= 0.
    """
    n = mass.size
    share: FloatArray = mass / mass.sum() * (TOTAL - n)
    widths: NDArray[np.int64] = np.floor(share).astype(np.int64)
    missing = TOTAL - n - int(widths.sum())
    order = np.argsort(-(share - widths), kind="stable")
    widths[order[:missing]] += 1
    return widths + 1


@dataclass(frozen=True, eq=False)  # identity equality: coders keep their own form of a set of tables by it
class ProbabilityTables:
    """Integer probability tables. Immutable; checked on construction (TableError).

    widths: (n_entries,) uint32, the tables one after another, each -S..S then escape, sum 2^24 each.
    half: (n_tables,) uint16, S. shift: (n_tables,) uint8, low bits coded uniformly.
    escape_order: (n_tables,) uint8, order of the Exp-Golomb code of an escape.
    n_fractions: tables are laid out as fraction * n_scales + scale.
    sigmas: (n_scales,) float64 in steps, for training and planning only; decides no bit, not digested.
    prior: PRIOR_SHAPE int32, where adaptive coding starts (`swathpack.edge.codec.rangecoder.adaptive`); None: scales do not adapt.
    """

    widths: NDArray[np.uint32]
    half: NDArray[np.uint16]
    shift: NDArray[np.uint8]
    escape_order: NDArray[np.uint8]
    n_fractions: int = N_FRACTIONS
    sigmas: FloatArray = field(default_factory=sigma_grid)
    prior: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        _check_layout(self)
        _check_widths(self)

    @property
    def n_tables(self) -> int:
        """Fractions times scales."""
        return int(self.half.size)

    @property
    def n_scales(self) -> int:
        """Tables of one fraction."""
        return self.n_tables // self.n_fractions

    @cached_property
    def start(self) -> NDArray[np.uint32]:
        """(n_tables + 1,) uint32: first entry of each table in `widths`."""
        sizes = 2 * self.half.astype(np.uint32) + 2
        return np.concatenate([np.zeros(1, np.uint32), np.cumsum(sizes, dtype=np.uint32)])

    @cached_property
    def cumulative(self) -> NDArray[np.uint32]:
        """(n_entries,) uint32: left edge of each slot in [0, 2^24)."""
        left = np.concatenate([np.zeros(1, np.uint64), np.cumsum(self.widths, dtype=np.uint64)[:-1]])
        # Every table sums to 2^24 exactly, so the running sum at a table's start is a multiple of it.
        return (left % TOTAL).astype(np.uint32)

    @cached_property
    def cost(self) -> NDArray[np.uint32]:
        """(n_entries,) uint32: cost of each slot in 1/65536 bit, without escape remainder and low bits."""
        bits = PRECISION_BITS - np.log2(self.widths.astype(np.float64))
        return np.rint(bits / COST_UNIT).astype(np.uint32)

    @cached_property
    def slope(self) -> NDArray[np.int16]:
        """(n_entries,) int16: by how much more a slot's symbol costs with the next wider scale than with the next
        narrower one, halved, in 1/256 bit and within SLOPE_LIMIT. Integers throughout, as both sides code by it.
        """
        table = np.repeat(np.arange(self.n_tables), 2 * self.half.astype(np.int64) + 2)
        half, shift = self.half[table].astype(np.int64), self.shift[table].astype(np.int64)
        value = np.arange(table.size) - self.start[table].astype(np.int64) - half
        symbol = (value << shift) + ((1 << shift) >> 1)
        scale = table % self.n_scales
        wider = self._integer_cost(table + (scale < self.n_scales - 1), symbol)
        narrower = self._integer_cost(table - (scale > 0), symbol)
        slope: NDArray[np.int16] = np.clip((wider - narrower) >> 1, -SLOPE_LIMIT, SLOPE_LIMIT).astype(np.int16)
        return slope

    def _integer_cost(self, table: NDArray[np.int64], symbol: NDArray[np.int64]) -> NDArray[np.int64]:
        """Cost of symbols (n,) with tables (n,) in 1/256 bit, free of floating point."""
        half, shift = self.half[table].astype(np.int64), self.shift[table].astype(np.int64)
        value = symbol >> shift
        excess = np.abs(value) - half - 1
        slot = np.where(excess >= 0, 2 * half + 1, value + half)
        width = self.widths[self.start[table].astype(np.int64) + slot].astype(np.int64)
        cost = ((PRECISION_BITS + shift) << SLOPE_BITS) - log2_integer(width)
        escape = _escape_bits(excess, self.escape_order[table]) << SLOPE_BITS
        return cost + np.where(excess >= 0, escape, 0)

    @cached_property
    def expected(self) -> NDArray[np.int32]:
        """(n_tables,) int32: mean distance of a symbol from the predicted mean, in 1/256 of 1/8 step."""
        found = np.empty(self.n_tables, np.int64)
        for k in range(self.n_tables):
            half, shift = int(self.half[k]), int(self.shift[k])
            eighths = 8 * (k // self.n_scales) // self.n_fractions
            middle = (np.arange(-half, half + 2) << shift) + ((1 << shift) >> 1)
            distance = np.abs(8 * middle - eighths)
            found[k] = (self.table_widths(k).astype(np.int64) * distance).sum() >> (PRECISION_BITS - DISTANCE_BITS)
        return np.minimum(found, DISTANCE_LIMIT << DISTANCE_BITS).astype(np.int32)

    def table_widths(self, index: int) -> NDArray[np.uint32]:
        """Widths of one table, (2 S + 2,) uint32; the last is the escape."""
        return self.widths[self.start[index] : self.start[index + 1]]

    def to_constriction(self, index: int) -> NDArray[np.float32]:
        """Weights for constriction's `Categorical(weights, perfect=False)`, which adds 1 to each slot.

        Every weight and every sum is an integer below 2^24, so float32 holds them exactly.
        """
        return (self.table_widths(index) - np.uint32(1)).astype(np.float32)

    def cost_units(self, table_index: NDArray[Any], symbols: NDArray[Any]) -> NDArray[np.int64]:
        """Cost of each symbol in 1/65536 bit, escapes and low bits included; shapes broadcast, int64."""
        t = np.asarray(table_index, dtype=np.intp)
        half, shift = self.half[t].astype(np.int64), self.shift[t].astype(np.int64)
        value = np.asarray(symbols, dtype=np.int64) >> shift
        excess = np.abs(value) - half - 1
        escaped = excess >= 0
        slot = np.where(escaped, 2 * half + 1, value + half)
        cost = self.cost[self.start[t].astype(np.int64) + slot].astype(np.int64) + (shift << 16)
        if np.any(escaped):
            cost = cost + np.where(escaped, _escape_bits(excess, self.escape_order[t]) << 16, 0)
        return cost

    def cost_bits(self, table_index: NDArray[Any], symbols: NDArray[Any]) -> float:
        """Total cost in bits: exact up to the rounding of each slot to 1/65536 bit."""
        return float(self.cost_units(table_index, symbols).sum() * COST_UNIT)

    def digest(self, n_bytes: int = TABLES_DIGEST_BYTES) -> bytes:
        """SHA-256 digest over all that decides a coded bit (see swathpack.edge.codec.digest.arrays_digest)."""
        return arrays_digest(self._coding_arrays(), n_bytes)

    def _coding_arrays(self) -> dict[str, NDArray[Any]]:
        prior = {} if self.prior is None else {"tables_prior": self.prior}
        return prior | {
            "tables_widths": self.widths,
            "tables_half": self.half,
            "tables_shift": self.shift,
            "tables_escape_order": self.escape_order,
            "tables_n_fractions": np.array(self.n_fractions, dtype=np.uint16),
        }

    def to_arrays(self) -> dict[str, NDArray[Any]]:
        """The npz keys (all start with `tables_`) that `from_arrays` reads back."""
        return {**self._coding_arrays(), "tables_sigmas": self.sigmas}

    @staticmethod
    def from_arrays(arrays: Any) -> ProbabilityTables:
        """Tables from a mapping such as an open npz; missing keys and bad values raise TableError."""
        try:
            return ProbabilityTables(
                widths=_integers(arrays["tables_widths"], np.uint32),
                half=_integers(arrays["tables_half"], np.uint16),
                shift=_integers(arrays["tables_shift"], np.uint8),
                escape_order=_integers(arrays["tables_escape_order"], np.uint8),
                n_fractions=int(arrays["tables_n_fractions"]),
                prior=_integers(arrays["tables_prior"], np.int32) if "tables_prior" in arrays else None,
                sigmas=np.asarray(arrays["tables_sigmas"], dtype=np.float64),
            )
        except (KeyError, TypeError) as error:
            raise TableError(f"not a set of probability tables: {error}") from error

    def save(self, path: str | Path) -> None:
        """Write an npz that holds nothing but the tables."""
        arrays: dict[str, Any] = self.to_arrays()
        np.savez_compressed(path, **arrays)

    @staticmethod
    def load(path: str | Path) -> ProbabilityTables:
        """Read tables from an npz (extra keys are ignored)."""
        with np.load(path, allow_pickle=False) as arrays:
            return ProbabilityTables.from_arrays(arrays)


def log2_integer(values: NDArray[np.int64]) -> NDArray[np.int64]:
    """Floor of 256 log2 of values (n,) in 1..2^31: one bit of the fraction for each squaring of the mantissa."""
    whole = np.zeros(values.shape, np.int64)
    for step in (16, 8, 4, 2, 1):
        whole += step * ((values >> (whole + step)) > 0)
    mantissa = (values.astype(np.uint64) << np.uint64(31)) >> whole.astype(np.uint64)
    found = whole
    for _ in range(SLOPE_BITS):
        mantissa = (mantissa * mantissa) >> np.uint64(31)
        carry = mantissa >> np.uint64(32)
        found = 2 * found + carry.astype(np.int64)
        mantissa >>= carry
    return found


def _integers(array: Any, dtype: Any) -> NDArray[Any]:
    found = np.asarray(array)
    if found.dtype != dtype:
        raise TableError(f"expected {np.dtype(dtype)}, found {found.dtype}")
    return np.ascontiguousarray(found)


def _escape_bits(excess: NDArray[np.int64], order: NDArray[np.uint8]) -> NDArray[np.int64]:
    """Length of sign + Exp-Golomb(order) for excess >= 0: one sign bit, n + 1 prefix, n + order suffix."""
    k = order.astype(np.int64)
    raised = np.maximum(excess, 0) + (np.int64(1) << k)
    top: NDArray[np.int64] = np.frexp(raised.astype(np.float64))[1].astype(np.int64) - 1
    return 2 * (top - k) + k + 2


def _check_layout(tables: ProbabilityTables) -> None:
    n = tables.half.size
    if not 0 < n <= MAX_TABLES or tables.n_fractions < 1 or n % tables.n_fractions:
        raise TableError(f"expected 1..{MAX_TABLES} tables in {tables.n_fractions} fractions, found {n}")
    if tables.shift.shape != (n,) or tables.escape_order.shape != (n,) or tables.half.shape != (n,):
        raise TableError(f"expected {n} shifts and escape orders, found {tables.shift.shape}")
    limits = (("half", MAX_HALF), ("shift", MAX_SHIFT), ("escape_order", MAX_ESCAPE_ORDER))
    for name, limit in limits:
        largest = int(getattr(tables, name).max())
        if largest > limit:
            raise TableError(f"expected {name} at most {limit}, found {largest}")
    if tables.prior is not None and (tables.prior.shape != PRIOR_SHAPE or np.abs(tables.prior).max() > PRIOR_LIMIT):
        raise TableError(f"prior: expected {PRIOR_SHAPE} within {PRIOR_LIMIT}, found {tables.prior.shape}")
    if tables.sigmas.shape != (n // tables.n_fractions,):
        raise TableError(f"expected {n // tables.n_fractions} sigmas, found {tables.sigmas.shape}")


def _check_widths(tables: ProbabilityTables) -> None:
    entries = int(tables.start[-1])
    if tables.widths.shape != (entries,):
        raise TableError(f"expected {entries} widths, found shape {tables.widths.shape}")
    if int(tables.widths.min()) < 1:
        raise TableError("expected every width to be at least 1, found 0")
    sums = np.add.reduceat(tables.widths.astype(np.int64), tables.start[:-1].astype(np.int64))
    wrong = np.flatnonzero(sums != TOTAL)
    if wrong.size:
        raise TableError(f"expected widths that sum to {TOTAL}, found {sums[wrong[0]]} in table {wrong[0]}")


def _scale_layout(sigma: float, max_half: int) -> tuple[int, int, int]:
    """(S, shift, escape order) for a standard deviation in steps."""
    reach = TAIL_SIGMAS * sigma + 1.0  # the centre lies in [0, 1), so one more step on the right
    shift = max(0, math.ceil(math.log2(reach / max_half)))
    half = max(2, min(max_half, math.ceil(reach / (1 << shift))))
    order = max(0, round(math.log2(max(sigma, 1.0) / (1 << shift))))
    return half, shift, order


def _slot_mass(centre: float, sigma: float, half: int, shift: int, mixture: Mixture) -> FloatArray:
    """Probability of v = -S..S and of the escape, for the value s in bucket v when s >> shift == v."""
    step = float(1 << shift)
    edges = (np.arange(-half, half + 2, dtype=np.float64) * step - 0.5 - centre) / sigma
    far = np.array([np.inf])
    outside = mixture.interval(-far, edges[:1]) + mixture.interval(edges[-1:], far)
    return np.concatenate([mixture.interval(edges[:-1], edges[1:]), outside])


def build(
    mixture: Mixture | None = None,
    sigmas: FloatArray | None = None,
    n_fractions: int = N_FRACTIONS,
    max_half: int = BUILD_MAX_HALF,
) -> ProbabilityTables:
    """Build the tables (at export, once). Defaults: logistic, 64 sigmas from 0.05 to 600, 8 fractions."""
    mixture = mixture or Mixture()
    sigmas = sigma_grid() if sigmas is None else np.asarray(sigmas, dtype=np.float64)
    layouts = [_scale_layout(float(sigma), max_half) for sigma in sigmas] * n_fractions
    widths = []
    for index, (half, shift, _) in enumerate(layouts):
        fraction, scale = divmod(index, sigmas.size)
        mass = _slot_mass(fraction / n_fractions, float(sigmas[scale]), half, shift, mixture)
        widths.append(round_to_total(mass))
    columns = np.array(layouts)
    return ProbabilityTables(
        widths=np.concatenate(widths).astype(np.uint32),
        half=columns[:, 0].astype(np.uint16),
        shift=columns[:, 1].astype(np.uint8),
        escape_order=columns[:, 2].astype(np.uint8),
        n_fractions=n_fractions,
        sigmas=sigmas,
    )
