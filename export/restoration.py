"""The network over drawn frames as an ONNX graph, in a folder with a manifest that vouches for it.

    python -m swathpack.export.restoration --run runs/restoration/restoration.pt --out models/restoration

Writes restoration.onnx, averaged weights in half precision, and manifest.json: its digest, what it was trained on, for how long.
Prints the size, and by how much its result differs from the torch network's on made frames, in counts.

restoration: `drawn` (B, 12, H, W) counts, `steps` of every pixel and band in counts, `learned` (B, 1, H, W) 0 or 1, all float32, sides
multiples of 4 -> `added` (B, 12, H, W) counts
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path
from typing import Any

import numpy as np
import onnx
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from swathpack.codec.atomic import replaced
from swathpack.codec.restoration import AROUND, CELL, LEAST_SPREAD, UNIT, Residual, Restoration
from swathpack.codec.restored import GRAPH, Restorer
from swathpack.edge.bands import BANDS
from swathpack.edge.digests import MANIFEST
from swathpack.export.build import ATTRIBUTION
from swathpack.export.digests import digest_of
from swathpack.export.graph import Graph

STRENGTH = 0.7  # the rest wins next to nothing on places held out, and loses most on scenes that are unlike them (docs/training.md)
SIDES = ["batch", 12, "height", "width"]


def restoration_graph(model: Restoration) -> Any:
    """See above; the result is what is to be added, not yet in whole counts."""
    g = Graph("swathpack_restoration")
    drawn, steps = g.input("drawn", SIDES), g.input("steps", SIDES)
    learned = g.input("learned", ["batch", 1, "height", "width"])
    deviation = g.add("Sub", [drawn, _around(g, drawn)])
    spread = g.add("Sqrt", [_around(g, g.add("Mul", [deviation, deviation]))])
    spread = g.add("Max", [spread, g.add("Mul", [steps, _value(g, "least", LEAST_SPREAD)])])
    fine = g.add("Mul", [g.add("Log", [g.add("Div", [steps, spread])]), _value(g, "log2", 1 / np.log(2))])
    told = _pooled(g, g.add("Concat", [fine, learned], axis=1), 2)
    planes = g.add("Concat", [_split(g, g.add("Div", [deviation, spread])), told], axis=1)
    count = len(BANDS)
    order = np.concatenate([_split_order(count), np.arange(4 * count, 5 * count + 1)])
    x = _residual(g, "before", _conv(g, "enter", planes, model.enter, order), model.before)
    deep = _conv(g, "down", _split(g, x), model.down, _split_order(model.enter.out_channels))
    for number, block in enumerate(model.deep):
        assert isinstance(block, Residual)
        deep = _residual(g, f"deep.{number}", deep, block)
    x = g.add("Add", [x, _join(g, _conv(g, "up", deep, model.up))])
    x = _join(g, _conv(g, "leave", _residual(g, "after", x, model.after), model.leave))
    unit = g.add("Mul", [steps, _value(g, "of_step", UNIT[0])]), g.add("Mul", [spread, _value(g, "of_spread", UNIT[1])])
    g.output(g.add("Mul", [x, g.add("Min", list(unit))], output="added"), SIDES)
    return g.model()


def _value(g: Graph, name: str, value: float) -> str:
    return g.constant(name, np.float32(value))


def _array(tensor: Tensor) -> NDArray[np.float32]:
    return np.asarray(tensor.detach().numpy(), np.float32)


def _conv(g: Graph, name: str, x: str, layer: nn.Conv2d, order: NDArray[np.int64] | None = None) -> str:
    """order: the layer's channel for each that comes in."""
    weight, bias = _array(layer.weight), layer.bias
    assert bias is not None
    weight = weight if order is None else weight[:, order]
    inputs = [x, g.half_constant(f"{name}.weight", weight), g.constant(f"{name}.bias", _array(bias))]
    return g.add("Conv", inputs, pads=[weight.shape[2] // 2] * 4)


def _residual(g: Graph, name: str, x: str, block: Residual) -> str:
    inner = _conv(g, f"{name}.first", g.add("Relu", [x]), block.first)
    return g.add("Add", [x, _conv(g, f"{name}.second", g.add("Relu", [inner]), block.second)])


def _split(g: Graph, x: str) -> str:
    return g.add("SpaceToDepth", [x], blocksize=2)


def _split_order(channels: int) -> NDArray[np.int64]:
    """Where PixelUnshuffle puts what SpaceToDepth puts place after place."""
    return np.arange(4 * channels).reshape(channels, 4).T.ravel()


def _join(g: Graph, x: str) -> str:
    return g.add("DepthToSpace", [x], blocksize=2, mode="CRD")


def _pooled(g: Graph, x: str, size: int) -> str:
    return g.add("AveragePool", [x], kernel_shape=[size] * 2, strides=[size] * 2)


def _around(g: Graph, x: str) -> str:
    """As `swathpack.codec.restoration.around` of the means of cells."""
    cells, pads = _pooled(g, x, CELL), [AROUND // 2] * 4
    mean = g.add("AveragePool", [cells], kernel_shape=[AROUND] * 2, strides=[1, 1], pads=pads, count_include_pad=0)
    if not any(i.name == "scales" for i in g.initialisers):
        g.constant("scales", np.array([1, 1, CELL, CELL], np.float32))
    return g.add("Resize", [mean, "", "scales"], mode="linear", coordinate_transformation_mode="half_pixel")


def export(run: Path, out: Path, strength: float = STRENGTH) -> tuple[int, float]:
    """Write the folder; returns the graph's bytes, and the greatest difference to torch in counts. strength: of what the network
    would add, so much is added.
    """
    saved = torch.load(run, weights_only=True)
    model = Restoration()
    model.load_state_dict(saved["ema"])
    with torch.no_grad():
        for weights in model.leave.parameters():
            weights.mul_(strength)
    out.mkdir(parents=True, exist_ok=True)
    with replaced(out / GRAPH) as part:
        onnx.save(restoration_graph(model), str(part))
    manifest = {
        "files": {GRAPH: digest_of(out / GRAPH)},
        "parameters": sum(p.numel() for p in model.parameters()),
        "strength": strength,
        "training": saved["state"],
        "attribution": ATTRIBUTION,
    }
    with replaced(out / MANIFEST) as part:
        part.write_text(json.dumps(manifest, indent=1) + "\n")
    return (out / GRAPH).stat().st_size, difference(model, Restorer(out))


@torch.no_grad()
def difference(model: Restoration, restorer: Restorer) -> float:
    """In counts, on noise of several rates."""
    rng = np.random.default_rng(7)
    drawn = (1000 + rng.normal(0, 200, (12, 80, 96)).cumsum(2)).astype(np.float32)
    steps = np.full_like(drawn, 64) * np.exp2(rng.integers(0, 6, (12, 1, 1)))
    learned = (rng.random((1, 80, 96)) < 0.5).astype(np.float32)
    feeds = drawn, steps.astype(np.float32), learned
    image, *rest = (torch.from_numpy(plane[None]) for plane in feeds)
    expected = (model(image, *rest) - image)[0].numpy()
    return float(np.abs(expected - restorer.run(*feeds)).max())


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--run", type=Path, default=Path("runs/restoration/restoration.pt"), help="of train_restoration"
    )
    parser.add_argument("--out", type=Path, default=Path("models/restoration"))
    parser.add_argument("--strength", type=float, default=STRENGTH, help="default %(default)s")
    args = parser.parse_args()
    size, off = export(args.run, args.out, args.strength)
    print(f"{args.out}: {size} bytes, at most {off:.3f} counts from torch")


if __name__ == "__main__":
    main()
