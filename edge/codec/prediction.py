"""Exact prediction of a latent: network heads -> integer means and table indexes, whole or layer by layer.

    encode:  latent -> one pass of the network -> (floor of mean, table) per symbol (range coding: swathpack.edge.codec.layers)
    decode:  payload -> for each layer: one step of the network -> tables -> range coder -> symbols -> latent

Both directions call the same integer functions in the same order; layer 0 goes in five spatial phases. A layer here
is a group of 32 channels; what layers of a segment hold is for `swathpack.edge.codec.layers`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.base_layer import BASE_GROUPS, bin_of
from swathpack.edge.codec.latents import (
    CHANNELS,
    CONTEXT_LIMIT,
    GROUP,
    LATENT_LIMIT,
    LAYERS,
    PHASES,
    Latent,
    latent_planes,
    layer_planes,
    neighbour_mean8,
    phase_map,
    rescale,
    spatial_planes,
)
from swathpack.edge.codec.network import GATE_BITS
from swathpack.edge.codec.rangecoder import Decoder
from swathpack.edge.codec.rangecoder.adaptive import Adaptation, kind_of
from swathpack.edge.codec.rangecoder.bounded import MAX_SPAN, interval_edges
from swathpack.edge.codec.reading import CodingError as CodingError
from swathpack.edge.codec.reading import read_layers
from swathpack.edge.codec.tables import N_FRACTIONS, N_SCALES, ProbabilityTables

MEAN8_LIMIT = 8 * 16384
EXPECTED = 1 << 20  # stands for "whatever the model expects here" among given values
_FRACTION_BITS = 3
assert 1 << _FRACTION_BITS == N_FRACTIONS

IntArray = NDArray[np.int64]


class EntropyEngine(Protocol):
    """What runs the entropy network: `swathpack.edge.codec.network.ExactNetwork` or an engine of `swathpack.edge.codec.engines`."""

    base_index: IntArray

    def heads_of_all(
        self,
        own: NDArray[Any],
        contexts: NDArray[Any],
        known: NDArray[Any],
        spatial: NDArray[Any],
        q: int,
        size: tuple[int, int],
        layers: int = LAYERS,
    ) -> tuple[NDArray[Any], NDArray[Any]]: ...

    def start(self, contexts: NDArray[Any], known: NDArray[Any], q: int, size: tuple[int, int]) -> Any: ...

    def head(self, layer: int, trunk: NDArray[Any]) -> NDArray[Any]: ...

    def first_head(self, trunk: NDArray[Any], spatial: NDArray[Any], phase: NDArray[np.int8]) -> NDArray[Any]: ...


@dataclass(frozen=True, eq=False)
class CodingContext:
    """One earlier latent of the tile as both sides know it: (512, h, w) in step q, its first `layers` layers."""

    latent: Latent
    q: int
    layers: int = LAYERS


@dataclass(frozen=True, eq=False)
class Base:
    """The base of the latent that is being refined: values (512, h, w) int16 of step q + 8 shift."""

    values: Latent
    shift: int


class _Inputs:
    """Contexts in the current step, as the network and the means need them; a base takes the second one's place."""

    def __init__(
        self, contexts: Sequence[CodingContext], q: int, size: tuple[int, int], base: Base | None = None
    ) -> None:
        if len(contexts) > 2:
            raise CodingError(f"expected at most 2 contexts, found {len(contexts)}")
        self.size, self.q = size, q
        self.known = np.zeros((2, LAYERS), np.int8)
        if base is not None:
            contexts = contexts[:1]
        latents = [np.zeros((CHANNELS, *size), np.int16) for _ in range(2)]
        for n, context in enumerate(contexts):
            if context.latent.shape != (CHANNELS, *size):
                raise CodingError(f"context {n}: expected shape {(CHANNELS, *size)}, found {context.latent.shape}")
            self.known[n, : context.layers] = 1
            latents[n][: context.layers * GROUP] = rescale(context.latent[: context.layers * GROUP], context.q, q)
        if base is not None:
            channels = BASE_GROUPS * GROUP
            self.known[1, :BASE_GROUPS] = -1
            latents[1][:channels] = np.clip(base.values[:channels] << base.shift, -CONTEXT_LIMIT, CONTEXT_LIMIT)
        self.planes = np.stack([latent_planes(x) for x in latents])
        self.values = np.stack(latents).reshape(2, LAYERS, GROUP, -1).astype(np.int64)
        self.first_mean8 = neighbour_mean8(latents[0][:GROUP])
        self.phase = phase_map(*size).reshape(-1)


