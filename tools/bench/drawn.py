"""What decoders draw of training crops of several tiles, before seams are smoothed: what smoothing and synthesis learn from.

    python -m swathpack.tools.bench.drawn ../shared/data --out runs/drawn --count 800
    python -m swathpack.tools.bench.drawn ../shared/data --out runs/drawn-sets --sets one rgb rgbn six ten twelve --halved 0.25 ...

Crops of dates of training cubes, in tiles of 128 (64 where the cube is smaller), by the real encoder in mode auto, transform or learned
at 0.005 to 1 bits a sample (--modes, --rates), of band sets that are chosen alike (--sets), from the cubes that have these bands. Of
--halved so many, at most, are of pixels twice as large, means of four. An example a file: `original`, `drawn` (C, H, W) uint16, `steps`
(tiles, C) as `swathpack.codec.seams` has them (log2 of DN in eighths), `bands`, `tile`, `modes`, `bppb`, `place`. The same command goes
on where it was stopped.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.codec.atomic import replaced
from swathpack.codec.data import COMPLETED_WEIGHT, Cube, load_cubes
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.frame import Frame
from swathpack.tools.errors import UserError
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.progress import Progress

SIDE, LEAST_SIDE = 256, 96
RATES = (0.005, 1.0)
MODES, SHARES = ("auto", "transform", "learned"), (0.5, 0.25, 0.25)
SEED = 29
TEN_METRES = ("B02", "B03", "B04", "B08")
SETS = {
    "one": TEN_METRES,  # one of them
    "rgb": ("B02", "B03", "B04"),
    "rgbn": TEN_METRES,
    "six": ("B02", "B03", "B04", "B8A", "B11", "B12"),
    "ten": tuple(name for name in BANDS if name not in ("B01", "B09")),
    "twelve": BANDS,
}
Image = NDArray[np.uint16]


def drawn(
    model: EdgeModel, image: Image, tile: int, mode: str, bppb: float, bands: Sequence[str] = BANDS
) -> dict[str, Any]:
    """An example of (C, H, W) DN."""
    encoder = SeriesEncoder(model, [Frame.from_array(image, tuple(bands))], mode=mode, intra_every=1, tile=tile)
    decoder = StreamDecoder(model, encoder.in_total(int(bppb * image.size / 8)))
    out, steps, modes = np.zeros_like(image), np.zeros((len(decoder.windows), len(bands)), np.int16), []
    for window, found in decoder.decoded(decoder.report(0)):
        if found.counts is not None:
            window.of(out)[:] = found.counts
            steps[window.index] = found.steps
        modes.append(found.report.q)
    told = {"tile": tile, "modes": modes, "bppb": bppb, "bands": list(bands)}
    return {"original": image, "drawn": out, "steps": steps, **told}


def crop_of(cube: Cube, rng: np.random.Generator, larger: int = 1) -> Image | None:
    """(12, H, W) of any date, sides multiples of 32, at most SIDE; None where pixels lack data. larger: times as large pixels, where
    the cube has enough for that.
    """
    date = int(rng.integers(len(cube.data)))
    larger = larger if min(cube.data.shape[2:]) >= LEAST_SIDE * larger else 1
    height, width = (min(side // (32 * larger) * 32, SIDE) * larger for side in cube.data.shape[2:])
    top, left = (int(rng.integers(side - n + 1)) for side, n in zip(cube.data.shape[2:], (height, width)))
    rows, columns = slice(top, top + height), slice(left, left + width)
    if min(height, width) < LEAST_SIDE or not cube.valid[date][rows, columns].all():
        return None
    pixels = cube.data[date][:, rows, columns]
    if larger > 1:
        pixels = pixels.reshape(len(pixels), height // larger, larger, width // larger, larger).mean((2, 4))
    return np.asarray(np.rint(np.clip(pixels, 1, 65535)), np.uint16)


@dataclass(frozen=True)
class Choice:
    """How examples are chosen: bits a sample, log-uniform between both `rates`, modes by their shares, a seed, names of band sets, and
    of how many the pixels are of twice the size.
    """

    rates: Sequence[float] = RATES
    modes: Sequence[str] = MODES
    seed: int = SEED
    sets: Sequence[str] = ("twelve",)
    halved: float = 0.0

    @property
    def shares(self) -> list[float]:
        """Of the modes, which sum to 1."""
        found = [SHARES[MODES.index(mode)] for mode in self.modes]
        return [share / sum(found) for share in found]

    def bands(self, rng: np.random.Generator) -> tuple[str, ...]:
        """Of one example."""
        if tuple(self.sets) == ("twelve",):
            return BANDS
        name = str(rng.choice(list(self.sets)))
        return (str(rng.choice(SETS[name])),) if name == "one" else SETS[name]


def make(model: EdgeModel, cubes: Sequence[Cube], out: Path, count: int, choice: Choice) -> None:
    """Write `count` examples, those that are there left as they are: one is decided by its number and the choice alone."""
    out.mkdir(parents=True, exist_ok=True)
    with Progress(count, "coding") as bar:
        for number in range(count):
            bar.step()
            target = out / f"{number:05d}.npz"
            if not target.exists():
                _make_one(model, cubes, target, np.random.default_rng([choice.seed, number]), choice)


def _make_one(model: EdgeModel, cubes: Sequence[Cube], target: Path, rng: np.random.Generator, choice: Choice) -> None:
    bands = choice.bands(rng)
    having = [cube for cube in cubes if set(bands) <= set(cube.present)]
    weights = np.array([_weight(cube) for cube in having])
    cube = having[int(rng.choice(len(having), p=weights / weights.sum()))]
    image = crop_of(cube, rng, 2 if choice.halved and rng.random() < choice.halved else 1)
    if image is None:
        return
    image = image[[BANDS.index(name) for name in bands]]
    tile = 128 if min(image.shape[1:]) > 128 else 64
    rate = float(np.exp(rng.uniform(*np.log(choice.rates))))
    try:
        found = drawn(model, image, tile, str(rng.choice(choice.modes, p=choice.shares)), rate, bands)
    except UserError:  # fewer bytes than the heads of its tiles take
        return
    with replaced(target) as part:
        np.savez(part, place=cube.name, **found)


def _weight(cube: Cube) -> float:
    """That bands are missing tells nothing where those that are there are coded."""
    alone = 1.0 if len(cube.present) == len(BANDS) else COMPLETED_WEIGHT
    return float(cube.weight / alone * np.sqrt(min(len(cube.data), 4)))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with catalog.json")
    parser.add_argument("--out", type=Path, default=Path("runs/drawn"), help="folder of examples")
    parser.add_argument("--split", default="train", help="split of the catalogue (default %(default)s)")
    parser.add_argument("--count", type=int, default=800, help="examples, those that are there among them")
    parser.add_argument("--rates", type=float, nargs=2, default=RATES, help="bits a sample (default %(default)s)")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="default: all, half of them auto")
    parser.add_argument("--seed", type=int, default=SEED, help="others are other examples (default %(default)s)")
    parser.add_argument(
        "--sets", nargs="+", choices=list(SETS), default=["twelve"], help="band sets, alike (default: all bands)"
    )
    parser.add_argument("--halved", type=float, default=0.0, help="share of examples of larger pixels (default none)")
    args = parser.parse_args()
    choice = Choice(args.rates, args.modes, args.seed, args.sets, args.halved)
    least = min(3 if name == "one" else len(SETS[name]) for name in args.sets)
    make(EdgeModel(), load_cubes(args.data, args.split, least), args.out, args.count, choice)


if __name__ == "__main__":
    main()
