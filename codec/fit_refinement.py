"""The network of refined predictions (edge/codec/predictive/refine.h), fitted to training crops.

    python -m swathpack.codec.fit_refinement ../shared/data refine_table.c

First dates of training cubes, as single bands and as four bands together, are coded without refined predictions; from what
predictions missed, the network learns to move them and to say how large what is left will be (likelihood of three logistic
distributions of the error in what is expected of it). The table is C source: it takes the place of the one in
edge/codec/predictive, and every payload with refined predictions changes with it. Takes an hour or two.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from swathpack.codec.atomic import replaced
from swathpack.edge.codec.pixels import TILE
from swathpack.edge.codec.predictive import encode
from swathpack.edge.codec.predictive.reference import Strips
from swathpack.edge.codec.predictive.reference.coder import Coder
from swathpack.edge.codec.predictive.reference.header import code_plan
from swathpack.edge.codec.predictive.reference.refine import (
    ERRORS,
    HIDDEN,
    NEAR_INPUTS,
    PAIRS,
    PIXELS,
    ROW_INPUTS,
    Refiner,
)
from swathpack.edge.codec.predictive.reference.tile import Tile

PARTS = ((("B08",), 8000), (("B03",), 2500), (("B04",), 2500), (("B11",), 1000), (("B02", "B03", "B04", "B08"), 2500))
EPOCHS, BATCH, RATE = 16, 4096, 6e-3
LOGISTICS = 3
Numbers = NDArray[np.int64]


class Watcher(Refiner):
    """Keeps what plain predictions miss and leaves them as they are."""

    def refine(
        self, y: int, x: int, predicted: int, above: int, before: tuple[int, int], total: int
    ) -> tuple[int, int]:
        """Unchanged."""
        return predicted, total


def missed(samples: NDArray[np.int32]) -> Iterator[tuple[Numbers, Numbers, bool, int]]:
    """Of every band (H, W) of samples (C, H, W) that may be refined: its codes and what plain predictions of them miss, both in
    1/16, whether it has references, and its scale.
    """
    tile, coder = Tile(samples.shape, np.ones(samples.shape[1:], np.uint8)), Coder(encode(samples).payload)
    code_plan(coder, tile)
    tile.make_planes()
    strips = Strips(tile, coder, [0] * len(samples))
    bands = [b for b, band in enumerate(tile.bands) if band.last and not band.shift and not band.copies]
    for b in bands:
        strips.models[b].refiner = Watcher(tile.planes[b], tile.planes[b].width, tile.bands[b].scale, False)
    out = np.zeros(samples.shape, np.int32)
    for number in range(16):
        strips.layer(number, None, out, np.zeros(samples.shape, np.uint8))
    for b in bands:
        refiner = strips.models[b].refiner
        assert refiner is not None
        yield 16 * tile.planes[b].rows, np.array(refiner.missed), bool(tile.bands[b].refs), tile.bands[b].scale


def seen(codes: Numbers, errors: Numbers, has_refs: bool, scale: int) -> tuple[Numbers, Numbers, Numbers]:
    """Inputs (40, H, W) of the network, scales (H, W) and sums of errors (H, W); right away from the sides and below row 1."""

    def at(a: Numbers, place: tuple[int, int]) -> Numbers:
        up, right = place
        return np.pad(a, 4, mode="edge")[4 - up : 4 - up + a.shape[0], 4 + right : 4 + right + a.shape[1]]

    sizes = np.minimum(np.abs(errors), 65535)
    around = np.zeros_like(sizes)
    spread = np.full(sizes.shape[1] + 8, 8 << scale)
    for y in range(1, len(sizes)):
        spread += np.pad(sizes[y - 1], 4, mode="edge") - (spread >> 3)
        around[y] = np.convolve(spread, np.ones(9, np.int64), "valid")
    total = sum((w * at(sizes, place) for place, w in ERRORS.items()), around * 20 >> 6)
    scales = total // 81 + 8
    above = at(codes, (1, 0))

    def limited(d: Numbers, times: int) -> Numbers:
        return np.clip(d, -times * scales, times * scales) * ((1 << 20) // scales) >> 14

    past = [limited(at(errors, place), 4) for place in ERRORS]
    steps = [limited(np.abs(at(codes, a) - at(codes, b)), 6) for a, b in PAIRS]
    top = np.frexp(scales.astype(np.float64))[1].astype(np.int64) - 1
    log = 2 * (16 * top + ((scales << 4 >> top) & 15))
    row = [*(limited(at(codes, p) - above, 6) for p in PIXELS), *past, *map(np.abs, past), *steps, log]
    before = [limited(at(codes, (0, -i)) - above, 6) for i in (1, 2)]
    last = [limited(at(errors, (0, -i)), 4) for i in (1, 2)]
    corner = limited(np.abs(at(codes, (0, -1)) - at(codes, (1, -1))), 6)
    near = [limited(codes - errors - above, 6), *before, *last, *map(np.abs, last), corner]
    inputs = np.stack([*row, np.full_like(log, 64 * has_refs), *near])
    return inputs, scales, total + 16 * at(sizes, (0, -1)) + 9 * at(sizes, (0, -2))


class Network(torch.nn.Module):
    """The hidden units, the two outputs, and the shape of what is left by how large it is expected to be."""

    def __init__(self) -> None:
        super().__init__()
        self.hidden = torch.nn.Linear(ROW_INPUTS + NEAR_INPUTS, HIDDEN)
        self.out = torch.nn.Linear(HIDDEN, 2)
        last = torch.nn.Linear(8, 2 * LOGISTICS)
        self.shape = torch.nn.Sequential(torch.nn.Linear(1, 8), torch.nn.SiLU(), last)
        with torch.no_grad():
            self.out.weight.mul_(0.1)
            self.out.bias.zero_()
            last.weight.mul_(0.1)
            last.bias.copy_(torch.tensor([0.0, 0, 0, -1, 0, 1]))

    def bits(self, inputs: torch.Tensor, error: torch.Tensor, scale: torch.Tensor, total: torch.Tensor) -> torch.Tensor:
        """Of errors, in 1/16 of a code, but for a constant."""
        out = self.out(torch.relu(self.hidden(inputs.float() / 64)))
        size = (total / 106 + 8) * torch.exp2(torch.clamp(out[:, 1], -2, 2))
        shape = self.shape(torch.log2(size)[:, None] / 4 - 2)
        logs = shape[:, LOGISTICS:]
        z = ((error - out[:, 0] * scale) / size)[:, None] / torch.exp(logs)
        density = -z.abs() - 2 * torch.nn.functional.softplus(-z.abs()) - logs
        mixed = torch.logsumexp(torch.log_softmax(shape[:, :LOGISTICS], 1) + density, 1)
        found: torch.Tensor = (torch.log(size) - mixed) / np.log(2)
        return found


def fit(network: Network, data: list[torch.Tensor], epochs: int = EPOCHS) -> None:
    """Inputs (N, 40), errors, scales and sums (N,)."""
    steps = epochs * max(1, len(data[0]) // BATCH)
    optimiser = torch.optim.Adam(network.parameters(), RATE)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, RATE, steps + 1, pct_start=0.15)
    for step in range(steps):
        if step % max(1, steps // epochs) == 0:
            order = torch.randperm(len(data[0]))
        at = step % max(1, steps // epochs) * BATCH
        optimiser.zero_grad()
        network.bits(*(d[order[at : at + BATCH]] for d in data)).mean().backward()  # type: ignore[no-untyped-call]
        optimiser.step()
        schedule.step()


def table_of(network: Network) -> str:
    """C source of the table."""
    inputs = np.rint(network.hidden.weight.detach().numpy() * 256).astype(int)
    out = np.rint(network.out.weight.detach().numpy() * 1024).astype(int)
    out_bias = np.rint(network.out.bias.detach().numpy() * 65536).astype(int)
    bias = np.rint(network.hidden.bias.detach().numpy() * 64 * 256).astype(int)

    def lines(words: list[str], indent: int) -> str:
        rows = [", ".join(words[i : i + 8]) for i in range(0, len(words), 8)]
        return "{\n" + ",\n".join(" " * indent + row for row in rows) + "}"

    def pairs(of: NDArray[np.int_]) -> str:
        blocks = (lines([f"{{{a}, {b}}}" for a, b in of[:, p : p + 2]], 12) for p in range(0, of.shape[1], 2))
        return "{\n" + ",\n".join(" " * 8 + block for block in blocks) + "}"

    outs = ",\n".join(" " * 8 + lines([str(v) for v in row], 12) for row in out)
    parts = {
        "row": pairs(inputs[:, :ROW_INPUTS]),
        "near": pairs(inputs[:, ROW_INPUTS:]),
        "out": "{\n" + outs + "}",
        "bias": lines([str(v) for v in bias], 8),
        "out_bias": f"{{{out_bias[0]}, {out_bias[1]}}}",
    }
    head = (
        "/* The network of refined predictions, as codec/fit_refinement.py wrote it. Part of the format: other numbers, other\n"
        " * payloads. */"
    )
    body = "\n".join(f"    .{name} = {part}," for name, part in parts.items())
    return f'{head}\n#include "refine.h"\n\nconst network_t REFINE_NETWORK = {{\n{body}\n}};\n'


def examples(folder: Path, rng: np.random.Generator) -> Iterator[tuple[NDArray[np.int16], Numbers, Numbers, Numbers]]:
    """Inputs, errors, scales and sums of pixels of training crops without gaps."""
    for entry in json.loads((folder / "catalog.json").read_text()):
        for bands, count in PARTS:
            if entry["split"] != "train" or not set(bands) <= set(entry["bands"]):
                continue
            with np.load(folder / entry["file"]) as archive:
                index = [list(map(str, archive["bands"])).index(b) for b in bands]
                samples = archive["data"][0][index][:, :TILE, :TILE].astype(np.int32)
            if min(samples.shape[1:]) < 24 or not samples.any(axis=0).all():
                continue
            for codes, errors, has_refs, scale in missed(samples):
                inputs, scales, total = seen(codes, errors, has_refs, scale)
                inner = np.s_[..., 2:, 3:-3]
                flat = [a[inner].reshape(*a.shape[:-2], -1) for a in (inputs, errors, scales, total)]
                at = rng.choice(flat[1].size, min(count, flat[1].size), replace=False)
                yield flat[0][:, at].T.astype(np.int16), flat[1][at], flat[2][at], flat[3][at]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("table", type=Path, help="C source to write")
    args = parser.parse_args()
    torch.manual_seed(0)
    parts = list(zip(*examples(args.folder, np.random.default_rng(1))))
    network = Network()
    fit(network, [torch.tensor(np.concatenate(part)) for part in parts])
    with replaced(args.table) as part:
        part.write_text(table_of(network))
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
