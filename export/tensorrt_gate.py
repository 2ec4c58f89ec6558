"""Do the graphs parse and build as strongly typed TensorRT engines? TensorRT-RTX needs no GPU to say.

    pip install --no-deps tensorrt-rtx-cu13-libs tensorrt-rtx-cu13-bindings
    python -m swathpack.export.tensorrt_gate models/edge/entropy.onnx models/edge/analysis.onnx

`make trt-gate` does both in a virtual environment of its own. It is a gate, not the flight engine: TensorRT-RTX does
not build for Orin's SM87, so SM86 (the nearest) stands in. Engines for the board are built on the board, by the same
`swathpack.edge.codec.engines.tensorrt_build.build` that runs here.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import Any

from swathpack.edge.codec.engines import tensorrt_build as flight


class GateError(RuntimeError):
    """A graph that does not parse or build; the message holds the parser's or builder's complaints."""


def runtime() -> Any:
    """The tensorrt_rtx module; raises ImportError where its wheels are not installed."""
    import tensorrt_rtx_libs  # noqa: F401, I001  loads the libraries that the bindings link to
    import tensorrt_rtx_bindings as trt

    return trt


def build(graph: Path, max_batch: int = flight.BuildOptions().batch) -> tuple[int, float]:
    """Bytes of the engine and seconds to build it, with the flight's own build code; raises GateError."""
    trt = runtime()
    start = time.monotonic()
    try:
        engine, _ = flight.build(trt, graph.read_bytes(), flight.BuildOptions(max_batch), prepare=_without_gpu)
    except flight.BuildError as error:
        raise GateError(f"{graph.name} {error}") from error
    return len(engine), time.monotonic() - start


def _without_gpu(trt: Any, config: Any) -> None:
    """TensorRT-RTX is told what to build for; on a board TensorRT asks the GPU."""
    config.num_compute_capabilities = 1
    config.set_compute_capability(trt.ComputeCapability.SM86, 0)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("graphs", type=Path, nargs="+")
    for graph in parser.parse_args().graphs:
        size, seconds = build(graph)
        print(f"{graph.name}: strongly typed engine for SM86, {size / 1e6:.1f} MB, built in {seconds:.1f} s")


if __name__ == "__main__":
    main()
