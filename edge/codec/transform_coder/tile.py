"""A tile without a network: rasters, wavelet, spectral bases, bit planes; and back. See docs/transform_coder.md.

pixels -> bands on their own grids -> 9/7 wavelet -> a spectral basis per zone of levels -> integers -> bit planes
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import bitplane
from swathpack.edge.codec.transform_coder.analysis import Analysis, Bases
from swathpack.edge.codec.transform_coder.beside import Earlier
from swathpack.edge.codec.transform_coder.choice import Chosen
from swathpack.edge.codec.transform_coder.head import (
    MAX_BANDS,
    STEP_BIAS,
    STEP_BITS,
    STEPS_AN_OCTAVE,
    TRELLIS_UNIT,
    Head,
    TransformCoderError,
    dequantised,
    expected_of,
    read_head,
    step_of,
    write_head,
)
from swathpack.edge.codec.transform_coder.header import BitReader, BitsEnded
from swathpack.edge.codec.transform_coder.layout import Layout, layout_of
from swathpack.edge.codec.transform_coder.prediction import Counts
from swathpack.edge.codec.transform_coder.shaped import RasterShape, check_of, holes_in, shapes_of
from swathpack.edge.codec.transform_coder.synthesis import add_bands
from swathpack.edge.codec.transform_coder.weights import Weights

LAYERS = 16
POINTS = 4  # of the curve a layer
BELOW = 20  # of them before the first layer ends, from 0.0013 bits a pixel and band on: files share out so few, too
FIRST_LAYER_BPPB, LAYER_RATIO = 0.01, 1.5  # layers end at these rates: 0.01, 0.015, ... bits a pixel and band
AIM_BPPB = 0.25  # the rate that bases are chosen for, when nothing is said
FAR = 32  # times the length aimed at: payloads so long have bases that serve all of them
COMPARED = (0.7, 1.0, 1.4)  # of the length aimed at: where a tile is the better one alone or against an earlier date

SHORT = 4096  # bytes aimed at, for which a choice of bases is worth a second coding

MAX_SIDE = 4095
# A mark stands within the decision that reaches its target, which moves the coder by at most two bytes: one beyond the
# target. The decoder has then read four bytes more, those of its code value.
END_SLACK = 5
TRELLIS_EIGHTHS = 8 * (int(TRELLIS_UNIT).bit_length() - 1)


@dataclass(frozen=True)
class Wanted:
    """Index of the finest step, most bytes, bytes that are aimed at, weights of the bands, whether valid pixels alone are
    coded, whether much more than what is aimed at may be sent.
    """

    step: int
    limit: int
    aim: int
    weights: Weights
    shaped: bool = False
    far: bool = False


@dataclass(frozen=True, eq=False)
class CodedTile:
    """`payload` is embedded: every prefix decodes, the first sizes[k] bytes to k layers.

    sizes: (17,) bytes. distortion: (17,) squared error over the valid pixels of all bands, DN^2, with k layers,
    by the weights of the bands. layers: how many there are; where the room ended before the last, sizes and distortion
    stay the same beyond.
    head: bytes without which nothing of the payload decodes. reference: which of the dates given it is coded against,
    None for
    a tile that stands alone. curve_bytes, curve_error: the same, four points a layer,
    for rate control that cuts between layers. wanted: for `encode_against`.
    """

    payload: bytes
    sizes: NDArray[np.int64]
    distortion: NDArray[np.float64]
    layers: int
    head: int
    curve_bytes: NDArray[np.int64]
    curve_error: NDArray[np.float64]
    reference: int | None = None
    wanted: Wanted | None = None


@dataclass(frozen=True, eq=False)
class DecodedTile:
    """`samples` (C, H, W) float32 DN; `layers` 0..16 that are whole; `started`: the header was there. steps: of each band, how
    fine it is: the interval that its coefficients are known to lie in, log2 of DN in eighths (mean over all of them).
    """

    samples: NDArray[np.float32]
    layers: int
    started: bool
    steps: tuple[int, ...] = ()


def layer_targets(samples: int) -> NDArray[np.uint64]:
    """(15,) bytes of coefficients at which layers of a tile of so many samples end; the last one takes the rest."""
    rates = FIRST_LAYER_BPPB * LAYER_RATIO ** np.arange(LAYERS - 1)
    return np.ceil(rates * samples / 8).astype(np.uint64)


def curve_targets(samples: int) -> NDArray[np.uint64]:
    """(77,) as layer_targets, which are every fourth of them from BELOW on, with more before the first and between."""
    rates = FIRST_LAYER_BPPB * LAYER_RATIO ** (np.arange(-BELOW, POINTS * (LAYERS - 2) + 1) / POINTS)
    found = np.ceil(rates * samples / 8).astype(np.uint64)
    found[BELOW::POINTS] = layer_targets(samples)
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
    shaped: bool = False,
) -> CodedTile:
    """Code a tile (C, H, W) of unsigned integers, 1 to 16 bands, 8 to 16 bits.

    valid: (H, W); other pixels may come back as anything. names: Sentinel-2 names of the bands, or None: the decoder
    must be told the same. finest_step: of the quantiser at the end of the payload, DN (a little above or at the nearest
    quarter octave below). max_bytes: where the payload stops, if it does not before. aim_bytes: the length it will
    probably be cut to (default: max_bytes, else 0.25 bits a sample). weights: of the bands, default equal. shaped: the decoder
    will have `valid` too, so that the other pixels may be left out: it is coded with and without them, and what has less error
    at the length aimed at stays. Raises TransformCoderError.
    """
    samples, valid = checked(samples, valid)
    expected = expected_of(names, len(samples))
    limit = 4 * samples.size + 4096 if max_bytes is None else max_bytes
    aim = min(limit, samples.size) if aim_bytes is None else aim_bytes
    aim = max(1, int(AIM_BPPB * samples.size / 8)) if max_bytes is None and aim_bytes is None else aim
    weights = weights or Weights.equal(len(samples))
    wanted = Wanted(step_index(finest_step), limit, aim, weights, far=limit >= FAR * aim)
    found = _coded_tile(Analysis.of(samples, valid, expected, weights, aim), wanted)
    if not shaped or valid.all() or not valid.any():
        return found
    own = Analysis.of(samples, valid, expected, weights, aim, shaped)
    other = _coded_tile(own, replace(wanted, shaped=True))
    # Their own estimates tell too little: of what is left of a filled tile not all lies in valid pixels.
    return min(found, other, key=lambda coded: _error(coded, samples, valid, names))


def coefficients_of(
    samples: NDArray[np.generic], names: Sequence[str] | None, finest_step: float
) -> tuple[Layout, int, NDArray[np.int32]]:
    """What `encode_tile` gives the bit planes of a tile that is all valid: layout, planes, values."""
    known, valid = checked(samples, None)
    aim = max(1, int(AIM_BPPB * samples.size / 8))
    found = Analysis.of(known, valid, expected_of(names, len(samples)), Weights.equal(len(samples)))
    head, matrices = found.coefficients(step_index(finest_step), aim, None)
    layout = layout_of(head.pyramids)
    return layout, head.planes, layout.scatter(matrices)


def step_index(finest_step: float) -> int:
    """As heads say it, of a step in DN: the nearest quarter octave below."""
    return int(np.clip(np.floor(STEPS_AN_OCTAVE * np.log2(finest_step) + 1e-9) + STEP_BIAS, 0, (1 << STEP_BITS) - 1))


def _coded_tile(found: Analysis, wanted: Wanted) -> CodedTile:
    coded, kinds = coded_once(found, wanted, None, "any")
    if (
        "usual" in kinds and wanted.aim <= SHORT
    ):  # expected bits say little of so few: what both kinds of bases give is seen
        own, _ = coded_once(found, wanted, None, "own")
        coded = min(coded, own, key=lambda c: excess(c, wanted.aim))
    return coded


def coded_once(found: Analysis, wanted: Wanted, chosen: Chosen | None, bases: Bases) -> tuple[CodedTile, set[str]]:
    """A tile, and the kinds of its bases: "own", "usual", "date"; none of single bands."""
    head, matrices = found.coefficients(wanted.step, wanted.aim, chosen, bases, wanted.far)
    front = write_head(head, len(found.centred), found.expected)
    layout, targets = layout_of(head.pyramids), curve_targets(found.centred.size)
    room, holes = max(wanted.limit - len(front), 0), holes_in(layout, head.pyramids, found.shapes)
    beside = None if chosen is None else chosen.earlier.beside(head, layout)
    values = layout.scatter(matrices)
    body, sizes, errors = bitplane.encode(layout, head.planes, values, room, targets, holes, beside=beside)
    # What stands in for invalid pixels is smooth: nearly all of the error is in valid ones.
    payload, unit = (front + body)[: wanted.limit], step_of(head.step) ** 2
    energy = _energy(found.centred, found.valid)
    coded = _coded(payload, len(front), len(front) + sizes, errors * unit, energy)
    spectra = [part.spectrum for part in head.parts if part.pyramid.all > 1]
    kinds = {"own" if s.bits else "date" if s.of_date else "usual" for s in spectra}
    return replace(coded, wanted=wanted, reference=None if chosen is None else chosen.number), kinds


def _coded(payload: bytes, head: int, ends: NDArray[np.int64], errors: NDArray[np.float64], energy: float) -> CodedTile:
    curve = np.concatenate([[0], np.minimum(ends, len(payload))]).astype(np.int64)
    error = np.minimum.accumulate(np.concatenate([[energy], errors]))
    of_layers = np.array([0, *range(1 + BELOW, len(curve) - 1, POINTS), len(curve) - 1])
    sizes, distortion = curve[of_layers], error[of_layers]
    layers = int(np.searchsorted(sizes, len(payload), "left")) if len(payload) < ends[-1] else LAYERS
    return CodedTile(payload, sizes, distortion, layers, head, curve, error)


def _error(
    coded: CodedTile, samples: NDArray[np.float32], valid: NDArray[np.bool_], names: Sequence[str] | None
) -> float:
    """Weighted squared error over valid pixels at the length that is aimed at."""
    assert coded.wanted is not None
    drawn = decode_tile(coded.payload[: max(coded.wanted.aim, coded.head)], samples.shape, names, valid=valid)
    return float((((drawn.samples - samples) * coded.wanted.weights.factors)[:, valid] ** 2).sum(dtype=np.float64))


def excess(coded: CodedTile, aim: int) -> float:
    """Logarithm of the error around the length that is aimed at; a head that is not whole tells nothing."""
    sizes = np.maximum.accumulate(np.append(coded.head, coded.curve_bytes[1:]))
    errors = np.log2(np.maximum(coded.curve_error, 1e-9))
    return float(np.interp(np.log2(np.multiply(COMPARED, aim) + 1.0), np.log2(sizes + 1.0), errors).sum())


def decode_tile(
    payload: bytes,
    shape: tuple[int, int, int],
    names: Sequence[str] | None = None,
    date: Counts | None = None,
    valid: NDArray[np.bool_] | None = None,
) -> DecodedTile:
    """Any prefix of a payload -> the tile (C, H, W). date: what it was coded against, as the encoder had it; valid: (H, W), the
    same. Raises TransformCoderError for what no encoder writes, and where a date or mask is needed that is not given.
    """
    bands, height, width = shape
    expected = expected_of(names, bands)
    reader = BitReader(payload)
    try:
        head = read_head(reader, shape, expected)
    except BitsEnded:
        return DecodedTile(_constant(expected.means(), shape), 0, False)
    if head.needs_date and (date is None or date.shape != shape):
        raise TransformCoderError("transform-coded payload: the earlier date that it was coded against is not here")
    layout, shapes, trellis = layout_of(head.pyramids), _shapes(head, valid), head.fine is not None
    earlier = None
    if head.needs_date and date is not None:
        rasters = [part.raster for part in head.parts]
        earlier = Earlier.of(date, rasters, head.pyramids, head.weights, shapes, head.shift)
    head = head if earlier is None or not head.dated else earlier.resolved(head, expected)
    beside = earlier.beside(head, layout) if earlier is not None and head.dated else None
    coded, targets = payload[reader.bytes_read :], layer_targets(bands * height * width)
    values, bits, layers = bitplane.decode(
        layout, head.planes, coded, targets, holes_in(layout, head.pyramids, shapes), trellis, beside
    )
    found = values, bits, head.step_dn
    drawn = bitplane.estimate(layout, *found, trellis) if head.estimated else bitplane.reconstruct(*found)
    matrices = layout.gather(drawn, head.pyramids)
    weighted = np.zeros(shape, np.float32)
    for number, matrix in enumerate(matrices):
        _add_raster(weighted, head, number, matrix, earlier, None if shapes is None else shapes[number])
    means = _constant(dequantised(head.means, head.mean_unit, expected), shape)
    steps = _steps(head, layout, bits)
    return DecodedTile(means + weighted * head.weights.inverses, layers, True, steps)


def _steps(head: Head, layout: Layout, bits: NDArray[np.uint8]) -> tuple[int, ...]:
    """Of each band, in integers: a weight of 2^(level/2) makes a band finer by as much."""
    views = list(layout.views(bits))
    count, total = sum(v.size for v in views), sum(int(v.sum(dtype=np.int64)) for v in views)
    mean = (16 * total + count) // (2 * count) if count else 0
    finer = 0 if head.fine is None else TRELLIS_EIGHTHS + 23 * head.fine // 1024  # log2(1 + fine / 512), about
    eighths = 8 // STEPS_AN_OCTAVE * (head.step - STEP_BIAS) + finer + mean
    return tuple(eighths - 4 * level for level in head.weights.levels)


def _shapes(head: Head, valid: NDArray[np.bool_] | None) -> tuple[RasterShape, ...] | None:
    """Of the rasters, where the payload holds valid pixels alone."""
    if head.check is None:
        return None
    if valid is None or head.check != check_of(valid):
        raise TransformCoderError(
            "transform-coded payload: the mask of valid pixels that it was coded with is not here"
        )
    return shapes_of([part.raster for part in head.parts], head.pyramids, valid)


def _add_raster(
    samples: NDArray[np.float32],
    head: Head,
    number: int,
    components: NDArray[np.float32],
    earlier: Earlier | None,
    shape: RasterShape | None,
) -> None:
    part = head.parts[number]
    bands = part.spectrum.inverse(components)
    if head.prediction is not None and earlier is not None:
        bands += head.prediction.of(number, earlier.bands[number], part.raster, part.pyramid)
    add_bands(samples, part.raster, part.pyramid, bands, shape)


def layer_ends(
    payload: bytes, shape: tuple[int, int, int], names: Sequence[str] | None, total: int
) -> NDArray[np.int64] | None:
    """(17,) bytes after which the first k layers of a payload of `total` bytes are whole, from any prefix that holds its
    header; None where it does not. Raises TransformCoderError.
    """
    reader = BitReader(payload)
    try:
        read_head(reader, shape, expected_of(names, shape[0]))
    except BitsEnded:
        return None
    targets = layer_targets(int(np.prod(shape))).astype(np.int64)
    ends = np.concatenate([[0], reader.bytes_read + targets + END_SLACK, [total]])
    found: NDArray[np.int64] = np.minimum(ends, total).astype(np.int64)
    return found


def weights_in(payload: bytes, shape: tuple[int, int, int], names: Sequence[str] | None) -> Weights | None:
    """The weights that a payload was coded with, from any prefix that holds its header; None where it does not. Raises
    TransformCoderError.
    """
    try:
        return read_head(BitReader(payload), shape, expected_of(names, shape[0])).weights
    except BitsEnded:
        return None


def checked(
    samples: NDArray[np.generic], valid: NDArray[np.bool_] | None
) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
    """A tile (C, H, W) with its validity (H, W). Raises TransformCoderError for what cannot be coded."""
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


def _constant(means: NDArray[np.float32], shape: tuple[int, int, int]) -> NDArray[np.float32]:
    return np.repeat(means, shape[1] * shape[2]).reshape(shape).astype(np.float32)
