"""The entropy network's encoder pass in ONNX Runtime; decoding steps run in the float32 twin.

Graph optimisation decides which kernels run: `off` and `basic` keep float32 arithmetic, which is exact
everywhere; `extended` and `all` fuse to int8 kernels, exact on machines with VNNI or NEON dot products and
wrong on AVX2-only ones, where they add in saturating 16 bits. `edge.engines.open_engine` therefore lets an
engine code only after it has passed the golden vectors here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from edge.latents import GROUP, INT8_MAX, LAYERS, phase_map
from edge.network import GATE_BITS, RES_BITS, SCALE_BITS, ExactNetwork

LEVELS = ("off", "basic", "extended", "all")
INPUTS = ("own", "context", "known", "step", "spatial")
Array = NDArray[Any]
Tile = tuple[Array, Array, NDArray[np.bool_], Array, int, tuple[int, int]]


class OnnxEngine(ExactNetwork):
    """An ExactNetwork whose whole pass is done by ONNX Runtime. level: one of LEVELS."""

    def __init__(
        self, parameters: dict[str, Array], graph: Path | bytes, level: str = "basic", threads: int = 1
    ) -> None:
        super().__init__(parameters, np.float32)
        import onnxruntime as ort

        options = ort.SessionOptions()
        options.intra_op_num_threads, options.inter_op_num_threads = threads, 1
        options.log_severity_level = 3
        choice = ort.GraphOptimizationLevel
        options.graph_optimization_level = {
            "off": choice.ORT_DISABLE_ALL,
            "basic": choice.ORT_ENABLE_BASIC,
            "extended": choice.ORT_ENABLE_EXTENDED,
            "all": choice.ORT_ENABLE_ALL,
        }[level]
        source = graph if isinstance(graph, bytes) else str(graph)
        self.session = ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._rest_factor = self._to_heads("head", slice(1, None)).reshape(-1, 1)
        self._first_factor = self._to_heads("first_head", slice(None))

    def _to_heads(self, name: str, part: slice) -> NDArray[np.float32]:
        """Power of two per output channel: from the graph's reals to the head's grid."""
        exponent = self.layers[name].exponent[part]
        parts = exponent.shape[-1] // GROUP
        bits = np.repeat([GATE_BITS, SCALE_BITS] + [GATE_BITS] * (parts - 2), GROUP)
        return np.exp2(np.broadcast_to(bits, exponent.shape).astype(np.float32))

    def heads_of_all(
        self,
        own: Array,
        contexts: Array,
        known: NDArray[np.bool_],
        spatial: Array,
        q: int,
        size: tuple[int, int],
    ) -> tuple[Array, Array]:
        """As `ExactNetwork.heads_of_all`, through the session."""
        return self.heads_of_batch([(own, contexts, known, spatial, q, size)])[0]

    def heads_of_batch(self, tiles: Sequence[Tile]) -> list[tuple[Array, Array]]:
        """`heads_of_all` for tiles of one size, in one run of the session."""
        columns = zip(*(self._feed(*tile) for tile in tiles))
        feeds = {name: np.stack(rows) for name, rows in zip(INPUTS, columns)}
        first, rest = self.session.run(["first", "rest"], feeds)
        return [self._heads_of(*pair) for pair in zip(first, rest)]

    def _feed(
        self,
        own: Array,
        contexts: Array,
        known: NDArray[np.bool_],
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
        rest_int = _rounded(rest[:, :, 0], self._rest_factor)
        return (
            np.ascontiguousarray(first_int.reshape(-1, 6, GROUP).transpose(1, 2, 0)),
            rest_int.reshape(LAYERS - 1, 4, GROUP, -1),
        )


def _rounded(accumulator: NDArray[np.float32], factor: NDArray[np.float32]) -> NDArray[np.int32]:
    """Accumulators that carry their 1/4 already -> integers at the head's grid; there is no tie.

    The product is exact: the factor is a power of two.
    """
    scaled = accumulator * factor
    rounded: NDArray[np.int32] = np.rint(scaled, out=scaled).astype(np.int32)
    return rounded
