"""TensorRT on a Jetson or another NVIDIA GPU: the entropy pass, and with it the analysis transform.

`open_tensorrt` finds GPU and TensorRT, loads the engine files of this very GPU, version and model or builds them
(minutes, once), and allocates all memory. What it does beyond the plain way is told in `notes`: engines built or
rebuilt, a DLA that is not there. Whether the engine may code is not decided here but by the golden vectors.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.codec.engines.cuda import Cuda, CudaMissing, open_cuda
from swathpack.edge.codec.engines.engine_files import EngineKey, store
from swathpack.edge.codec.engines.graph_engine import OUTPUTS, Array, Feeds, GraphEngine, Tile
from swathpack.edge.codec.engines.tensorrt_build import MAX_SIDE, MIN_SIDE, BuildError, BuildOptions, dla_cores, obtain
from swathpack.edge.codec.engines.tensorrt_session import SLOTS, TensorRtSession
from swathpack.edge.codec.latents import LAYERS
from swathpack.edge.codec.network import ExactNetwork
from swathpack.edge.digests import bytes_digest

CACHE_VARIABLE = "SWATHPACK_ENGINES"
BATCH = BuildOptions().batch
TOLERANCE = 0.02  # of the largest coefficient: half-precision weights and other summation order stay far below
DIGEST_BYTES = 8


@dataclass(frozen=True)
class Note:
    """Something the flight's log should hold: `dla`, `built`, `rebuilt`, `loaded`, `analysis`."""

    engine: str
    reason: str
    detail: str


@dataclass(frozen=True)
class Platform:
    """What engines are built for. folder: where they are kept. key: what an engine of a graph's bytes must agree with."""

    trt: Any
    cuda: Cuda
    folder: Path

    def key(self, role: str, graph: bytes, options: BuildOptions) -> EngineKey:
        digest = bytes_digest(graph, DIGEST_BYTES).hex()
        return EngineKey(role, self.cuda.gpu, self.cuda.capability, str(self.trt.__version__), digest, options.text)


def find_platform(model_folder: Path, library: str = "") -> Platform:
    """TensorRT and a GPU. Raises ImportError without TensorRT, CudaMissing without CUDA library or GPU."""
    import tensorrt

    folder = Path(os.environ.get(CACHE_VARIABLE) or model_folder / "engines")
    return Platform(tensorrt, open_cuda(library), folder)


def open_session(
    name: str, platform: Platform, role: str, graph: bytes, options: BuildOptions
) -> tuple[TensorRtSession, list[Note]]:
    """The session of a graph; keeps the inspector's layer information beside a newly built engine. Raises BuildError,
    TensorRtError, CudaError.
    """
    key = platform.key(role, graph, options)
    with platform.cuda.current():
        made = obtain(platform.trt, platform.folder, key, graph, options)
    session = TensorRtSession(platform.trt, platform.cuda, made.payload)
    if made.how != "loaded":
        store(platform.folder, f"{Path(key.name).stem}.layers.json", session.layer_information().encode())
    return session, [Note(name, made.how, made.detail)]


def open_analysis(name: str, platform: Platform, graph: bytes, dla: int | None) -> tuple[TensorRtSession, list[Note]]:
    """The analysis transform, on a DLA core when asked; on the GPU, with a note that says why, when that fails."""
    notes: list[Note] = []
    plain = BuildOptions(BATCH)
    if dla is not None:
        with platform.cuda.current():
            cores = dla_cores(platform.trt)
        if dla >= cores:
            notes.append(Note(name, "dla", f"no DLA core {dla}, {cores} here: on the GPU"))
        else:
            try:
                # A DLA runs one shape: whole tiles in whole batches of one.
                options = replace(plain, batch=1, dla=dla, positions=(MAX_SIDE, MAX_SIDE))
                session, told = open_session(name, platform, "analysis", graph, options)
                return session, [*notes, *told]
            except BuildError as error:
                notes.append(Note(name, "dla", f"core {dla}: on the GPU, since it {error}"))
    session, told = open_session(name, platform, "analysis", graph, plain)
    return session, [*notes, *told]


