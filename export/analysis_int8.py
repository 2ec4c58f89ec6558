"""The analysis transform on int8 products, as an explicit symmetric Q/DQ graph for ONNX Runtime and TensorRT.

    frame (B, 12, 16h + 8, 16w + 8) float32 DN, mirrored by 4 pixels -> coefficients (B, 512, h, w) float32

The same interface as analysis.onnx. The frame is split into int8 planes (`swathpack.calibration.planes`); every plane passes
QuantizeLinear with a power-of-two scale, is gathered into patches as int8, and meets int8 weights with a power-of-two
scale per output channel in one MatMul. Products of all planes and the bias are added in float32. Patches as a matrix,
not a 24 x 24 convolution: ONNX Runtime has an int8 kernel with float output for products only, and 12 input channels
would leave most of an int8 tensor core's 32 idle.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from swathpack.calibration.analysis import STATISTICS_FILE, Int8Analysis, Statistics, quantise
from swathpack.calibration.planes import BANDS, GRID, SPAN, UNTIE_DN, Plane
from swathpack.codec.atomic import replaced
from swathpack.edge.codec.latents import CHANNELS, STEP_UNIT_DN
from swathpack.edge.digests import FILE_DIGEST_BYTES, bytes_digest
from swathpack.export.graph import Graph

FILE = "analysis_int8.onnx"
INT32_LIMIT = 1 << 31


class _AnalysisGraph(Graph):
    def __init__(self) -> None:
        super().__init__("swathpack_analysis_int8")
        self.sizes = ("", "", "")  # batch, rows and columns of the grid, see _sizes
        self.zero = self.constant("zero_point", np.int8(0))

    def ints(self, *values: int) -> str:
        """A constant int64 vector, stored once."""
        name = "ints." + "_".join(str(v) for v in values)
        if name not in {i.name for i in self.initialisers}:
            self.constant(name, np.array(values, np.int64))
        return name

    def scalar(self, value: float) -> str:
        name = f"scalar.{value}"
        if name not in {i.name for i in self.initialisers}:
            self.constant(name, np.float32(value))
        return name

    def reshape(self, x: str, *parts: int | str) -> str:
        """Constant parts and one-element tensors."""
        names = [p if isinstance(p, str) else self.ints(p) for p in parts]
        return self.add("Reshape", [x, self.add("Concat", names, axis=0)])


def analysis_int8_graph(model: Int8Analysis) -> Any:
    """The checked ModelProto. Raises OverflowError when a sum of int8 products could leave int32."""
    worst = max(model.worst_sums().values())
    if worst >= INT32_LIMIT:
        raise OverflowError(f"int8 analysis: worst-case sum {worst} is not below 2^31")
    planes = model.planes
    g = _AnalysisGraph()
    frame = g.input("frame", ["batch", BANDS, "height", "width"])
    g.sizes = _sizes(g, frame)
    left = g.add("Sub", [frame, g.constant("offset", model.offset[:, None, None])])
    levels = []
    for place, plane in enumerate(planes):
        int8, left = _plane(g, left, plane, last=place == len(planes) - 1)
        levels.append(int8)
    kernels = {c: _kernel(g, c, w, model.exponents[c]) for c, w in model.weights.items()}
    total = ""
    for plane, int8 in zip(planes, levels):
        scaled = g.add("DequantizeLinear", [_patches(g, int8, plane), g.scalar(plane.step), g.zero])
        product = g.add("MatMul", [scaled, kernels[plane.cell]])
        total = g.add("Add", [total, product]) if total else product
    total = g.add("Add", [total, g.constant("bias", model.bias)])
    last = g.add("Transpose", [total], perm=[0, 3, 1, 2], output="coefficients")
    g.output(last, ["batch", CHANNELS, "rows", "columns"])
    return g.model()


def _sizes(g: _AnalysisGraph, frame: str) -> tuple[str, str, str]:
    """One-element tensors: batch, rows and columns of the grid of 8 pixels."""
    shape = g.add("Shape", [frame])
    batch, height, width = (g.add("Gather", [shape, g.ints(i)]) for i in (0, 2, 3))
    return batch, g.add("Div", [height, g.ints(GRID)]), g.add("Div", [width, g.ints(GRID)])


def _plane(g: _AnalysisGraph, left: str, plane: Plane, last: bool) -> tuple[str, str]:
    """Quantised plane (B, 12, H / cell, W / cell) and what is left of the frame."""
    batch, rows, columns = g.sizes
    cell, u = plane.cell, GRID // plane.cell
    if cell == 1:
        means = g.add("Add", [left, g.scalar(UNTIE_DN)])
    else:
        sides = [g.add("Mul", [side, g.ints(u)]) for side in (rows, columns)]
        blocks = g.reshape(left, batch, BANDS, sides[0], cell, sides[1], cell)
        means = g.add("ReduceMean", [blocks], axes=[3, 5], keepdims=1)
    int8 = g.add("QuantizeLinear", [means, g.scalar(plane.step), g.zero])
    if not last:
        told = g.add("DequantizeLinear", [int8, g.scalar(plane.step), g.zero])
        left = g.add("Sub", [blocks if cell > 1 else left, told])
        if cell > 1:
            whole = [g.add("Mul", [side, g.ints(GRID)]) for side in (rows, columns)]
            left = g.reshape(left, batch, BANDS, *whole)
    return int8, left


def _patches(g: _AnalysisGraph, int8: str, plane: Plane) -> str:
    """int8 plane -> quantised patches (B, h, w, features), in the order of `swathpack.calibration.planes.patches`.

    Dequantised for the gathering and quantised again behind it, which changes no value: ONNX Runtime moves the pair
    through the slices, so that int8 is gathered, and makes an int8 product of a MatMul only when a pair stands
    directly before it.
    """
    batch, rows, columns = g.sizes
    u, scale = GRID // plane.cell, g.scalar(plane.step)
    value = g.add("DequantizeLinear", [int8, scale, g.zero])
    six = g.reshape(value, batch, BANDS, rows, u, columns, u)
    order = g.add("Transpose", [six], perm=[0, 2, 4, 1, 3, 5])
    grid = g.reshape(order, batch, rows, columns, BANDS * u * u)
    starts = [(i, j) for i in range(SPAN) for j in range(SPAN)]
    squares = [
        g.add("Slice", [grid, g.ints(*at), g.ints(*(_stop(k) for k in at)), g.ints(1, 2), g.ints(2, 2)])
        for at in starts
    ]
    return g.add("QuantizeLinear", [g.add("Concat", squares, axis=3), scale, g.zero])


def _stop(start: int) -> int:
    """Where patches' squares that begin at `start` end: the last ones must leave room for the rest of their patch."""
    return start + 1 - SPAN if start + 1 < SPAN else int(np.iinfo(np.int64).max)


