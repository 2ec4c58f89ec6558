"""A tile without a network: rasters, wavelet, spectral bases, bit planes; and back. See docs/codec.md.

pixels -> bands on their own grids -> 9/7 wavelet -> a spectral basis per zone of levels -> integers -> bit planes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, load_statistics
from swathpack.edge.codec.transform_coder import bitplane, wavelet
from swathpack.edge.codec.transform_coder.exact import power_of_two
from swathpack.edge.codec.transform_coder.header import BitReader, BitsEnded, BitWriter
from swathpack.edge.codec.transform_coder.layout import Layout, Pyramid, layout_of
from swathpack.edge.codec.transform_coder.rasters import Raster, find_rasters, read_rasters, write_rasters
from swathpack.edge.codec.transform_coder.spectral import (
    Aim,
    Matrix,
    Moments,
    Spectrum,
    choose_spectrum,
    expected_bits,
    read_spectrum,
    write_spectrum,
)
from swathpack.edge.codec.transform_coder.weights import Weights, read_weights, write_weights

LAYERS = 16
POINTS = 4  # of the curve a layer
FIRST_LAYER_BPPB, LAYER_RATIO = 0.01, 1.5  # layers end at these rates: 0.01, 0.015, ... bits a pixel and band
AIM_BPPB = 0.25  # the rate that bases are chosen for, when nothing is said,
AIM_SHARES = (0.25, 1.0, 4.0, 16.0)  # and those around it, for an embedded payload serves them all

SHORT = 4096  # bytes of a payload, for which a choice of bases is worth a second coding

MAX_BANDS, MAX_SIDE = 16, 4095
STEP_BITS, STEPS_AN_OCTAVE, STEP_BIAS = 6, 4, 16
PLANE_BITS = 5
# A mark stands within the decision that reaches its target, which moves the coder by at most two bytes: one beyond the
# target. The decoder has then read four bytes more, those of its code value.
END_SLACK = 5
FRACTION = 1 << bitplane.FRACTION
LARGEST = (1 << bitplane.MAX_PLANES) * FRACTION - 1
MEAN_UNIT_BITS, MEAN_ORDER = 3, 6


class TransformCoderError(ValueError):
    """Input that cannot be coded, or a payload that no encoder wrote."""


@dataclass(frozen=True, eq=False)
class CodedTile:
    """`payload` is embedded: every prefix decodes, the first sizes[k] bytes to k layers.

    sizes: (17,) bytes. distortion: (17,) squared error over the valid pixels of all bands, DN^2, with k layers.
    Errors count by the weights of their bands. layers: how many there are; where the room ended before the last, sizes
    and distortion stay the same beyond.
    head: bytes without which nothing of the payload decodes. curve_bytes, curve_error: the same, four points a layer,
    for rate control that cuts between layers.
    """

    payload: bytes
    sizes: NDArray[np.int64]
    distortion: NDArray[np.float64]
    layers: int
    head: int
    curve_bytes: NDArray[np.int64]
    curve_error: NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class DecodedTile:
    """`samples` (C, H, W) float32 DN; `layers` 0..16 that are whole; `started`: the header was there."""

    samples: NDArray[np.float32]
    layers: int
    started: bool


@dataclass(frozen=True, eq=False)
class _Part:
    """What the header says of one raster."""

    raster: Raster
    pyramid: Pyramid
    spectrum: Spectrum


@dataclass(frozen=True, eq=False)
class _Header:
    """What stands before the coefficients. step: of plane 0, in quarters of an octave; means in units of 2^mean_unit."""

    step: int
    planes: int
    mean_unit: int
    means: tuple[int, ...]
    weights: Weights
    parts: tuple[_Part, ...]


def step_of(index: int) -> float:
    """DN of plane 0."""
    return power_of_two(index - STEP_BIAS)


def layer_targets(samples: int) -> NDArray[np.uint64]:
    """(15,) bytes of coefficients at which layers of a tile of so many samples end; the last one takes the rest."""
    rates = FIRST_LAYER_BPPB * LAYER_RATIO ** np.arange(LAYERS - 1)
    return np.ceil(rates * samples / 8).astype(np.uint64)


def curve_targets(samples: int) -> NDArray[np.uint64]:
    """(60,) as layer_targets, which are every fourth of them, with three more before each."""
    rates = FIRST_LAYER_BPPB * LAYER_RATIO ** (np.arange(1 - POINTS, POINTS * (LAYERS - 2) + 1) / POINTS)
    found = np.ceil(rates * samples / 8).astype(np.uint64)
    found[POINTS - 1 :: POINTS] = layer_targets(samples)
    return found


def first_target(shape: tuple[int, int, int]) -> int:
    """Bytes behind the header at which the first layer of a tile is whole."""
    return int(layer_targets(int(np.prod(shape)))[0]) + END_SLACK


def encode_tile(
    samples: NDArray[np.generic],
    valid: NDArray[np.bool_] | None = None,
    names: Sequence[str] | None = None,
    finest_step: float = 1.0,
    max_bytes: int | None = None,
    aim_bytes: int | None = None,
    weights: Weights | None = None,
) -> CodedTile:
    """Code a tile (C, H, W) of unsigned integers, 1 to 16 bands, 8 to 16 bits.

    valid: (H, W); other pixels may come back as anything. names: Sentinel-2 names of the bands, or None: the decoder
    must be told the same. finest_step: of the quantiser at the end of the payload, DN (a little above or at the nearest
    quarter octave below). max_bytes: where the payload stops, if it does not before. aim_bytes: the length it will
    probably be cut to (default: max_bytes, else 0.25 bits a sample). weights: of the bands, default equal. Raises
    TransformCoderError.
    """
    samples, valid = _checked(samples, valid)
    expected = _expected(names, len(samples))
    limit = 4 * samples.size + 4096 if max_bytes is None else max_bytes
    aim = min(limit, samples.size) if aim_bytes is None else aim_bytes
    aim = max(1, int(AIM_BPPB * samples.size / 8)) if max_bytes is None and aim_bytes is None else aim
    weights = weights or Weights.equal(len(samples))
    request = _Request(samples, valid, _step_index(finest_step), limit, aim, weights)
    coded, usual = _encode(request, expected, expected)
    if usual and aim <= SHORT:  # expected bits say little of so few: what both kinds of bases give is seen
        own, _ = _encode(request, replace(expected, covariance=None), expected)
        coded = min(coded, own, key=lambda c: float(np.interp(aim, c.curve_bytes, c.curve_error)))
    return coded


@dataclass(frozen=True, eq=False)
class _Request:
    """What is to be coded and how, checked."""

    samples: NDArray[np.float32]
    valid: NDArray[np.bool_]
    step: int
    limit: int
    aim: int
    weights: Weights


def _encode(request: _Request, given: _Expected, expected: _Expected) -> tuple[CodedTile, bool]:
    """A tile with the bases that `given` allows, and whether any of them goes without saying."""
    samples, valid, limit, weights = request.samples, request.valid, request.limit, request.weights
    header, matrices = _analyse(samples, valid, given, request.step, request.aim, weights)
    head = _write_header(header, len(samples), expected)
    layout = layout_of(tuple(part.pyramid for part in header.parts))
    body, sizes, errors = bitplane.encode(
        layout, header.planes, layout.scatter(matrices), max(limit - len(head), 0), curve_targets(samples.size)
    )
    payload, unit = (head + body)[:limit], step_of(header.step) ** 2 * float(valid.mean())
    energy = _energy(samples * weights.factors, valid)
    usual = any(not part.spectrum.bits for part in header.parts) and expected.covariance is not None
    return _coded(payload, len(head), len(head) + sizes, errors * unit, energy), usual


def coefficients_of(
    samples: NDArray[np.generic], names: Sequence[str] | None, finest_step: float
) -> tuple[Layout, int, NDArray[np.int32]]:
    """What `encode_tile` gives the bit planes of a tile that is all valid: layout, planes, values."""
    checked, valid = _checked(samples, None)
    aim = max(1, int(AIM_BPPB * samples.size / 8))
    expected, equal = _expected(names, len(samples)), Weights.equal(len(samples))
    header, matrices = _analyse(checked, valid, expected, _step_index(finest_step), aim, equal)
    layout = layout_of(tuple(part.pyramid for part in header.parts))
    return layout, header.planes, layout.scatter(matrices)


def _step_index(finest_step: float) -> int:
    return int(np.clip(np.floor(STEPS_AN_OCTAVE * np.log2(finest_step) + 1e-9) + STEP_BIAS, 0, (1 << STEP_BITS) - 1))


def _coded(payload: bytes, head: int, ends: NDArray[np.int64], errors: NDArray[np.float64], energy: float) -> CodedTile:
    curve = np.concatenate([[0], np.minimum(ends, len(payload))]).astype(np.int64)
    error = np.minimum.accumulate(np.concatenate([[energy], errors]))
    of_layers = np.array([0, *range(POINTS, POINTS * (LAYERS - 1) + 1, POINTS), len(curve) - 1])
    sizes, distortion = curve[of_layers], error[of_layers]
    layers = int(np.searchsorted(sizes, len(payload), "left")) if len(payload) < ends[-1] else LAYERS
    return CodedTile(payload, sizes, distortion, layers, head, curve, error)


def decode_tile(payload: bytes, shape: tuple[int, int, int], names: Sequence[str] | None = None) -> DecodedTile:
    """Any prefix of a payload -> the tile (C, H, W). Raises TransformCoderError for what no encoder writes."""
    bands, height, width = shape
    expected = _expected(names, bands)
    reader = BitReader(payload)
    try:
        header = _read_header(reader, shape, expected)
    except BitsEnded:
        return DecodedTile(_constant(expected.means(), shape), 0, False)
    except ValueError as error:
        raise TransformCoderError(f"transform-coded payload: {error}") from error
    pyramids = tuple(part.pyramid for part in header.parts)
    layout = layout_of(pyramids)
    values, bits, layers = bitplane.decode(
        layout, header.planes, payload[reader.bytes_read :], layer_targets(bands * height * width)
    )
    matrices = layout.gather(bitplane.reconstruct(values, bits, step_of(header.step)), pyramids)
    weighted = np.zeros(shape, np.float32)
    for part, matrix in zip(header.parts, matrices):
        _add_raster(weighted, part, matrix)
    samples = _constant(_means(header, expected), shape) + weighted * header.weights.inverses
    return DecodedTile(samples, layers, True)


def layer_ends(
    payload: bytes, shape: tuple[int, int, int], names: Sequence[str] | None, total: int
) -> NDArray[np.int64] | None:
    """(17,) bytes after which the first k layers of a payload of `total` bytes are whole, from any prefix that holds its
    header; None where it does not. Raises TransformCoderError.
    """
    reader = BitReader(payload)
    try:
        _read_header(reader, shape, _expected(names, shape[0]))
    except BitsEnded:
        return None
    except ValueError as error:
        raise TransformCoderError(f"transform-coded payload: {error}") from error
    targets = layer_targets(int(np.prod(shape))).astype(np.int64)
    ends = np.concatenate([[0], reader.bytes_read + targets + END_SLACK, [total]])
    found: NDArray[np.int64] = np.minimum(ends, total).astype(np.int64)
    return found


def weights_in(payload: bytes, shape: tuple[int, int, int], names: Sequence[str] | None) -> Weights | None:
    """The weights that a payload was coded with, from any prefix that holds its header; None where it does not. Raises
    TransformCoderError.
    """
    try:
        return _read_header(BitReader(payload), shape, _expected(names, shape[0])).weights
    except BitsEnded:
        return None
    except ValueError as error:
        raise TransformCoderError(f"transform-coded payload: {error}") from error


# ---------------------------------------------------------------------------------------------------- encoder


def _checked(
    samples: NDArray[np.generic], valid: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    samples = np.asarray(samples)
    if samples.ndim != 3 or samples.dtype.kind not in "ui" or not 1 <= len(samples) <= MAX_BANDS:
        raise TransformCoderError(
            f"expected 1 to {MAX_BANDS} bands of integers (C, H, W), found {samples.dtype} {samples.shape}"
        )
    if not 1 <= min(samples.shape[1:]) <= max(samples.shape[1:]) <= MAX_SIDE:
        raise TransformCoderError(f"expected sides of 1 to {MAX_SIDE} pixels, found {samples.shape[1:]}")
    valid = np.ones(samples.shape[1:], np.bool_) if valid is None else np.asarray(valid, np.bool_)
    if valid.shape != samples.shape[1:]:
        raise TransformCoderError(f"expected validity {samples.shape[1:]}, found {valid.shape}")
    return samples.astype(np.float32), valid


def _energy(samples: NDArray[np.float32], valid: NDArray[np.bool_]) -> float:
    inside = samples.reshape(len(samples), -1) if valid.all() else samples[:, valid]
    return float((inside.var(axis=1, dtype=np.float64) * inside.shape[1]).sum()) if inside.size else 0.0


def _analyse(
    samples: NDArray[np.float32], valid: NDArray[np.bool_], expected: _Expected, step: int, aim: int, weights: Weights
) -> tuple[_Header, list[NDArray[np.int32]]]:
    """The header and the coefficients of every raster in 1 / FRACTION of the step."""
    unit, means = _choose_means(samples, valid, expected)
    centred = (samples - _dequantised(means, unit, expected)[:, None, None]) * weights.factors
    rasters = find_rasters(samples, valid) if valid.any() else (Raster.plain(len(samples)),)
    pyramids = [pyramid_of(raster, *valid.shape) for raster in rasters]
    bands = [_subbands(centred, valid, raster, pyramid) for raster, pyramid in zip(rasters, pyramids)]
    moments = [Moments.of(rows, pyramid) for rows, pyramid in zip(bands, pyramids)]
    aims = [Aim(8.0 * aim * share, _noise_at(moments, 8.0 * aim * share)) for share in AIM_SHARES]
    spectra = [
        choose_spectrum(moment, aims, expected.covariance_of(raster, weights))
        for moment, raster in zip(moments, rasters)
    ]
    components = [spectrum.forward(rows) for spectrum, rows in zip(spectra, bands)]
    largest = max(float(np.abs(c).max()) for c in components)
    while largest * FRACTION / step_of(step) > LARGEST:
        step += 1
    matrices = [(c * np.float32(FRACTION / step_of(step))).astype(np.int32) for c in components]
    planes = max(int(np.abs(m).max()) for m in matrices) // FRACTION
    parts = tuple(_Part(*each) for each in zip(rasters, pyramids, spectra))
    return _Header(step, planes.bit_length(), unit, means, weights, parts), matrices


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


def _subbands(
    pixels: NDArray[np.float32], valid: NDArray[np.bool_], raster: Raster, pyramid: Pyramid
) -> NDArray[np.float32]:
    """(B, N) wavelet coefficients of a raster's bands, weighted by the pixels that a cell stands for."""
    out = np.zeros((pyramid.all, pyramid.height * pyramid.width), np.float32)
    fine = raster.grid.cells(pixels[list(raster.bands)], valid)
    out[: pyramid.fine] = wavelet.forward(fine, pyramid.levels) * np.float32(raster.grid.factor)
    if raster.half:
        half = raster.half_grid.cells(pixels[list(raster.half)], valid)
        found = wavelet.forward(half, pyramid.levels - 1) * np.float32(raster.half_grid.factor)
        out[pyramid.fine :, : found.shape[1]] = found
    return out


