"""From ONNX to a TensorRT engine, on the device that will run it. TensorRT 10.3 to 11: strongly typed, explicit batch.

Types come from the graph alone (explicit Q/DQ), so no precision flag is set. TF32 is off: it would be exact in the
entropy network (its factors are int8), but nothing is gained from having to argue so. The optimisation profile covers
tiles from 64 to 256 pixels a side and batches from 1 to the configured one, tuned for the largest.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from swathpack.edge.codec.engines.engine_files import EngineKey, load, pack, store, unpack
from swathpack.edge.codec.latents import STRIDE
from swathpack.edge.codec.pixels import OVERLAP

MIN_SIDE, MAX_SIDE = 4, 16  # latent positions along a tile's side
WORKSPACE_BYTES = 1 << 30  # a limit, not what is taken: the entropy network needs 34 MB a tile of a batch
MESSAGES = 4

Shape = tuple[int, ...]


class BuildError(RuntimeError):
    """A graph that TensorRT does not parse or build; carries what it said."""


@dataclass(frozen=True)
class BuildOptions:
    """batch: tiles in one run. dla: DLA core for the graph, or None. positions: (smallest, largest) side; DLA takes
    one size only.
    """

    batch: int = 4
    dla: int | None = None
    positions: tuple[int, int] = (MIN_SIDE, MAX_SIDE)

    @property
    def text(self) -> str:
        """All options in words: part of an engine's key, so that others are built anew."""
        device = "gpu" if self.dla is None else f"dla{self.dla}"
        return f"batch {self.batch}, {device}, sides {self.positions[0]}-{self.positions[1]}"


@dataclass(frozen=True)
class Built:
    """A serialised engine. how: loaded, built or rebuilt; detail: why, and what could not be kept."""

    payload: bytes
    how: str
    detail: str


def make_logger(trt: Any) -> Any:
    """A logger that keeps the last errors and warnings in `messages` instead of printing them."""

    class Collect(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)
            self.messages: list[str] = []

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.INTERNAL_ERROR, trt.ILogger.ERROR):
                self.messages = [*self.messages, text][-MESSAGES:]

    return Collect()


def input_shapes(name: str, shape: Shape, options: BuildOptions) -> tuple[Shape, Shape]:
    """(smallest, largest) shape of a graph input with open dimensions: batch first, then the sides."""

    def filled(batch: int, positions: int) -> Shape:
        side = positions * STRIDE + 2 * OVERLAP if name == "frame" else positions
        return tuple(d if d != -1 else batch if place == 0 else side for place, d in enumerate(shape))

    low = options.batch if options.dla is not None else 1
    return filled(low, options.positions[0]), filled(options.batch, options.positions[1])


def build(
    trt: Any,
    graph: bytes,
    options: BuildOptions,
    timing: bytes = b"",
    prepare: Callable[[Any, Any], None] = lambda trt, config: None,
) -> tuple[bytes, bytes]:
    """Serialised engine and timing cache. prepare: last word on the configuration, for builders without a GPU. Raises
    BuildError.
    """
    logger = make_logger(trt)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph):
        faults = [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise BuildError("does not parse: " + "; ".join(faults or logger.messages))
    config = configured(trt, builder, network, options)
    prepare(trt, config)
    cache = config.create_timing_cache(timing)
    config.set_timing_cache(cache, False)
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise BuildError("does not build: " + "; ".join(logger.messages or ["TensorRT gives no reason"]))
    return bytes(engine), bytes(config.get_timing_cache().serialize())


def configured(trt: Any, builder: Any, network: Any, options: BuildOptions) -> Any:
    """A builder's configuration for the options: DLA with the GPU for the rest, one profile of input shapes, no TF32."""
    config = builder.create_builder_config()
    config.set_memory_pool_limit(trt.MemoryPoolType.WORKSPACE, WORKSPACE_BYTES)
    config.profiling_verbosity = trt.ProfilingVerbosity.DETAILED
    config.clear_flag(trt.BuilderFlag.TF32)
    if options.dla is not None:
        config.default_device_type = trt.DeviceType.DLA
        config.DLA_core = options.dla
        config.set_flag(trt.BuilderFlag.GPU_FALLBACK)
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        low, high = input_shapes(tensor.name, tuple(tensor.shape), options)
        profile.set_shape(tensor.name, low, high, high)
    config.add_optimization_profile(profile)
    return config


def dla_cores(trt: Any) -> int:
    """DLA cores that this TensorRT can build for; 0 where the release has no DLA."""
    return int(getattr(trt.Builder(make_logger(trt)), "num_DLA_cores", 0))


def obtain(trt: Any, folder: Path, key: EngineKey, graph: bytes, options: BuildOptions) -> Built:
    """The engine of that key: from its file, or built and kept. Raises BuildError."""
    payload, fault = load(folder, key)
    if payload is not None:
        return Built(payload, "loaded", key.name)
    timing_key = EngineKey("timing", key.gpu, key.capability, key.tensorrt, "", "")
    try:
        timing = unpack(timing_key, (folder / key.timing_name).read_bytes()) or b""
    except OSError:
        timing = b""
    payload, timing = build(trt, graph, options, timing)
    kept = [store(folder, key.name, pack(key, payload)), store(folder, key.timing_name, pack(timing_key, timing))]
    return Built(payload, "rebuilt" if fault else "built", "; ".join(x for x in (key.name, fault, *kept) if x))
