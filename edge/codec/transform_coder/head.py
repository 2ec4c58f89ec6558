"""What stands before the coefficients of a payload: step, planes, means, rasters, bases, and what is taken of an earlier date."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import accumulate

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, load_statistics
from swathpack.edge.codec.transform_coder import bitplane, wavelet
from swathpack.edge.codec.transform_coder.exact import power_of_two
from swathpack.edge.codec.transform_coder.header import BitReader, BitWriter
from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.prediction import Prediction, read_prediction, write_prediction
from swathpack.edge.codec.transform_coder.rasters import Raster, read_rasters, write_rasters
from swathpack.edge.codec.transform_coder.shift import REACH, STILL, Shift
from swathpack.edge.codec.transform_coder.spectral import Matrix, Spectrum, read_spectrum, write_spectrum
from swathpack.edge.codec.transform_coder.weights import Weights, read_weights, write_weights

MAX_BANDS = 16
STEP_BITS, STEPS_AN_OCTAVE, STEP_BIAS = 6, 4, 16
PLANE_BITS = 5
# What both sides know to be empty is left out (shaped.py): in the place of the kind stands this, then the kind in 2 bits, and
# a check of the mask behind the weights.
SHAPED, SHAPED_BITS, CHECK_BITS = 25, 2, 16
# Payloads of before, in the place of the planes: an earlier date is taken; bands have weights.
PREDICTED, WEIGHTED = 31, 30
# Since coefficients are estimated from their neighbours: planes come first, with whether the step is the usual one, and in
# their old place stands a kind: 29, one less where an earlier date is taken, two less where bands have weights.
KINDS = (29, 28, 27, 26)
# Before the kind where values are indices of a trellis. Its step: TRELLIS_UNIT of what the 6 bits say, and behind them how many
# FINE_UNITs of that more.
TRELLIS, TRELLIS_UNIT, FINE_BITS, FINE_UNIT = 24, 4.0, 7, 1.0 / 512
# Behind it, a kind below 16 is a tile beside an earlier date (beside.py): the sum of these.
DATED_WEIGHTED, DATED_SHAPED, DATED_TRELLIS, DATED_GAINS, DATED = 1, 2, 4, 8, 16
# In its place, with the kind behind two shifts: the date is moved before anything is taken of it.
MOVED, SHIFT_BITS, DATED_BITS = 16, 6, 4
USUAL, USUAL_STEP = 32, STEP_BIAS
MEAN_UNIT_BITS, MEAN_ORDER, DATED_MEAN_ORDER = 3, 6, 3


class TransformCoderError(ValueError):
    """Input that cannot be coded, or a payload that no encoder wrote."""


@dataclass(frozen=True, eq=False)
class Part:
    """What the head says of one raster."""

    raster: Raster
    pyramid: Pyramid
    spectrum: Spectrum


@dataclass(frozen=True, eq=False)
class Head:
    """step: of plane 0, in quarters of an octave; means in units of 2^mean_unit. prediction: None for a tile that stands
    alone. estimated: False in payloads of before `estimate.py`. check: of the mask, where the valid pixels alone are coded.
    fine: of a trellis, see `trellis_step`; None where there is none. dated: coded beside an earlier date; date_means: the means that
    it tells, () until it is at hand, and till then the means are what is to be added to them. shift: how far it is moved.
    """

    step: int
    planes: int
    mean_unit: int
    means: tuple[int, ...]
    weights: Weights
    parts: tuple[Part, ...]
    prediction: Prediction | None = None
    estimated: bool = True
    check: int | None = None
    fine: int | None = None
    dated: bool = False
    date_means: tuple[int, ...] = ()
    shift: Shift = STILL

    @property
    def needs_date(self) -> bool:
        """Whether an earlier date must be at hand."""
        return self.dated or self.prediction is not None

    def with_date(self, means: tuple[int, ...], parts: tuple[Part, ...]) -> Head:
        """What was read, when the date is at hand that it leaves means and bases to."""
        whole = tuple(more + mean for more, mean in zip(self.means, means))
        return replace(self, means=whole, date_means=means, parts=parts)

    @property
    def step_dn(self) -> float:
        """DN of plane 0, or of the trellis."""
        return step_of(self.step) if self.fine is None else trellis_step(self.step, self.fine)

    @property
    def pyramids(self) -> tuple[Pyramid, ...]:
        """Of the rasters."""
        return tuple(part.pyramid for part in self.parts)


def step_of(index: int) -> float:
    """DN of plane 0."""
    return power_of_two(index - STEP_BIAS)


def trellis_step(index: int, fine: int) -> float:
    """DN of a trellis's step."""
    return TRELLIS_UNIT * step_of(index) * (1.0 + fine * FINE_UNIT)


def pyramid_of(raster: Raster, height: int, width: int) -> Pyramid:
    """The wavelet's shape for a raster of a tile."""
    rows, columns = raster.grid.size(height, width)
    return Pyramid(
        rows,
        columns,
        wavelet.levels_of(rows, columns),
        len(raster.bands),
        len(raster.bands) + len(raster.half),
        raster.grid.factor.bit_length() - 1,
    )