def _kernel(g: _AnalysisGraph, cell: int, weight: NDArray[np.int8], exponent: NDArray[np.int64]) -> str:
    """int8 weights through DequantizeLinear; the unit of the coefficients is in the scale."""
    scale = np.exp2(-exponent.astype(np.float64)) / STEP_UNIT_DN
    return g.add(
        "DequantizeLinear",
        [
            g.constant(f"kernel.{cell}.int8", weight),
            g.constant(f"kernel.{cell}.scale", scale.astype(np.float32)),
            g.constant(f"kernel.{cell}.zero", np.zeros(CHANNELS, np.int8)),
        ],
        axis=1,
    )


def float_analysis(graph: Path) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Kernel (512, 12, 24, 24) and bias (512,) of an analysis.onnx; raises ValueError."""
    found = {i.name: onnx.numpy_helper.to_array(i) for i in onnx.load(str(graph)).graph.initializer}
    kernel, bias = found.get("kernel.half"), found.get("bias")
    if kernel is None or bias is None or kernel.shape[0] != CHANNELS:
        raise ValueError(f"{graph}: expected initialisers kernel.half and bias, found {', '.join(sorted(found))}")
    return kernel.astype(np.float64), bias.astype(np.float64)


def write(model_directory: Path, statistics: Path = STATISTICS_FILE) -> str:
    """Write analysis_int8.onnx beside the model's analysis.onnx; returns its digest for the manifest's engine_files.

    Raises CalibrationError, OSError, ValueError.
    """
    model = quantise(*float_analysis(model_directory / "analysis.onnx"), Statistics.load(statistics))
    path = model_directory / FILE
    with replaced(path) as part:
        onnx.save(analysis_int8_graph(model), str(part))
    return bytes_digest(path.read_bytes(), FILE_DIGEST_BYTES).hex()
