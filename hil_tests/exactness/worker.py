"""One machine's part of the exactness matrix: run engines over given latents and keep what they predict.

    python -m swathpack.hil_tests.exactness.worker --model models/edge --inputs in.npz --out out.npz \\
        --engines onnxruntime:all

Imports nothing beyond edge/ and numpy, so that it also runs on an emulated processor. `in.npz` is what
`swathpack.hil_tests.exactness.write_inputs` writes. `out.npz` holds per engine `<engine>.mean8` and `<engine>.table`,
one value per symbol of all latents, and `<engine>.refusal`, the golden vectors' verdict ("" when they admit it). With
`--payloads FILE` also every row of `swathpack.hil_tests.exactness.pixels`, a digest a payload.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.base_layer import BASE_GROUPS, base_of
from swathpack.edge.codec.engines import EngineRefused, create_engine, open_engine
from swathpack.edge.codec.latents import GROUP, LAYERS, Latent, phase_map
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.prediction import Base, CodingContext, Prediction, predict
from swathpack.edge.stream.quality import STEPS_PER_OCTAVE, usual_shift
from swathpack.hil_tests.exactness import pixels

Tile = tuple[Latent, list[CodingContext], int]
Result = dict[str, NDArray[Any]]


class Stepped:
    """An engine as a decoder runs it: the heads come layer by layer, each from the layers before it."""

    def __init__(self, engine: Any) -> None:
        self.engine, self.base_index = engine, engine.base_index

    def heads_of_all(
        self,
        own: Any,
        contexts: Any,
        known: Any,
        spatial: Any,
        q: int,
        size: tuple[int, int],
        layers: int = LAYERS,
    ) -> tuple[Any, Any]:
        """As `EntropyEngine.heads_of_all`."""
        stepper, phase = self.engine.start(contexts, known, q, size), phase_map(*size).reshape(-1)
        heads = []
        for layer in range(layers):
            trunk = stepper.step(layer, own[layer - 1] if layer else None)
            here = self.engine.head(layer, trunk) if layer else self.engine.first_head(trunk, spatial, phase)
            heads.append(here)
        return heads[0], np.stack(heads[1:])


class Batched:
    """An engine that gathers tiles into batches: notes their inputs, then answers in the same order."""

    def __init__(self, engine: Any, batch: int) -> None:
        self.engine, self.batch, self.base_index = engine, batch, engine.base_index
        self.inputs: list[Any] = []
        self.answers: Iterator[Any] | None = None

    def heads_of_all(self, *inputs: Any, layers: int = LAYERS) -> Any:
        """First round: remember the inputs and answer zeros; second: the batch's answers."""
        self.inputs.append(inputs)
        if self.answers is None:
            positions = inputs[0].shape[-1]
            return np.zeros((6, GROUP, positions), np.int64), np.zeros((layers - 1, 4, GROUP, positions), np.int64)
        first, rest = next(self.answers)
        return first, rest[: layers - 1]

    def run(self) -> None:
        """Run what was collected, in batches of one size of grid each; short ones repeat their first tile."""
        answers: list[Any] = [None] * len(self.inputs)
        for size in dict.fromkeys(i[5] for i in self.inputs):
            places = [n for n, i in enumerate(self.inputs) if i[5] == size]
            for start in range(0, len(places), self.batch):
                part = places[start : start + self.batch]
                full = part + part[:1] * (self.batch - len(part))
                for place, answer in zip(part, self.engine.heads_of_batch([self.inputs[n] for n in full])):
                    answers[place] = answer
        self.answers = iter(answers)


def _passes(engine: Any, tile: Tile) -> Iterator[Prediction]:
    """Every pass that codes a tile: plain, and where its step has a base, over that and knowing it."""
    latent, contexts, q = tile
    yield predict(engine, latent, contexts, q)
    if shift := usual_shift(q):
        values = base_of(latent, shift)
        values[BASE_GROUPS * GROUP :] = 0
        yield predict(engine, values, contexts, q + STEPS_PER_OCTAVE * shift, layers=BASE_GROUPS)
        yield predict(engine, latent, contexts, q, Base(values, shift))


def predictions(engine: Any, tiles: Sequence[Tile]) -> Result:
    """Means and tables of all symbols of the tiles in every pass, one row."""
    found = [p for tile in tiles for p in _passes(engine, tile)]
    return {
        "mean8": np.concatenate([p.mean8.ravel() for p in found]).astype(np.int32),
        "table": np.concatenate([p.table_index.ravel() for p in found]),
    }


def batch_predictions(engine: Any, tiles: Sequence[Tile], batch: int) -> Result:
    """`predictions` of an engine that has `heads_of_batch`, in batches."""
    batched = Batched(engine, batch)
    for tile in tiles:
        list(_passes(batched, tile))
    batched.run()
    return predictions(batched, tiles)


def read_inputs(path: Path) -> list[Tile]:
    """Tiles of in.npz: `<n>.latent`, `<n>.context0`, `<n>.context1`, `<n>.setting` = q, known, known."""
    with np.load(path, allow_pickle=False) as archive:
        arrays = {key: archive[key] for key in archive.files}
    tiles = []
    for n in range(len(arrays) // 4):
        q, *known = (int(v) for v in arrays[f"{n}.setting"])
        contexts = [CodingContext(arrays[f"{n}.context{i}"], q, k) for i, k in enumerate(known)]
        tiles.append((arrays[f"{n}.latent"], contexts, q))
    return tiles


def refusal(name: str, model: Any) -> str:
    """Why the golden vectors refuse an engine here; empty when they admit it."""
    try:
        open_engine(name, model)
    except EngineRefused as refused:
        return refused.detail
    return ""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--model", type=Path, required=True)
    parser.add_argument("--inputs", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--payloads", type=Path, help="transform tiles to decode as well")
    parser.add_argument("--engines", required=True, help="names, separated by commas")
    args = parser.parse_args()
    model, tiles = EdgeModel(args.model, engine="float32"), read_inputs(args.inputs)
    out: dict[str, Any] = {}
    for name in args.engines.split(","):
        for key, value in predictions(create_engine(name, model), tiles).items():
            out[f"{name}.{key}"] = value
        out[f"{name}.refusal"] = np.array(refusal(name, model))
    if args.payloads:
        out.update({name: np.array(row) for name, row in pixels.here(pixels.load(args.payloads)).items()})
    np.savez_compressed(args.out, **out)


if __name__ == "__main__":
    main()
