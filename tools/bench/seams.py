"""Steps over the seams between tiles, as tiles are decoded and as they are drawn, with what that does to the error.

    python -m swathpack.tools.bench.seams ../shared/data

The scenes of `swathpack.tools.bench.pictures` (of the demo's scene: `swathpack.tools.demo.seams`), in tiles of 128 pixels (64 where
both sides are smaller), mode auto, real bytes. Steps: mean over the seams over the mean elsewhere, of the original's, between valid
pixels, mean of all bands and both directions.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.frame import Frame
from swathpack.tools.bench import looks, metrics
from swathpack.tools.bench.pictures import SCENES, Image, scenes
from swathpack.tools.errors import UserError
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder

RATES = (0.005, 0.01, 0.0163, 0.0414, 0.087, 0.2)
TILE, SMALL_TILE = 128, 64


@dataclass(frozen=True)
class Seen:
    """An image beside its original: steps over seams, dB over all bands, dB in true colour, blocks of 16 pixels."""

    steps: float
    psnr: float
    true_colour: float
    blocks: float

    @classmethod
    def at(cls, original: Image, image: Image, tile: int) -> Seen:
        """Of (12, H, W) counts, 0 without data."""
        true_colour, _, blocks = looks.looks_of(original, image, BANDS)
        steps = over_seams(image, tile, original) / over_seams(original, tile, original)
        return cls(steps, metrics.psnr(original, image), true_colour, blocks)

    def __str__(self) -> str:
        return f"{self.steps:.2f} / {self.psnr:.2f} / {self.true_colour:.2f} / {self.blocks:.2f}"


def over_seams(image: Image, tile: int, original: Image) -> float:
    """Mean step over seams over that elsewhere, between pixels that the original has; mean of the directions with seams."""
    ratios = []
    for axis in (1, 2):
        steps = np.abs(np.diff(image.astype(np.int32), axis=axis))
        valid = original.all(axis=0)
        first, last = (np.take(valid, range(k, valid.shape[axis - 1] - 1 + k), axis - 1) for k in (0, 1))
        seam = np.arange(1, valid.shape[axis - 1]) % tile == 0
        if seam.any():
            over = (first & last) & (seam[:, None] if axis == 1 else seam)
            ratios.append(float(steps[:, over].mean() / steps[:, (first & last) & ~over].mean()))
    return float(np.mean(ratios))


def drawn(model: EdgeModel, image: Image, tile: int, rate: float) -> tuple[Image, Image]:
    """What comes back of (12, H, W) counts at so many bits a sample: without what is done to seams, and with it. Raises UserError."""
    data = SeriesEncoder(model, [Frame.from_array(image, BANDS)], tile=tile).in_total(int(rate * image.size / 8))
    plain: NDArray[np.uint16] = np.zeros_like(image)
    decoder = StreamDecoder(model, data)
    for window, found in decoder.decoded(decoder.report(0)):
        if found.counts is not None:
            window.of(plain)[:] = np.where(found.known, found.counts, 0)
    return plain, StreamDecoder(model, data).frame(0)[0].data


def compare(model: EdgeModel, chosen: Sequence[tuple[str, Image, int]], rates: Sequence[float]) -> None:
    """Print what is seen of scenes (name, counts, side of a tile) at every rate, and their means."""
    print("steps over seams / all bands dB / true colour dB / blocks, as decoded, as drawn")
    for rate in rates:
        rows = []
        for name, image, tile in chosen:
            try:
                rows.append([Seen.at(image, found, tile) for found in drawn(model, image, tile, rate)])
            except UserError as error:
                print(f"{name[:32]:32s} {rate:<7g} {error}")
                continue
            print(f"{name[:32]:32s} {rate:<7g} {rows[-1][0]}, {rows[-1][1]}", flush=True)
        if len(rows) > 1:
            means = [Seen(*np.mean([list(vars(row[k]).values()) for row in rows], axis=0)) for k in (0, 1)]
            print(f"{'mean of ' + str(len(rows)):32s} {rate:<7g} {means[0]}, {means[1]}")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of cubes with catalog.json")
    parser.add_argument("--bppb", type=float, nargs="+", default=RATES, help="bits a sample (default %(default)s)")
    args = parser.parse_args()
    try:
        found = scenes(args.folder, SCENES, "val")
    except UserError as error:
        raise SystemExit(f"error: {error}") from error
    sized = [(name, image, TILE if max(image.shape[1:]) > TILE else SMALL_TILE) for name, image in found]
    compare(EdgeModel(), sized, args.bppb)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
