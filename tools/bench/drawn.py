"""What decoders draw of training crops of several tiles, before seams are smoothed: what smoothing and synthesis learn from.

    python -m swathpack.tools.bench.drawn ../shared/data --out runs/drawn --count 800

Crops of dates of training cubes with all bands, in tiles of 128 (64 where the cube is smaller), by the real encoder in mode auto,
transform or learned at 0.005 to 1 bits a sample (--modes, --rates). An example a file: `original`, `drawn` (12, H, W) uint16, `steps`
(tiles, 12) as `swathpack.codec.seams` has them (log2 of DN in eighths), `tile`, `modes`, `bppb`, `place`. The same command goes on where
it was stopped.
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
from swathpack.codec.data import Cube, load_cubes
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
Image = NDArray[np.uint16]


def drawn(model: EdgeModel, image: Image, tile: int, mode: str, bppb: float) -> dict[str, Any]:
    """An example of (12, H, W) DN."""
    encoder = SeriesEncoder(model, [Frame.from_array(image, BANDS)], mode=mode, intra_every=1, tile=tile)
    decoder = StreamDecoder(model, encoder.in_total(int(bppb * image.size / 8)))
    out, steps, modes = np.zeros_like(image), np.zeros((len(decoder.windows), len(BANDS)), np.int16), []
    for window, found in decoder.decoded(decoder.report(0)):
        if found.counts is not None:
            window.of(out)[:] = found.counts
            steps[window.index] = found.steps
        modes.append(found.report.q)
    return {"original": image, "drawn": out, "steps": steps, "tile": tile, "modes": modes, "bppb": bppb}


def crop_of(cube: Cube, rng: np.random.Generator) -> Image | None:
    """(12, H, W) of any date, sides multiples of 32, at most SIDE; None where pixels lack data."""
    date = int(rng.integers(len(cube.data)))
    height, width = (min(side // 32 * 32, SIDE) for side in cube.data.shape[2:])
    top, left = (int(rng.integers(side - n + 1)) for side, n in zip(cube.data.shape[2:], (height, width)))
    rows, columns = slice(top, top + height), slice(left, left + width)
    if min(height, width) < LEAST_SIDE or not cube.valid[date][rows, columns].all():
        return None
    return np.asarray(np.rint(np.clip(cube.data[date][:, rows, columns], 1, 65535)), np.uint16)


@dataclass(frozen=True)
class Choice:
    """How examples are chosen: bits a sample, log-uniform between both `rates`, modes by their shares, a seed."""

    rates: Sequence[float] = RATES
    modes: Sequence[str] = MODES
    seed: int = SEED

    @property
    def shares(self) -> list[float]:
        """Of the modes, which sum to 1."""
        found = [SHARES[MODES.index(mode)] for mode in self.modes]
        return [share / sum(found) for share in found]


def make(model: EdgeModel, cubes: Sequence[Cube], out: Path, count: int, choice: Choice) -> None:
    """Write `count` examples, those that are there left as they are: one is decided by its number and the choice alone."""
    out.mkdir(parents=True, exist_ok=True)
    weights = np.array([cube.weight * np.sqrt(min(len(cube.data), 4)) for cube in cubes])
    with Progress(count, "coding") as bar:
        for number in range(count):
            bar.step()
            rng, target = np.random.default_rng([choice.seed, number]), out / f"{number:05d}.npz"
            cube = cubes[int(rng.choice(len(cubes), p=weights / weights.sum()))]
            image = None if target.exists() else crop_of(cube, rng)
            if image is None:
                continue
            tile = 128 if min(image.shape[1:]) > 128 else 64
            rate = float(np.exp(rng.uniform(*np.log(choice.rates))))
            try:
                found = drawn(model, image, tile, str(rng.choice(choice.modes, p=choice.shares)), rate)
            except UserError:  # fewer bytes than the heads of its tiles take
                continue
            with replaced(target) as part:
                np.savez(part, place=cube.name, **found)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder with catalog.json")
    parser.add_argument("--out", type=Path, default=Path("runs/drawn"), help="folder of examples")
    parser.add_argument("--split", default="train", help="split of the catalogue (default %(default)s)")
    parser.add_argument("--count", type=int, default=800, help="examples, those that are there among them")
    parser.add_argument("--rates", type=float, nargs=2, default=RATES, help="bits a sample (default %(default)s)")
    parser.add_argument("--modes", nargs="+", choices=MODES, default=MODES, help="default: all, half of them auto")
    parser.add_argument("--seed", type=int, default=SEED, help="others are other examples (default %(default)s)")
    args = parser.parse_args()
    choice = Choice(args.rates, args.modes, args.seed)
    make(EdgeModel(), load_cubes(args.data, args.split), args.out, args.count, choice)


if __name__ == "__main__":
    main()