def _noise_at(moments: Sequence[Moments], bits: float) -> float:
    """Squared error a coefficient at which ideal bases of every level would take so many bits (reverse water-filling)."""
    variances, counts = [], []
    for moment in moments:
        for total, (start, stop) in zip(moment.sums, moment.spans):
            values = np.linalg.eigvalsh(total) / (stop - start)
            variances.append(values)
            counts.append(np.full(len(values), float(stop - start)))
    every, number = np.maximum(np.concatenate(variances), 1e-9), np.concatenate(counts)
    low, high = -6.0, float(np.log2(every.max())) + 1
    for _ in range(40):
        middle = (low + high) / 2
        low, high = (middle, high) if expected_bits(every, number, 2.0**middle) > bits else (low, middle)
    return float(2.0**high)


# ---------------------------------------------------------------------------------------------------- decoder


def _add_raster(samples: NDArray[np.float32], part: _Part, components: NDArray[np.float32]) -> None:
    """Adds what a raster's components say of its bands, in place."""
    raster, pyramid = part.raster, part.pyramid
    bands = part.spectrum.inverse(components)
    height, width = samples.shape[1:]
    fine = wavelet.inverse(bands[: pyramid.fine], pyramid.height, pyramid.width, pyramid.levels)
    samples[list(raster.bands)] += raster.grid.repeat(fine / np.float32(raster.grid.factor), height, width)
    if raster.half:
        rows, columns = raster.half_grid.size(height, width)
        half = wavelet.inverse(bands[pyramid.fine :, : rows * columns], rows, columns, pyramid.levels - 1)
        samples[list(raster.half)] += raster.half_grid.repeat(half / np.float32(raster.half_grid.factor), height, width)


