"""Count the multiply-accumulates of the shipped graphs on one tile, and their parameters.

    python -m swathpack.tools.bench.count_macs [--model models/edge] [--side 256]

Every Conv, ConvTranspose, MatMul and Gemm of the graphs counts with the shapes it has when the graph runs (ONNX
Runtime, no optimisation). The board runs the analysis and two passes of the entropy network, over the base layer and
over all; synthesis runs on the ground.
"""

from __future__ import annotations

import argparse
import json
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import numpy_helper

from swathpack.edge.codec.engines.onnxruntime_engine import open_session
from swathpack.edge.codec.latents import GROUP, LAYERS, STRIDE
from swathpack.edge.codec.model import DEFAULT_DIRECTORY

BOARD_LIMIT_GMAC = 5.0
PLANES = 2 * GROUP
COUNTED = ("Conv", "ConvTranspose", "MatMul", "Gemm")
Array = NDArray[Any]


def feeds_of(name: str, side: int) -> dict[str, Array]:
    """Inputs of a graph for one tile of side x side pixels."""
    n = side // STRIDE
    if name == "analysis":
        return {"frame": np.zeros((1, 12, side + 8, side + 8), np.float32)}
    if name == "synthesis":
        return {
            "latent": np.zeros((1, GROUP * LAYERS, n, n), np.float32),
            "q": np.full((1, 1), 24, np.float32),
            "expected": np.zeros((1, GROUP * LAYERS, n, n), np.float32),
            "scale": np.zeros((1, GROUP * LAYERS, n, n), np.float32),
        }
    return {
        "own": np.zeros((1, LAYERS * PLANES, n, n), np.int8),
        "context": np.zeros((1, 2 * LAYERS * PLANES, n, n), np.int8),
        "known": np.ones((1, 2 * LAYERS), np.float32),
        "spatial": np.zeros((1, 3 * GROUP + 5, n, n), np.int8),
    }


def _shapes(model: Any, feeds: dict[str, Array], names: list[str]) -> dict[str, tuple[int, ...]]:
    """Shapes of inner tensors, from running the graph with them as outputs."""
    copy = onnx.ModelProto.FromString(model.SerializeToString())
    del copy.graph.output[:]
    for name in names:
        copy.graph.output.append(onnx.helper.make_empty_tensor_value_info(name))
    session = open_session(copy.SerializeToString(), level="off")
    wanted = {i.name for i in session.get_inputs()}  # older synthesis graphs take fewer
    given = {name: value for name, value in feeds.items() if name in wanted}
    return {name: value.shape for name, value in zip(names, session.run(names, given))}


def _macs(node: Any, shapes: dict[str, tuple[int, ...]]) -> int:
    """Multiply-accumulates of one node of COUNTED."""
    first, second, out = shapes[node.input[0]], shapes[node.input[1]], shapes[node.output[0]]
    if node.op_type == "Conv":
        return prod(out) * prod(second[1:])
    if node.op_type == "ConvTranspose":
        return prod(first) * prod(second[1:])
    transposed = any(a.name == "transA" and a.i for a in node.attribute)
    return prod(out) * (first[0] if transposed else first[-1])


def count(model: Any, feeds: dict[str, Array]) -> dict[str, int]:
    """Multiply-accumulates of a ModelProto by kind of node."""
    constants = {i.name: tuple(i.dims) for i in model.graph.initializer}
    nodes = [n for n in model.graph.node if n.op_type in COUNTED]
    inner = sorted({t for n in nodes for t in (*n.input[:2], n.output[0])} - set(constants) - set(feeds))
    shapes = {**constants, **{k: v.shape for k, v in feeds.items()}, **_shapes(model, feeds, inner)}
    totals: dict[str, int] = {}
    for node in nodes:
        totals[node.op_type] = totals.get(node.op_type, 0) + _macs(node, shapes)
    return totals


def parameters(model: Any) -> int:
    """Numbers in weights and biases; scales, zero points, shapes and single constants do not count."""
    arrays = [i for i in model.graph.initializer if not i.name.endswith((".scale", ".zero"))]
    kinds = (np.float32, np.float16, np.int8)
    return sum(
        prod(i.dims)
        for i in arrays
        if prod(i.dims) > 1 and numpy_helper.to_array(i).dtype in kinds and i.name != "mask"
    )


def measure(directory: Path = DEFAULT_DIRECTORY, side: int = 256) -> dict[str, Any]:
    """GMAC, parameters and file bytes of all parts."""
    parts: dict[str, dict[str, Any]] = {}
    with np.load(directory / "entropy.npz") as archive:
        unique = sum(v.size for k, v in archive.items() if k.endswith((".weight", ".bias")))
        width = archive["step_embed"].shape[1]
    for name in ("analysis", "entropy", "entropy_base", "synthesis"):
        model, feeds = onnx.load(str(directory / f"{name}.onnx")), feeds_of(name, side)
        if name.startswith("entropy"):
            feeds["step"] = np.zeros((1, width), np.float32)
        kinds = count(model, feeds)
        parts[name] = {
            "gmac": sum(kinds.values()) / 1e9,
            "gmac_by_node": {k: v / 1e9 for k, v in sorted(kinds.items())},
            # The graph repeats kernels that all layers share; the integer file holds each once.
            "parameters": unique if name.startswith("entropy") else parameters(model),
            "graph_parameters": parameters(model),
        }
    board = sum(parts[name]["gmac"] for name in ("analysis", "entropy_base", "entropy"))
    files = {p.name: p.stat().st_size for p in sorted(directory.iterdir()) if p.is_file()}
    return {
        "side": side,
        "parts": parts,
        "board_gmac": board,
        "board_limit_gmac": BOARD_LIMIT_GMAC * (side / 256) ** 2,
        "model_bytes": files,
        "model_bytes_total": sum(files.values()),
    }


def text(found: dict[str, Any]) -> str:
    """The same for people."""
    lines = [
        f"one tile of {found['side']} x {found['side']} x 12",
        "part         GMAC    parameters  file bytes",
    ]
    for name, part in found["parts"].items():
        size = found["model_bytes"][f"{name}.onnx"]
        lines.append(f"{name:10s} {part['gmac']:6.3f}  {part['parameters']:12,d}  {size:10,d}")
    verdict = "within" if found["board_gmac"] <= found["board_limit_gmac"] else "ABOVE"
    lines.append(
        f"on board (analysis + both entropy passes): {found['board_gmac']:.3f} GMAC, {verdict} {found['board_limit_gmac']:g}"
    )
    lines.append(f"all model files: {found['model_bytes_total']:,d} bytes")
    return "\n".join(lines)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, default=DEFAULT_DIRECTORY)
    parser.add_argument("--side", type=int, default=256, help="pixels, a multiple of 16 (default 256)")
    parser.add_argument("--json", action="store_true")
    args = parser.parse_args()
    found = measure(args.model, args.side)
    print(json.dumps(found, indent=1) if args.json else text(found))
    return 0 if found["board_gmac"] <= found["board_limit_gmac"] else 1


if __name__ == "__main__":
    raise SystemExit(main())