@dataclass(frozen=True, eq=False)
class Expected:
    """What both sides know of the bands without being told: means, covariance (None: nothing)."""

    count: int
    mean: NDArray[np.float64] | None = None
    covariance: Matrix | None = None

    def means(self) -> NDArray[np.float32]:
        """(C,) DN."""
        return np.zeros(self.count, np.float32) if self.mean is None else self.mean.astype(np.float32)

    def covariance_of(self, raster: Raster, weights: Weights) -> Matrix | None:
        """Of a raster's weighted bands in their order."""
        if self.covariance is None:
            return None
        index, scale = [*raster.bands, *raster.half], weights.factors.ravel().astype(np.float64)
        return np.asarray((self.covariance * np.outer(scale, scale))[np.ix_(index, index)])


def expected_of(names: Sequence[str] | None, count: int) -> Expected:
    """Of bands by name. Raises TransformCoderError where there are not as many."""
    if names is not None and len(names) != count:
        raise TransformCoderError(f"expected {count} names, found {len(names)}: {', '.join(names)}")
    return _statistics(None if names is None else tuple(names), count)


@lru_cache(maxsize=32)
def _statistics(names: tuple[str, ...] | None, count: int) -> Expected:
    if names is None or not set(names) <= set(BANDS):
        return Expected(count)
    found, index = load_statistics("pooled"), [BANDS.index(name) for name in names]
    return Expected(count, found.mean[index], found.covariance[np.ix_(index, index)])


def choose_means(
    samples: NDArray[np.float32], valid: NDArray[np.bool_], expected: Expected
) -> tuple[int, tuple[int, ...]]:
    """Unit and means: a sixteenth of the spread is fine enough, coefficients carry the rest."""
    if not valid.any():
        return 0, (0,) * len(samples)
    inside = samples.reshape(len(samples), -1) if valid.all() else samples[:, valid]
    spread = float(inside.std(axis=1).mean())
    unit = int(np.clip(np.floor(np.log2(max(spread, 1.0) / 16)), 0, (1 << MEAN_UNIT_BITS) - 1))
    away = (inside.mean(axis=1, dtype=np.float64) - expected.means()) / (1 << unit)
    return unit, tuple(int(a) for a in np.rint(away))


def dequantised(means: tuple[int, ...], unit: int, expected: Expected) -> NDArray[np.float32]:
    """(C,) DN."""
    return np.asarray(expected.means() + np.array(means, np.float32) * np.float32(1 << unit), np.float32)


def write_head(head: Head, bands: int, expected: Expected) -> bytes:
    """In whole bytes."""
    out = BitWriter()
    _write_kind(head, out)
    out.put(head.mean_unit, MEAN_UNIT_BITS)
    _write_means(head, out)
    write_rasters([part.raster for part in head.parts], bands, out)
    for part in head.parts:
        choice = head.dated and expected.covariance is not None
        write_spectrum(part.spectrum, part.pyramid.all, out, choice)
    if head.prediction is not None:
        write_prediction(head.prediction, head.pyramids, out)
    return out.bytes()


def _write_means(head: Head, out: BitWriter) -> None:
    """Beside a date what is to be added to its means, each less that of the band before: haze and season are in all of them."""
    more = [mean - known for mean, known in zip(head.means, head.date_means)] if head.dated else []
    for mean, before in zip(more, [0, *more]):
        out.put_signed(mean - before, DATED_MEAN_ORDER)
    for mean in () if head.dated else head.means:
        out.put_signed(mean, MEAN_ORDER)


def _read_means(reader: BitReader, bands: int, dated: bool) -> tuple[int, ...]:
    found = [reader.get_signed(DATED_MEAN_ORDER if dated else MEAN_ORDER) for _ in range(bands)]
    return tuple(accumulate(found)) if dated else tuple(found)


def _write_kind(head: Head, out: BitWriter) -> None:
    """All before the means."""
    usual, weighted = head.step == USUAL_STEP, head.weights.level > 0
    out.put(head.planes | USUAL * usual, STEP_BITS)
    if head.fine is not None or head.dated:
        out.put(TRELLIS, PLANE_BITS)
    if head.dated:
        shaped, trellis, gains = head.check is not None, head.fine is not None, head.prediction is not None
        named = DATED_SHAPED * shaped + DATED_TRELLIS * trellis + DATED_GAINS * gains
        _write_shift(head.shift, out)
        out.put(DATED_WEIGHTED * weighted + named, PLANE_BITS if head.shift == STILL else DATED_BITS)
    else:
        kind = (head.prediction is not None) + 2 * weighted
        out.put(KINDS[kind] if head.check is None else SHAPED, PLANE_BITS)
        if head.check is not None:
            out.put(kind, SHAPED_BITS)
    if not usual:
        out.put(head.step, STEP_BITS)
    if head.fine is not None:
        out.put(head.fine, FINE_BITS)
    if weighted:
        write_weights(head.weights, out)
    if head.check is not None:
        out.put(head.check, CHECK_BITS)


def _write_shift(shift: Shift, out: BitWriter) -> None:
    if shift != STILL:
        out.put(MOVED, PLANE_BITS)
        for eighths in shift:
            out.put(eighths + REACH, SHIFT_BITS)