def _means(heads: IntArray, candidates8: Sequence[IntArray]) -> IntArray:
    """Means in 1/8 step from raw heads (2 + n, 32, P) and n predictions in 1/8 step."""
    total: IntArray = heads[0] * 8
    for gate, candidate in zip(heads[2:], candidates8):
        total = total + np.clip(gate, -128, 127) * candidate
    mean8 = (total + (1 << (GATE_BITS - 1))) >> GATE_BITS
    limited: IntArray = np.clip(mean8, -MEAN8_LIMIT, MEAN8_LIMIT)
    return limited


def _tables(mean8: IntArray, delta: IntArray, base: IntArray) -> NDArray[np.uint16]:
    """Table index (32, P) of means (32, P), raw scale heads (32, P) and base index (32,)."""
    scale = np.clip(base[:, None] + delta, 0, N_SCALES - 1)
    index: NDArray[np.uint16] = ((mean8 & (N_FRACTIONS - 1)) * N_SCALES + scale).astype(np.uint16)
    return index


@dataclass(frozen=True, eq=False)
class Prediction:
    """What the model says before a latent is coded: mean in 1/8 step and table index, (16, 32, P) each."""

    mean8: IntArray
    table_index: NDArray[np.uint16]

    def symbols(self, latent: Latent) -> IntArray:
        """Symbols (16, 32, P) of a latent (512, h, w)."""
        return latent.reshape(LAYERS, GROUP, -1).astype(np.int64) - (self.mean8 >> _FRACTION_BITS)


def predict(
    engine: EntropyEngine,
    latent: Latent,
    contexts: Sequence[CodingContext],
    q: int,
    base: Base | None = None,
    layers: int = LAYERS,
) -> Prediction:
    """One teacher-forced pass over the first `layers` layers of a latent (512, h, w), which is known to its base or
    not; what is said of the other layers means nothing.
    """
    if latent.shape[0] != CHANNELS or latent.ndim != 3:
        raise CodingError(f"latent: expected ({CHANNELS}, h, w), found {latent.shape}")
    size = (latent.shape[1], latent.shape[2])
    inputs = _Inputs(contexts, q, size, base)
    own8 = neighbour_mean8(latent[:GROUP])
    spatial = spatial_planes(own8, inputs.first_mean8)
    first, rest = engine.heads_of_all(
        latent_planes(latent), inputs.planes, inputs.known, spatial, q, size, layers=layers
    )
    scales = engine.base_index[q].reshape(LAYERS, GROUP)[:layers]
    mean8 = np.zeros((LAYERS, GROUP, own8[0].size), np.int64)
    index = np.zeros(mean8.shape, np.uint16)
    c1, c2 = inputs.values[:, :layers] * 8
    flat = (own8.reshape(GROUP, -1), inputs.first_mean8.reshape(GROUP, -1))
    mean8[0] = _means(first, (c1[0], c2[0], *flat))
    index[0] = _tables(mean8[0], first[1], scales[0])
    total = rest[:, 0] * 8 + np.clip(rest[:, 2], -128, 127) * c1[1:] + np.clip(rest[:, 3], -128, 127) * c2[1:]
    means = np.clip((total + (1 << (GATE_BITS - 1))) >> GATE_BITS, -MEAN8_LIMIT, MEAN8_LIMIT)
    scale = np.clip(scales[1:, :, None] + rest[:, 1], 0, N_SCALES - 1)
    mean8[1:layers], index[1:layers] = means, (means & (N_FRACTIONS - 1)) * N_SCALES + scale
    return Prediction(mean8, index)


@dataclass(frozen=True, eq=False)
class Reconstruction:
    """What is known of a latent when its image is made, (512, h, w) each: `values` float32 in steps of q, decoded
    or, where nothing was decoded, what the model expects; `mean` float32 in steps and `scale` uint8 (0..63): what the
    model said of each value before it was decoded.
    """

    values: NDArray[np.float32]
    mean: NDArray[np.float32]
    scale: NDArray[np.uint8]
    q: int


def bins_of(base: Base) -> tuple[IntArray, IntArray]:
    """Least and greatest values (BASE_GROUPS, 32, P) of what a base says of the fine latent."""
    low, high = bin_of(base.values[: BASE_GROUPS * GROUP].reshape(BASE_GROUPS, GROUP, -1), base.shift)
    return low.astype(np.int64), high.astype(np.int64)


