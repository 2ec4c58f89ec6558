"""Train a network that restores drawn frames (`swathpack.codec.restoration`), and tell what it gains.

    python -m swathpack.tools.bench.drawn ../shared/data --out runs/drawn --rates 0.004 0.4
    python -m swathpack.codec.train_restoration --drawn runs/drawn --out runs/restoration --minutes 50
    python -m swathpack.codec.train_restoration --drawn runs/drawn-sets --start models/restoration --out runs/restoration-filtered ...
    python -m swathpack.codec.train_restoration --share 0.25 --steps 600 --out runs/restoration-quarter ...

Learns from frames as they are drawn, filtered and seams smoothed, of any of the twelve bands; every eighth place is held out, or --val
has the examples to tell of. --share: of the places learned from, for learning curves. Prints by how much the squared error falls on
those held out, mean in dB by rate and the least: of all bands, and of the visible ones. The same command goes on where it was stopped; a
longer one starts from its weights with --start.
"""

from __future__ import annotations

import argparse
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from zlib import crc32

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from swathpack.codec.fit_seams import RATES, Drawn
from swathpack.codec.restoration import CELL, VISIBLE, Restoration
from swathpack.codec.seams import kernels
from swathpack.codec.shipped import read_restoration
from swathpack.codec.trainer import Trainer
from swathpack.edge.bands import BANDS
from swathpack.edge.codec.transform_coder.rasters import Grid, own_grid

SIDE = 96
HELD_OUT = 8  # every so manieth place
FLOOR = 1.0  # DN^2 of an error: what is nearer to the original than that counts as well as nothing
LACKING = 0.5  # of crops: some bands are not there
MOST_LACKING = 6
Planes = tuple[Tensor, Tensor, Tensor, Tensor, Tensor]  # original, drawn, steps, learned, cells


@dataclass(frozen=True, eq=False)
class Example(Drawn):
    """grids: of each band, that it is an enlargement of: what is added is so too. bands: how many there are of the twelve, the others
    are 0, their steps 1.
    """

    grids: tuple[Grid, ...] = ()
    bands: int = len(BANDS)

    @classmethod
    def of(cls, one: Drawn) -> Example:
        """With its bands' grids, and those that it lacks."""
        known, size = np.ones(one.original.shape[1:], np.bool_), one.original.shape[1:]
        where, grids = [BANDS.index(name) for name in one.names], [Grid()] * len(BANDS)
        planes = [np.zeros((len(BANDS), *size), np.uint16) for _ in range(2)]
        steps = np.zeros((*one.steps.shape[:2], len(BANDS)), np.int64)
        steps[..., where] = one.steps
        for band, index in zip(one.original, where):
            grids[index] = own_grid(band, known)
        for plane, given in zip(planes, (one.original, one.drawn)):
            plane[where] = given
        filled = replace(one, original=planes[0], drawn=planes[1], steps=steps)
        return cls(**vars(filled), grids=tuple(grids), bands=len(where))


def read(*folders: Path) -> list[Example]:
    """Examples as they are drawn. Raises FileNotFoundError where there are none."""
    found, (across, along) = [], kernels()
    for path in (path for folder in folders for path in sorted(folder.glob("[0-9]*[0-9].npz"))):
        found.append(Example.of(Drawn.read(path).smoothed(across).turned().smoothed(along).turned()))
    if not found:
        raise FileNotFoundError(f"no examples in {', '.join(map(str, folders))}: python -m swathpack.tools.bench.drawn")
    return found