def _read_shift(reader: BitReader) -> Shift:
    down, right = reader.get(SHIFT_BITS) - REACH, reader.get(SHIFT_BITS) - REACH
    if max(down, right) > REACH or (down, right) == STILL:
        raise ValueError(f"an earlier date moved by {down} and {right} eighths of a pixel")
    return down, right


def read_head(reader: BitReader, shape: tuple[int, int, int], expected: Expected) -> Head:
    """As write_head. Raises BitsEnded, TransformCoderError for what no encoder writes."""
    try:
        return _read_head(reader, shape, expected)
    except ValueError as error:
        raise TransformCoderError(f"transform-coded payload: {error}") from error


def _read_head(reader: BitReader, shape: tuple[int, int, int], expected: Expected) -> Head:
    bands, height, width = shape
    if bands > MAX_BANDS:  # a file's head may claim more, and nothing of their size is made
        raise ValueError(f"expected at most {MAX_BANDS} bands, found {bands}")
    kind = _read_kind(reader, bands)
    planes, weights = kind.planes, kind.weights
    check = reader.get(CHECK_BITS) if kind.shaped else None
    unit = reader.get(MEAN_UNIT_BITS)
    means = _read_means(reader, bands, kind.dated)
    if planes > bitplane.MAX_PLANES or max(map(abs, means)) > 1 << 17:
        raise ValueError(f"{planes} planes, means up to {max(map(abs, means))} units")
    parts = []
    for raster in read_rasters(bands, reader):
        pyramid = pyramid_of(raster, height, width)
        if raster.half and not pyramid.levels:
            raise ValueError("a half grid in a raster that is not split")
        usual = expected.covariance_of(raster, weights)
        parts.append(Part(raster, pyramid, read_spectrum(pyramid, usual, reader, kind.dated)))
    known = kind.estimated, check, kind.fine, kind.dated
    found = Head(kind.step, planes, unit, means, weights, tuple(parts), None, *known, shift=kind.shift)
    if not kind.predicted:
        return found
    return replace(found, prediction=read_prediction(found.pyramids, height, width, reader))


@dataclass(frozen=True, eq=False)
class _Kind:
    """How a payload begins; fields as in `Head`. predicted: gains of an earlier date follow. shaped: valid pixels alone are coded."""

    predicted: bool
    step: int
    planes: int
    weights: Weights
    estimated: bool = False
    shaped: bool = False
    fine: int | None = None
    dated: bool = False
    shift: Shift = STILL


def _read_kind(reader: BitReader, bands: int) -> _Kind:
    first, second, equal = reader.get(STEP_BITS), reader.get(PLANE_BITS), Weights.equal(bands)
    trellis = second == TRELLIS
    second = reader.get(PLANE_BITS) if trellis else second
    if trellis and second == MOVED:
        shift = _read_shift(reader)
        return replace(_read_dated(reader, bands, first, reader.get(DATED_BITS)), shift=shift)
    if trellis and second < DATED:
        return _read_dated(reader, bands, first, second)
    shaped = second == SHAPED
    if trellis and not shaped and second not in KINDS:
        raise ValueError(f"kind {second} behind {TRELLIS}")
    if shaped or second in KINDS:
        kind, planes = reader.get(SHAPED_BITS) if shaped else KINDS.index(second), first % USUAL
        step = USUAL_STEP if first & USUAL else reader.get(STEP_BITS)
        fine = reader.get(FINE_BITS) if trellis else None
        weights = read_weights(bands, reader) if kind & 2 else equal
        return _Kind(bool(kind & 1), step, planes, weights, True, shaped, fine)
    predicted = second == PREDICTED
    planes = reader.get(PLANE_BITS) if predicted else second
    weighted = planes == WEIGHTED
    weights = read_weights(bands, reader) if weighted else equal
    return _Kind(predicted, first, reader.get(PLANE_BITS) if weighted else planes, weights)


def _read_dated(reader: BitReader, bands: int, first: int, kind: int) -> _Kind:
    """Behind the number of a kind beside an earlier date."""
    step = USUAL_STEP if first & USUAL else reader.get(STEP_BITS)
    fine = reader.get(FINE_BITS) if kind & DATED_TRELLIS else None
    weights = read_weights(bands, reader) if kind & DATED_WEIGHTED else Weights.equal(bands)
    gains, shaped = bool(kind & DATED_GAINS), bool(kind & DATED_SHAPED)
    return _Kind(gains, step, first % USUAL, weights, True, shaped, fine, True)


def is_predicted(payload: bytes) -> bool:
    """Whether a payload says that an earlier date must be at hand."""
    reader = BitReader(payload[:3])
    if len(payload) < 3:
        return False
    reader.get(STEP_BITS)
    kind = reader.get(PLANE_BITS)
    if kind == TRELLIS:
        kind = reader.get(PLANE_BITS)
        if kind < DATED or kind == MOVED:
            return True
    return bool(reader.get(SHAPED_BITS) & 1) if kind == SHAPED else kind in (PREDICTED, KINDS[1], KINDS[3])
