"""ONNX Runtime's own static quantiser on the float analysis, with the same calibration tiles: the peer of ours."""

from __future__ import annotations

import contextlib
import io
import logging
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import onnx
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import padded
from swathpack.export.graph import Graph

METHODS = ("MinMax", "Percentile", "Entropy")
PERCENTILE = 99.99


class _Reader:
    """What onnxruntime's calibrators read."""

    def __init__(self, tiles: Sequence[NDArray[np.float32]]) -> None:
        self.tiles = tiles
        self.rest: Iterator[NDArray[np.float32]] = iter(tiles)

    def get_next(self) -> dict[str, Any] | None:
        tile = next(self.rest, None)
        return None if tile is None else {"frame": padded(tile)[None]}

    def rewind(self) -> None:
        self.rest = iter(self.tiles)


def float_graph(kernel: NDArray[np.floating], bias: NDArray[np.floating]) -> Any:
    """The analysis as one convolution with float32 weights, which the quantiser can see."""
    g = Graph("analysis_float")
    x = g.input("frame", ["batch", 12, "height", "width"])
    weight = g.constant("kernel", (kernel / 64).astype(np.float32))
    y = g.add(
        "Conv",
        [x, weight, g.constant("bias", bias.astype(np.float32))],
        strides=[16, 16],
        output="coefficients",
    )
    g.output(y, ["batch", len(kernel), "rows", "columns"])
    return g.model()


def quantised_by_onnxruntime(
    kernel: NDArray[np.floating],
    bias: NDArray[np.floating],
    tiles: Sequence[NDArray[np.float32]],
    method: str,
    folder: Path,
) -> Path:
    """Q/DQ graph with symmetric int8 input and int8 weights per output channel; the output stays float.

    An output of 512 coefficients in one int8 range would ruin it; leaving that out gives the peer its best chance.
    Scales are any float, as the quantiser likes them. tiles: (12, H, W), all of one size.
    """
    from onnxruntime.quantization import CalibrationMethod, QuantFormat, QuantType, quantize_static

    source, target = folder / "float.onnx", folder / f"peer_{method.lower()}.onnx"
    onnx.save(float_graph(kernel, bias), str(source))
    options = {
        "ActivationSymmetric": True,
        "WeightSymmetric": True,
        "OpTypesToExcludeOutputQuantization": ["Conv"],
        "CalibPercentile": PERCENTILE,
    }
    logging.getLogger().setLevel(logging.ERROR)
    with contextlib.redirect_stdout(io.StringIO()):
        quantize_static(
            str(source),
            str(target),
            _Reader(tiles),
            quant_format=QuantFormat.QDQ,
            per_channel=True,
            activation_type=QuantType.QInt8,
            weight_type=QuantType.QInt8,
            calibrate_method=getattr(CalibrationMethod, method),
            extra_options=options,
        )
    return target