def mean_in_bins(
    tables: ProbabilityTables, index: NDArray[np.uint16], floor: IntArray, low: IntArray, high: IntArray
) -> NDArray[np.float32]:
    """Mean of the values in [low, high] under the tables, all of one shape; floor: that of the predicted means."""
    first, last = ((x - floor).ravel().astype(np.int32) for x in (low, high))
    widths = np.diff(interval_edges(tables, index.ravel(), first, last)).astype(np.float32)
    offset = widths @ np.arange(MAX_SPAN, dtype=np.float32) / widths.sum(1)
    mean: NDArray[np.float32] = low.astype(np.float32) + offset.reshape(low.shape)
    return mean


class TileDecoder:
    """Decodes the layers of one latent in order, and fills in what never came.

    latent: (512, h, w) int16, zero beyond `layers`. confirmed: layers with two checks behind them that hold, of the payload
    that was decoded last. `reconstruction`: what synthesis gets. base: of the latent, when it is known already
    (`swathpack.edge.codec.layers`). limit: of values that an encoder writes.
    """

    def __init__(
        self,
        engine: EntropyEngine,
        tables: ProbabilityTables,
        contexts: Sequence[CodingContext],
        q: int,
        size: tuple[int, int],
        base: Base | None = None,
        limit: int = LATENT_LIMIT,
    ) -> None:
        self.engine, self.tables, self.q, self.size, self.limit = engine, tables, q, size, limit
        self.inputs = _Inputs(contexts, q, size, base)
        self.bins = None if base is None else bins_of(base)
        self.latent = np.zeros((CHANNELS, *size), np.int16)
        self.layers = self.confirmed = 0
        self._mean8 = np.zeros((LAYERS, GROUP, size[0] * size[1]), np.int32)
        self._index = np.zeros(self._mean8.shape, np.uint16)
        self._stepper: Any = None
        self._planes: NDArray[np.int8] | None = None

    def decode(self, payload: bytes, count: int, coder: str | None = None, checked: bool = True) -> int:
        """Decode the next `count` layers, as many as the payload holds; returns how many layers that were.

        Raises CodingError for a payload that no encoder writes, and for one that its checks say has lost or changed
        bytes; the confirmed layers stay. checked: the payload holds checks (`swathpack.edge.codec.rangecoder.checks`).
        """
        return read_layers(self, payload, count, coder, checked)

    def read_layer(self, decoder: Decoder, adaptation: Adaptation | None = None) -> Latent:
        """The next layer (32, h, w) from a range decoder, with what was learned of its payload where scales adapt. Raises
        what that does, and CodingError.
        """
        if adaptation is not None:
            bounded = self.bins is not None and self.layers < BASE_GROUPS
            adaptation.begin(kind_of(self.layers, BASE_GROUPS, bounded))

        def read(index: NDArray[np.uint16], low: IntArray | None, high: IntArray | None, here: Any) -> IntArray:
            if adaptation is not None:
                return decoder.decode_adaptive(index, adaptation, adaptation.places[here], low, high).astype(np.int64)
            if low is None or high is None:
                return decoder.decode(index.ravel()).astype(np.int64).reshape(index.shape)
            found = decoder.decode_bounded(index.ravel(), low.ravel(), high.ravel())
            return found.astype(np.int64).reshape(index.shape)

        self._layer(read)
        return self.latent[(self.layers - 1) * GROUP : self.layers * GROUP]

    def forget(self, layers: int) -> None:
        """Go back to the first `layers` layers."""
        self.latent[layers * GROUP :] = 0
        self.layers, self._stepper = layers, None

    def first_layer(self, given: IntArray) -> Latent:
        """The latent with layer 0 (32, h, w) as given, and as the model expects it where that says EXPECTED.

        For encoders: each expected value is the cheapest symbol, given all that is coded before it.
        """
        self._layer(None, given.reshape(GROUP, -1))
        return self.latent

    def estimate(self, layers: int = LAYERS) -> NDArray[np.float32]:
        """The first `layers` decoded layers as they are, the others as their predicted mean."""
        return self.reconstruction(layers).values

    def reconstruction(self, layers: int = LAYERS) -> Reconstruction:
        """What synthesis gets of the first `layers` decoded layers."""
        layers = min(layers, self.layers)
        source = self if layers == LAYERS else self._filled(layers)
        mean = (source._mean8 / 8).astype(np.float32)
        flat = np.where(
            np.arange(LAYERS)[:, None, None] < layers,
            self.latent.reshape(mean.shape).astype(np.float32),
            source._expected(),
        )
        scale = (source._index % N_SCALES).astype(np.uint8)
        shape = self.latent.shape
        return Reconstruction(flat.reshape(shape), mean.reshape(shape), scale.reshape(shape), self.q)

    def _expected(self) -> NDArray[np.float32]:
        """(16, 32, P) float32: the mean, in bins the mean of what may still come."""
        mean = (self._mean8 / 8).astype(np.float32)
        if self.bins is not None:
            low, high = self.bins
            some = slice(0, len(low))
            mean[some] = mean_in_bins(self.tables, self._index[some], self._mean8[some] >> _FRACTION_BITS, low, high)
        return mean

    def _filled(self, layers: int) -> TileDecoder:
        """A decoder that was told the first `layers` layers and expects of the others what the model does."""
        filled = TileDecoder(self.engine, self.tables, (), self.q, self.size)
        filled.inputs, filled.bins = self.inputs, self.bins
        kept = self.latent.reshape(LAYERS, GROUP, -1).astype(np.int64)
        for j in range(LAYERS):
            filled._layer(None, kept[j] if j < layers else None)
        return filled

    def _layer(self, read: Any, given: IntArray | None = None) -> None:
        """One layer: network step, means and tables, then values from `read`, `given`, or the rounded mean."""
        j = self.layers
        if self._stepper is None:
            self._stepper = self._caught_up()
        trunk = self._stepper.step(j, self._planes)
        layer = self.latent.reshape(LAYERS, GROUP, -1)[j]
        if j == 0:
            self._first(trunk, layer, read, given)
        else:
            self._later(j, trunk, layer, read, given)
        self._planes = layer_planes(layer, j)
        self.layers += 1

    def _caught_up(self) -> Any:
        """A stepper that has seen the layers decoded so far."""
        stepper = self.engine.start(self.inputs.planes, self.inputs.known, self.q, self.size)
        self._planes = None
        for j in range(self.layers):
            stepper.step(j, self._planes)
            self._planes = layer_planes(self.latent.reshape(LAYERS, GROUP, -1)[j], j)
        return stepper

    def _values(
        self, mean8: IntArray, index: NDArray[np.uint16], read: Any, given: IntArray | None, here: Any
    ) -> IntArray:
        """Values (32, n) of the positions `here` of the present layer."""
        low: IntArray | None = None
        high: IntArray | None = None
        if self.bins is not None and self.layers < len(self.bins[0]):
            low, high = (ends[self.layers][:, here] for ends in self.bins)
        floor = mean8 >> _FRACTION_BITS
        if read is None:
            expected = np.clip((mean8 + 4) >> _FRACTION_BITS, -self.limit, self.limit)
            if low is not None and high is not None:
                expected = np.clip(expected, low, high)
            return expected if given is None else np.where(given == EXPECTED, expected, given)
        bounds = (None, None) if low is None or high is None else (low - floor, high - floor)
        values: IntArray = read(index, *bounds, here) + floor
        if np.abs(values).max(initial=0) > self.limit:
            raise CodingError(f"a value beyond {self.limit}; the payload is not from this model")
        return values

    def _first(self, trunk: NDArray[Any], layer: NDArray[np.int16], read: Any, given: IntArray | None) -> None:
        base = self.engine.base_index[self.q][:GROUP]
        first8 = self.inputs.first_mean8
        scratch = np.zeros_like(layer)
        for f in range(PHASES):
            here = np.flatnonzero(self.inputs.phase == f)
            if here.size == 0:
                continue
            own8 = neighbour_mean8(scratch.reshape(GROUP, *self.size))
            planes = spatial_planes(own8, first8)[:, here]
            heads = self.engine.first_head(trunk[here], planes, self.inputs.phase[here])
            flat = (own8.reshape(GROUP, -1)[:, here], first8.reshape(GROUP, -1)[:, here])
            mean8 = _means(heads, (self.inputs.values[0, 0][:, here] * 8, self.inputs.values[1, 0][:, here] * 8, *flat))
            part = None if given is None else given[:, here]
            index = _tables(mean8, heads[1], base)
            scratch[:, here] = self._values(mean8, index, read, part, here)
            self._mean8[0][:, here], self._index[0][:, here] = mean8, index
        layer[:] = scratch

    def _later(self, j: int, trunk: NDArray[Any], layer: NDArray[np.int16], read: Any, given: IntArray | None) -> None:
        heads = self.engine.head(j, trunk)
        mean8 = _means(heads, (self.inputs.values[0, j] * 8, self.inputs.values[1, j] * 8))
        base = self.engine.base_index[self.q][j * GROUP : (j + 1) * GROUP]
        self._mean8[j], self._index[j] = mean8, _tables(mean8, heads[1], base)
        layer[:] = self._values(mean8, self._index[j], read, given, slice(None))