class Analysis:
    """The analysis transform with ONNX Runtime's `run`; tiles that the engine's profile does not cover go to
    `fallback`.
    """

    def __init__(self, session: TensorRtSession, fallback: Callable[[], Any]) -> None:
        self._session, self._open_fallback = session, fallback
        self.low, self.high = session.smallest("frame"), session.largest("frame")

    @cached_property
    def _fallback(self) -> Any:
        return self._open_fallback()

    def run(self, outputs: Sequence[str] | None, feeds: Feeds) -> list[Array]:
        """`frame` (B, 12, 16h + 8, 16w + 8) float32 -> [`coefficients`]."""
        shape = feeds["frame"].shape
        if all(low <= n <= high for low, n, high in zip(self.low, shape, self.high)):
            return self._session.run(outputs, feeds)
        found: list[Array] = self._fallback.run(outputs, feeds)
        return found

    def deviation(self) -> float:
        """Largest difference from `fallback` over one made-up tile, as a share of the largest coefficient."""
        ramp = np.arange(12 * self.high[2] * self.high[3], dtype=np.float32) % 4093
        frame = {"frame": ramp.reshape(1, 12, *self.high[2:])}
        expected, found = self._fallback.run(None, frame)[0], self._session.run(None, frame)[0]
        return float(np.abs(found - expected).max() / np.abs(expected).max())


class TensorRtEngine(GraphEngine):
    """The entropy pass on the GPU. analysis: the transform beside it, or None. notes: for the flight's log."""

    def __init__(
        self, parameters: dict[str, Array], session: TensorRtSession, analysis: Analysis | None, notes: list[Note]
    ) -> None:
        super().__init__(parameters)
        self.session, self.analysis, self.notes = session, analysis, notes
        self.batch = session.largest("own")[0]

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
        """As `ExactNetwork.heads_of_all`; sizes that the engine was not built for run in the float32 twin."""
        if not all(MIN_SIDE <= n <= MAX_SIDE for n in size):
            return ExactNetwork.heads_of_all(self, own, contexts, known, spatial, q, size, layers)
        return super().heads_of_all(own, contexts, known, spatial, q, size, layers)

    def heads_of_batch(self, tiles: Sequence[Tile]) -> list[tuple[Array, Array]]:
        """As `GraphEngine.heads_of_batch`, for any number of tiles: the next batch runs while one is collected."""
        answers: list[tuple[Array, Array]] = []
        waiting: deque[Any] = deque()
        for start in range(0, len(tiles), self.batch):
            if len(waiting) == SLOTS:
                answers += self.heads_from(self.session.collect(waiting.popleft(), OUTPUTS))
            waiting.append(self.session.submit(self.feeds_of(tiles[start : start + self.batch])))
        while waiting:
            answers += self.heads_from(self.session.collect(waiting.popleft(), OUTPUTS))
        return answers

    def _run(self, feeds: Feeds) -> Sequence[Array]:
        return self.session.run(OUTPUTS, feeds)


def open_tensorrt(
    name: str,
    parameters: dict[str, Array],
    platform: Platform,
    entropy: bytes,
    analysis: bytes | None,
    fallback: Callable[[], Any],
    dla: int | None = None,
) -> TensorRtEngine:
    """Both engines. analysis: its graph, None to leave it on the processor. Raises BuildError, TensorRtError,
    CudaError for the entropy engine; an analysis that fails or differs stays on the processor, with a note.
    """
    session, notes = open_session(name, platform, "entropy", entropy, BuildOptions(BATCH))
    beside: Analysis | None = None
    if analysis is not None:
        try:
            made, told = open_analysis(name, platform, analysis, dla)
            notes += told
            beside = Analysis(made, fallback)
            if not (deviation := beside.deviation()) <= TOLERANCE:
                notes.append(Note(name, "analysis", f"differs by {deviation:.3f}: on the processor"))
                beside = None
        except Exception as error:  # the analysis may run anywhere: its failure costs speed only
            notes.append(Note(name, "analysis", f"on the processor: {error}"))
            beside = None
    return TensorRtEngine(parameters, session, beside, notes)


__all__ = ["CudaMissing", "TensorRtEngine", "find_platform", "open_tensorrt"]
