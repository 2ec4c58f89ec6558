"""Do the graphs parse and build as strongly typed TensorRT engines? TensorRT-RTX needs no GPU to say.

    pip install --no-deps tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings
    python -m export.tensorrt_gate models/edge/entropy.onnx models/edge/analysis.onnx

A gate, not the flight engine: TensorRT-RTX does not build for Orin's SM87, so SM86 (the nearest) stands in.
Engines for the board are built on the board.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

POSITIONS = 16  # along a tile's side
FRAME_SIDE = 16 * POSITIONS + 8  # analysis reads a margin of 4 pixels


class GateError(RuntimeError):
    """A graph that does not parse or build; the message holds the parser's or builder's complaints."""


def runtime() -> Any:
    """The tensorrt_rtx module; raises ImportError where its wheels are not installed."""
    import tensorrt_rtx_libs  # noqa: F401, I001  loads the libraries that the bindings link to
    import tensorrt_rtx_bindings as trt

    return trt


def build(graph: Path, max_batch: int = 16) -> tuple[int, float]:
    """Bytes of the engine and seconds to build it; raises GateError."""
    trt = runtime()
    messages: list[str] = []
    logger = _logger(trt, messages)
    builder = trt.Builder(logger)
    network = builder.create_network(1 << int(trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED))
    parser = trt.OnnxParser(network, logger)
    if not parser.parse(graph.read_bytes()):
        faults = [str(parser.get_error(i)) for i in range(parser.num_errors)]
        raise GateError(f"{graph.name} does not parse: " + "; ".join(faults))
    config = builder.create_builder_config()
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)
    config.add_optimization_profile(_profile(builder, network, max_batch))
    start = time.monotonic()
    engine = builder.build_serialized_network(network, config)
    if engine is None:
        raise GateError(f"{graph.name} does not build: " + "; ".join(messages[-3:]))
    return engine.nbytes, time.monotonic() - start


def _logger(trt: Any, messages: list[str]) -> Any:
    class Collect(trt.ILogger):  # type: ignore[misc]
        def __init__(self) -> None:
            trt.ILogger.__init__(self)

        def log(self, severity: Any, text: str) -> None:
            if severity in (trt.ILogger.ERROR, trt.ILogger.INTERNAL_ERROR):
                messages.append(text)

    return Collect()


def _profile(builder: Any, network: Any, max_batch: int) -> Any:
    profile = builder.create_optimization_profile()
    for i in range(network.num_inputs):
        tensor = network.get_input(i)
        shape = list(tensor.shape)
        if -1 in shape:
            low, high = (_filled(tensor.name, shape, batch) for batch in (1, max_batch))
            profile.set_shape(tensor.name, low, high, high)
    return profile


def _filled(name: str, shape: list[int], batch: int) -> tuple[int, ...]:
    """A shape with its open dimensions set: batch first, then the sides."""
    side = FRAME_SIDE if name == "frame" else POSITIONS
    return tuple(d if d != -1 else batch if place == 0 else side for place, d in enumerate(shape))


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("graphs", type=Path, nargs="+")
    for graph in parser.parse_args().graphs:
        size, seconds = build(graph)
        print(f"{graph.name}: strongly typed engine for SM86, {size / 1e6:.1f} MB, built in {seconds:.1f} s")


if __name__ == "__main__":
    main()
