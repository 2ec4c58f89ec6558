"""The entropy network's encoder pass in ONNX Runtime.

Graph optimisation decides which kernels run: `off` and `basic` keep float32 arithmetic, which is exact
everywhere; `extended` and `all` fuse to int8 kernels, exact on machines with VNNI or NEON dot products and
wrong on AVX2-only ones, where they add in saturating 16 bits. `swathpack.edge.codec.engines.open_engine` therefore lets an
engine code only after it has passed the golden vectors here.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from swathpack.edge.codec.engines.graph_engine import OUTPUTS, Array, Feeds, GraphEngine

LEVELS = ("off", "basic", "extended", "all")


def open_session(graph: Path | bytes, threads: int = 1, level: str = "all") -> Any:
    """An ONNX Runtime session on the CPU; level: one of LEVELS. Raises ImportError, and onnxruntime's own errors."""
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
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"])


class OnnxEngine(GraphEngine):
    """level: one of LEVELS. base: the graph of the base layer's pass; without it the whole graph does that too."""

    def __init__(
        self,
        parameters: dict[str, Array],
        graph: Path | bytes,
        level: str = "basic",
        threads: int = 1,
        base: Path | bytes | None = None,
    ) -> None:
        super().__init__(parameters)
        self.session = open_session(graph, threads, level)
        self.base_session = self.session if base is None else open_session(base, threads, level)

    def _run(self, feeds: Feeds) -> Sequence[Array]:
        outputs: Sequence[Array] = self.session.run(list(OUTPUTS), feeds)
        return outputs

    def _run_base(self, feeds: Feeds) -> Sequence[Array]:
        outputs: Sequence[Array] = self.base_session.run(list(OUTPUTS), feeds)
        return outputs