def _constant(means: NDArray[np.float32], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    return np.repeat(means, shape[1] * shape[2]).reshape(shape).astype(np.float32)


# ----------------------------------------------------------------------------------------------------- header


@dataclass(frozen=True, eq=False)
class _Expected:
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
        return (self.covariance * np.outer(scale, scale))[np.ix_(index, index)]


def _expected(names: Sequence[str] | None, count: int) -> _Expected:
    if names is not None and len(names) != count:
        raise TransformCoderError(f"expected {count} names, found {len(names)}: {', '.join(names)}")
    return _statistics(None if names is None else tuple(names), count)


@lru_cache(maxsize=32)
def _statistics(names: tuple[str, ...] | None, count: int) -> _Expected:
    if names is None or not set(names) <= set(BANDS):
        return _Expected(count)
    found, index = load_statistics("pooled"), [BANDS.index(name) for name in names]
    return _Expected(count, found.mean[index], found.covariance[np.ix_(index, index)])


def _choose_means(
    samples: NDArray[np.float32], valid: NDArray[np.bool_], expected: _Expected
) -> tuple[int, tuple[int, ...]]:
    """Unit and means: a sixteenth of the spread is fine enough, coefficients carry the rest."""
    if not valid.any():
        return 0, (0,) * len(samples)
    inside = samples.reshape(len(samples), -1) if valid.all() else samples[:, valid]
    spread = float(inside.std(axis=1).mean())
    unit = int(np.clip(np.floor(np.log2(max(spread, 1.0) / 16)), 0, (1 << MEAN_UNIT_BITS) - 1))
    away = (inside.mean(axis=1, dtype=np.float64) - expected.means()) / (1 << unit)
    return unit, tuple(int(a) for a in np.rint(away))


def _dequantised(means: tuple[int, ...], unit: int, expected: _Expected) -> NDArray[np.float32]:
    return np.asarray(expected.means() + np.array(means, np.float32) * np.float32(1 << unit), np.float32)


def _means(header: _Header, expected: _Expected) -> NDArray[np.float32]:
    return _dequantised(header.means, header.mean_unit, expected)


def _write_header(header: _Header, bands: int, expected: _Expected) -> bytes:
    out = BitWriter()
    out.put(header.step, STEP_BITS)
    out.put(header.planes, PLANE_BITS)
    out.put(header.mean_unit, MEAN_UNIT_BITS)
    for mean in header.means:
        out.put_signed(mean, MEAN_ORDER)
    write_weights(header.weights, out)
    write_rasters([part.raster for part in header.parts], bands, out)
    for part in header.parts:
        write_spectrum(part.spectrum, out)
    return out.bytes()


def _read_header(reader: BitReader, shape: tuple[int, int, int], expected: _Expected) -> _Header:
    bands, height, width = shape
    step, planes, unit = reader.get(STEP_BITS), reader.get(PLANE_BITS), reader.get(MEAN_UNIT_BITS)
    means = tuple(reader.get_signed(MEAN_ORDER) for _ in range(bands))
    if planes > bitplane.MAX_PLANES or max(map(abs, means)) > 1 << 17:
        raise ValueError(f"{planes} planes, means up to {max(map(abs, means))} units")
    weights, parts = read_weights(bands, reader), []
    for raster in read_rasters(bands, reader):
        pyramid = pyramid_of(raster, height, width)
        if raster.half and not pyramid.levels:
            raise ValueError("a half grid in a raster that is not split")
        parts.append(_Part(raster, pyramid, read_spectrum(pyramid, expected.covariance_of(raster, weights), reader)))
    return _Header(step, planes, unit, means, weights, tuple(parts))
