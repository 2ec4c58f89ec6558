"""The entropy network's encoder passes as entropy.onnx and entropy_base.onnx do them: inputs of the graphs, and heads
from their outputs.

What runs the graph is for subclasses (`_run`); decoding steps run in the float32 twin.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.base_layer import BASE_GROUPS
from swathpack.edge.codec.latents import GROUP, INT8_MAX, LAYERS, phase_map
from swathpack.edge.codec.network import RES_BITS, ExactNetwork, head_bits

INPUTS, OUTPUTS = ("own", "context", "known", "step", "spatial"), ("first", "rest")
Array = NDArray[Any]
Feeds = dict[str, Array]
Tile = tuple[Array, Array, Array, Array, int, tuple[int, int]]


class GraphEngine(ExactNetwork):
    """An ExactNetwork whose whole pass is done by a runtime of entropy.onnx."""

    def __init__(self, parameters: dict[str, Array]) -> None:
        super().__init__(parameters, np.float32)
        self._rest_factor = self._to_heads("head", slice(1, None)).reshape(-1, 1)
        self._first_factor = self._to_heads("first_head", slice(None))

    def _run(self, feeds: Feeds) -> Sequence[Array]:
        """Outputs `first` (B, P, 192) and `rest` (B, 1920, P, 1) of the graph."""
        raise NotImplementedError

    def _run_base(self, feeds: Feeds) -> Sequence[Array]:
        """The same of the base layer's graph: `rest` (B, 640, P, 1). Engines without that graph run the whole one."""
        return self._run(feeds)

    def _to_heads(self, name: str, part: slice) -> NDArray[np.float32]:
        """Power of two per output channel: from the graph's reals to the head's grid."""
        exponent = self.layers[name].exponent[part]
        bits = head_bits(exponent.shape[-1] // GROUP)
        return np.exp2(np.broadcast_to(bits, exponent.shape).astype(np.float32))

    def heads_of_all(
        self,
        own: Array,
        contexts: Array,
        known: Array,
        spatial: Array,
        q: int,
        size: tuple[int, int],
        layers: int = LAYERS,
    ) -> tuple[Array, Array]:
        """As `ExactNetwork.heads_of_all`, through the graph of all layers or that of the base's."""
        tile = (own, contexts, known, spatial, q, size)
        if layers == BASE_GROUPS:
            first, rest = self.heads_from(self._run_base(self.feeds_of([tile])))[0]
        else:
            first, rest = self.heads_of_batch([tile])[0]
        return first, rest[: layers - 1]

    def heads_of_batch(self, tiles: Sequence[Tile]) -> list[tuple[Array, Array]]:
        """`heads_of_all` for tiles of one size, in one run."""
        return self.heads_from(self._run(self.feeds_of(tiles)))

    def feeds_of(self, tiles: Sequence[Tile]) -> Feeds:
        """The graph's inputs for tiles of one size, batch first."""
        columns = zip(*(self._feed(*tile) for tile in tiles))
        return {name: np.stack(rows) for name, rows in zip(INPUTS, columns)}

    def heads_from(self, outputs: Sequence[Array]) -> list[tuple[Array, Array]]:
        """Heads of every tile from the graph's outputs."""
        return [self._heads_of(first, rest) for first, rest in zip(*outputs)]

    def _feed(
        self,
        own: Array,
        contexts: Array,
        known: Array,
        spatial: Array,
        q: int,
        size: tuple[int, int],
    ) -> tuple[Array, ...]:
        """One tile's rows of the graph's inputs, in the order of INPUTS."""
        onehot = ((phase_map(*size).reshape(-1) == np.arange(5)[:, None]) * INT8_MAX).astype(np.int8)
        return (
            own.reshape(-1, *size),
            contexts.reshape(-1, *size),
            known.reshape(-1).astype(np.float32),
            self.step_embed[q] * np.float32(2.0**-RES_BITS),
            np.concatenate([spatial, onehot]).astype(np.int8).reshape(-1, *size),
        )

    def _heads_of(self, first: NDArray[np.float32], rest: NDArray[np.float32]) -> tuple[Array, Array]:
        first_int = _rounded(first, self._first_factor)
        rest_int = _rounded(rest[:, :, 0], self._rest_factor[: len(rest)])
        return (
            np.ascontiguousarray(first_int.reshape(-1, 6, GROUP).transpose(1, 2, 0)),
            rest_int.reshape(len(rest) // (4 * GROUP), 4, GROUP, -1),
        )


def _rounded(accumulator: NDArray[np.float32], factor: NDArray[np.float32]) -> NDArray[np.int32]:
    """Accumulators that carry their 1/4 already -> integers at the head's grid; there is no tie.

    The product is exact: the factor is a power of two.
    """
    scaled = accumulator * factor
    rounded: NDArray[np.int32] = np.rint(scaled, out=scaled).astype(np.int32)
    return rounded