def divided(drawn: Sequence[Example], share: float) -> tuple[list[Example], list[Example]]:
    """Those of a share of the places, and those held out, whatever the share."""
    numbers = [crc32(one.place.encode()) for one in drawn]
    held = [one for one, n in zip(drawn, numbers) if n % HELD_OUT == 0]
    return [d for d, n in zip(drawn, numbers) if n % HELD_OUT and n // HELD_OUT % 1000 < 1000 * share], held


def tensors(one: Example, rows: slice, columns: slice) -> Planes:
    """Of a part of an example: original and drawn (12, H, W) counts, steps of every pixel and band, learned (1, H, W), cells
    (12, H, W): the same number in all pixels of a cell of the band's grid.
    """
    tiles = np.ix_(*(np.arange(area.start, area.stop) // one.tile for area in (rows, columns)))
    steps = np.exp2(one.steps[tiles].transpose(2, 0, 1).astype(np.float32) / 8)
    planes: list[NDArray[np.generic]] = [one.original[:, rows, columns], one.drawn[:, rows, columns], steps]
    first, second, third, last = (
        torch.from_numpy(np.ascontiguousarray(p, np.float32)) for p in (*planes, one.learned[tiles][None])
    )
    cells = [_cells(grid, rows, columns) for grid in one.grids]
    return first, second, third, last, torch.from_numpy(np.stack(cells).astype(np.float32))


def _cells(grid: Grid, rows: slice, columns: slice) -> NDArray[np.intp]:
    y = (np.arange(rows.start, rows.stop) + grid.top) // grid.factor
    x = (np.arange(columns.start, columns.stop) + grid.left) // grid.factor
    return np.asarray((y - y[0])[:, None] * len(x) + (x - x[0]), np.intp)


def restored(model: Restoration, planes: Planes) -> Tensor:
    """(B, 12, H, W): what becomes of a batch. Where a band was coded on a coarser grid, its cells stay of one value."""
    _, image, steps, learned, cells = planes
    added = model(image, steps, learned) - image
    count = image.shape[2] * image.shape[3]
    where = (cells.flatten(2) + count * torch.arange(12)[:, None]).long() + 12 * count * torch.arange(len(image))[
        :, None, None
    ]
    sums = torch.zeros(12 * count * len(image)).index_add(0, where.flatten(), added.flatten())
    sizes = torch.zeros_like(sums).index_add(0, where.flatten(), torch.ones_like(added).flatten())
    means = (sums / sizes.clamp(min=1))[where].reshape(added.shape)
    return image + torch.where(learned > 0, added, means)


def chances(drawn: Sequence[Example]) -> NDArray[np.float64]:
    """Of each example: sources of many places (the names up to `__`) count by the root of their number, frames by their bands."""
    sources = [one.place.partition("__")[0] for one in drawn]
    counts = Counter(sources)
    found = np.array([counts[source] ** -0.5 * one.bands for source, one in zip(sources, drawn)])
    return np.asarray(found / found.sum())


def batch_of(drawn: Sequence[Example], rng: np.random.Generator, count: int) -> Planes:
    """Crops of random examples, turned and mirrored, half of them negatives, of some not all bands."""
    rows = []
    for index in rng.choice(len(drawn), count, p=chances(drawn)):
        one = drawn[int(index)]
        top, left = (int(rng.integers((side - SIDE) // 2 + 1)) * 2 for side in one.drawn.shape[1:])
        found = tensors(one, slice(top, top + SIDE), slice(left, left + SIDE))
        if rng.random() < LACKING:
            absent = rng.permutation(len(BANDS))[: rng.integers(1, MOST_LACKING + 1)]
            for plane, value in zip(found, (0, 0, 1)):
                plane[absent] = value
        if rng.random() < 0.5:  # a negative is coded as the picture is
            middle = 2 * found[1].mean((1, 2), keepdim=True)
            found = middle - found[0], middle - found[1], *found[2:]
        turns, mirrored = int(rng.integers(4)), rng.random() < 0.5
        turned = [torch.rot90(plane, turns, (1, 2)) for plane in found]
        rows.append([plane.flip(2) if mirrored else plane for plane in turned])
    return batched(rows)


def batched(rows: Sequence[Sequence[Tensor]]) -> Planes:
    """Planes of crops of one size, together."""
    original, image, steps, learned, cells = (torch.stack(planes) for planes in zip(*rows))
    return original, image, steps, learned, cells


def gains_of(original: Tensor, before: Tensor, after: Tensor) -> Tensor:
    """(B, 2) dB: by how much the squared error of all bands, and of the visible ones, is less."""
    errors = [(original - image).square().mean((2, 3)) for image in (before, after)]
    parts = [torch.stack([e.mean(1), e[:, VISIBLE].mean(1)], 1) + FLOOR for e in errors]
    return 10 * torch.log10(parts[0] / parts[1])


@torch.no_grad()
def evaluate(model: Restoration, shown: Sequence[Example]) -> str:
    """dB by rate, all bands and visible ones: mean gain, and the least of an example."""
    gains = []
    for one in shown:
        height, width = (side // CELL * CELL for side in one.drawn.shape[1:])
        planes = batched([tensors(one, slice(0, height), slice(0, width))])
        gains.append((one.bppb, gains_of(planes[0], planes[1], restored(model, planes))[0].numpy()))
    told = []
    for low, high in zip((0.0, *RATES[1:]), RATES[1:]):
        own = [gain for rate, gain in gains if low <= rate < high]
        if own:
            (mean, visible), (least, other) = np.mean(own, axis=0), np.min(own, axis=0)
            told.append(f"{low:g}: {mean:+.3f} ({least:+.2f}) / {visible:+.3f} ({other:+.2f})")
    mean, visible = np.mean([gain for _, gain in gains], axis=0)
    return f"all {mean:+.4f} / {visible:+.4f}  " + "  ".join(told) + " dB"


def started(path: Path) -> dict[str, Tensor]:
    """Averaged weights of a run, or those of a folder with the graph that ships."""
    if path.is_dir():
        return read_restoration(path).state_dict()
    found: dict[str, Tensor] = torch.load(path, weights_only=True)["ema"]
    return found


def train(args: argparse.Namespace) -> None:
    """The whole run, by the command's arguments."""
    torch.manual_seed(args.seed)
    torch.set_num_threads(args.threads)
    drawn, held = divided(read(*args.drawn), args.share)
    shown = read(args.val) if args.val else held
    model = Restoration()
    if args.start:
        model.load_state_dict(started(args.start))
    size, places = sum(p.numel() for p in model.parameters()), len({d.place for d in drawn})
    print(f"{len(drawn)} examples of {places} places, {len(shown)} to tell of, {size} parameters", flush=True)
    optimiser = torch.optim.AdamW(model.parameters(), lr=args.rate, betas=(0.9, 0.99), weight_decay=args.decay)
    file = args.out / "restoration.pt"
    run = Trainer(model, optimiser, file, args.minutes, args.report, steps=args.steps)
    rng = np.random.default_rng([args.seed, run.step])

    def loss(_: float) -> tuple[Tensor, float]:
        planes = batch_of(drawn, rng, args.batch)
        with torch.autocast("cpu", torch.bfloat16, enabled=args.bf16):
            after = restored(model, planes)
        found = -gains_of(planes[0], planes[1], after).mean()
        return found, found.item()

    run.run(loss, lambda: evaluate(model, shown))


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument(
        "--drawn", type=Path, nargs="+", default=[Path("runs/drawn")], help="folders of training examples"
    )
    parser.add_argument("--val", type=Path, help="folder of examples to tell of (default: the places held out)")
    parser.add_argument("--out", type=Path, default=Path("runs/restoration"))
    parser.add_argument(
        "--start", type=Path, help="restoration.pt of another run, or models/restoration, to start from"
    )
    parser.add_argument("--share", type=float, default=1.0, help="of the training places (default %(default)s)")
    parser.add_argument("--minutes", type=float, default=50, help="how long, where there are no --steps")
    parser.add_argument("--steps", type=int, default=0)
    parser.add_argument("--batch", type=int, default=6)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--rate", type=float, default=1e-3)
    parser.add_argument("--decay", type=float, default=0.05, help="of the weights")
    parser.add_argument("--bf16", action="store_true", help="convolutions in bfloat16: half the time where the CPU can")
    parser.add_argument("--report", type=float, default=120, help="seconds")
    parser.add_argument("--seed", type=int, default=5)
    train(parser.parse_args())


if __name__ == "__main__":
    main()
