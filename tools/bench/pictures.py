"""Pictures of val scenes by several codecs at equal bytes, and how they look in figures.

    python -m swathpack.tools.bench.pictures ../shared/data --out docs/pictures          # the page's pictures and tables
    python -m swathpack.tools.bench.pictures ../shared/data --cubes boadella --bppb 0.0414

The first date of a cube, at most 256 x 256, all bytes counted, decoded from them (`swathpack.tools.demo.pictures`: of the demo's
scene). Peers get the setting that comes nearest
to the budget from below, and their figures are read between that and the next one, in the logarithm of the rate; pictures are
of the setting below, of large scenes the middle. See `swathpack.tools.bench.looks` for what is measured.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

import swathpack
from swathpack.edge.bands import BANDS
from swathpack.tools.bench import cubes, looks, metrics
from swathpack.tools.bench.peers import Peer, PeerError, make
from swathpack.tools.errors import UserError
from swathpack.tools.files.outputs import Output, check_outputs
from swathpack.tools.progress import Progress

RATES = (0.0163, 0.0414, 0.087)
SCENES = ("41_4", "l2a__637U_59R_1_3", "boadella", "T33SVB", "lahinch", "l1c__609U_541L_3_0")
LARGEST = 256
COLOURS = 128  # of a picture's file
Image = NDArray[np.uint16]
PEER_NAMES = ("j2k-klt", "x265-klt", "av1-klt", "j2k-klt-visible", "x265-klt-visible", "av1-klt-visible")


@dataclass(frozen=True)
class Look:
    """One decoded image: dB over all bands, dB of the true- and the false-colour picture, blocks, mean error of NDVI and NDWI,
    share of pixels whose water mask agrees.
    """

    psnr: float
    true_colour: float
    false_colour: float
    blocks: float
    ndvi: float
    ndwi: float
    water: float

    @classmethod
    def at(cls, original: Image, decoded: Image) -> Look:
        """Of (12, H, W) counts."""
        index = metrics.index_errors(original, decoded, BANDS)
        return cls(
            metrics.psnr(original, decoded),
            *looks.looks_of(original, decoded, BANDS),
            index["ndvi_mae"],
            index["ndwi_mae"],
            index["water_agreement"],
        )

    def values(self) -> NDArray[np.float64]:
        """All of it as (7,)."""
        return np.array([getattr(self, name) for name in self.__dataclass_fields__])


Made = tuple[Image, Look]
Codec = Callable[[Image, float], Made | None]


def ours(synthesis: str = "fast", **options: Any) -> Codec:
    """SwathPack with these options of `swathpack.compress`, drawn by that synthesis."""

    def run(image: Image, rate: float) -> Made | None:
        budget = int(rate * image.size / 8)
        try:
            stream = swathpack.compress(image[None], bands=BANDS, bytes=budget, **options)
        except UserError:
            return None
        decoded = np.asarray(swathpack.open(bytes(stream), synthesis=synthesis).read_all())[0]
        return decoded, Look.at(image, decoded)

    return run


def peer(name: str) -> Codec:
    """A codec of the bench at the settings around a rate."""

    def run(image: Image, rate: float) -> Made | None:
        codec: Peer = make(name)
        points: list[tuple[float, Made]] = []
        for knob in _around(codec, image, rate):
            encoded = codec.encode(image[None], knob)
            decoded = codec.decode(encoded)[0]
            points.append((8 * encoded.total_bytes / image.size, (decoded, Look.at(image, decoded))))
        return _between(points, rate)

    return run


def _around(codec: Peer, image: Image, rate: float) -> list[float]:
    """The two knobs, a step of 1 apart, whose rates lie on both sides of `rate`; knobs get finer from their first to last."""
    coarse, fine = codec.knobs[0], codec.knobs[-1]
    while abs(fine - coarse) > 1:
        middle = float(round((coarse + fine) / 2))
        fits = 8 * codec.encode(image[None], middle).total_bytes <= rate * image.size
        coarse, fine = (middle, fine) if fits else (coarse, middle)
    return [coarse, fine]


def _between(points: Sequence[tuple[float, Made]], rate: float) -> Made | None:
    (low, (image, coarse)), (high, (_, fine)) = points
    if low > rate:
        return None
    share = 0.0 if high <= low else float(np.clip(np.log(rate / low) / np.log(high / low), 0, 1))
    return image, Look(*((1 - share) * coarse.values() + share * fine.values()))


CODECS: dict[str, Codec] = {
    "SwathPack": ours(),
    "SwathPack, synthesis best": ours("best"),
    "SwathPack, equal weights": ours(weights="equal"),
    "SwathPack, learned codec": ours(mode="learned"),
    **{name: peer(name) for name in PEER_NAMES},
}
DRAWN = ("SwathPack, learned codec", "SwathPack")  # before and after; the best peer follows


def scenes(folder: Path, wanted: Sequence[str], split: str) -> list[tuple[str, Image]]:
    """(name, (12, H, W)) of the first dates of cubes whose names hold one of these. Raises UserError for those that none has."""
    loaded = cubes.load(folder, split)
    found = []
    for part in wanted:
        fitting = [cube for cube in loaded if part in cube.name]
        if not fitting:
            raise UserError(f"--cubes: no cube of split {split} has {part!r} in its name")
        found.append((fitting[0].name, np.ascontiguousarray(fitting[0].data[0, :, :LARGEST, :LARGEST])))
    return found


def middle(picture: NDArray[np.float64]) -> NDArray[np.float64]:
    """At most LARGEST pixels each way of a picture (H, W, 3)."""
    top, left = ((side - LARGEST) // 2 if side > LARGEST else 0 for side in picture.shape[:2])
    return picture[top : top + LARGEST, left : left + LARGEST]


def draw(path: Path, image: Image, rows: dict[float, dict[str, Made]]) -> None:
    """A PNG: a row a rate; the original, ours before and after, the peer with the best true colour."""
    import PIL.Image
    from matplotlib import pyplot

    show = looks.stretch_of(middle(looks.picture_of(image, BANDS)))
    figure, axes = pyplot.subplots(len(rows), 4, figsize=(13, 3.75 * len(rows)), dpi=72, squeeze=False)
    for line, (rate, made) in zip(axes, rows.items()):
        others = [name for name in made if not name.startswith("SwathPack")]
        best = max(others, key=lambda name: made[name][1].true_colour)
        for axis, name in zip(line, ("", *DRAWN, best)):
            shown, look = made.get(name, (image, None))
            axis.imshow(show(middle(looks.picture_of(shown, BANDS))).astype(np.uint8), interpolation="nearest")
            title = (
                f"original, {rate:g} bppb"
                if look is None
                else f"{name}\n{look.true_colour:.1f} dB, blocks {look.blocks:.2f}"
            )
            axis.set_title(title, fontsize=9)
            axis.set_axis_off()
    figure.tight_layout()
    figure.canvas.draw()
    drawn = PIL.Image.fromarray(np.asarray(figure.canvas.buffer_rgba())[..., :3].copy())  # type: ignore[attr-defined]
    pyplot.close(figure)
    drawn.quantize(COLOURS, dither=PIL.Image.Dither.NONE).save(path, format="png", optimize=True)


def table(results: dict[float, dict[str, list[Look]]]) -> str:
    """Markdown: a row a codec, a column a rate; means over the scenes that every codec reaches."""
    lines = [
        "| codec | " + " | ".join(f"{rate:g} bppb" for rate in results) + " |",
        "| --- |" + " --- |" * len(results),
    ]
    for name in CODECS:
        cells = []
        for by_codec in results.values():
            found = by_codec.get(name, [])
            if not found:
                cells.append("-")
                continue
            psnr, true, false, blocks, ndvi, ndwi, water = np.mean([look.values() for look in found], axis=0)
            cells.append(
                f"{psnr:.2f} / {true:.2f} / {false:.2f} / {blocks:.2f} / {ndvi:.4f} / {ndwi:.4f} / {100 * water:.2f} %"
            )
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measure(name: str, image: Image, rates: Sequence[float], tick: Callable[[], None]) -> dict[float, dict[str, Made]]:
    """Every codec at every rate; those that do not reach it left out."""
    found: dict[float, dict[str, Made]] = {}
    for rate in rates:
        found[rate] = {}
        for codec, run in CODECS.items():
            made = run(image, rate)
            if made is not None:
                found[rate][codec] = made
            tick()
    for rate, made_at in found.items():
        for codec, (_, look) in made_at.items():
            print(f"{name[:32]:32s} {rate:<7g} {codec:26s} " + " ".join(f"{v:8.3f}" for v in look.values()), flush=True)
    return found


def compare(
    chosen: Sequence[tuple[str, Image]], rates: Sequence[float], out: Path | None, kept: Sequence[Path], force: bool
) -> None:
    """Every scene by every codec: its figures printed, its picture in `out` unless that is None, then a table of means. kept: folders
    that are not written to. Raises UserError and PeerError.
    """
    results: dict[float, dict[str, list[Look]]] = {rate: {} for rate in rates}
    places = {name: out / f"{name.replace('__', '_')}.png" for name, _ in chosen} if out else {}
    if out:  # before the minutes that measuring takes
        out.mkdir(parents=True, exist_ok=True)
        check_outputs(tuple(places.values()), kept, force)
    with Progress(len(chosen) * len(rates) * len(CODECS), "coding") as bar:
        for name, image in chosen:
            rows = measure(name, image, rates, bar.step)
            for rate, made in rows.items():
                for codec, (_, look) in made.items():
                    results[rate].setdefault(codec, []).append(look)
            if name in places:
                with Output(places[name], kept, force) as place:
                    draw(place, image, rows)
    print("\nall bands dB / true colour dB / false colour dB / blocks / NDVI error / NDWI error / water mask agrees\n")
    print(table(results))


def common(parser: argparse.ArgumentParser) -> None:
    """Options of all that draws pictures."""
    parser.add_argument("--bppb", default=",".join(map(str, RATES)), help="rates (default %(default)s)")
    parser.add_argument("--out", type=Path, help="folder for a PNG a scene")
    parser.add_argument("--force", action="store_true", help="replace pictures that exist")


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder of cubes with catalog.json")
    parser.add_argument("--cubes", default=",".join(SCENES), help="parts of names (default %(default)s)")
    parser.add_argument("--split", default="val", help="split of the catalogue (default %(default)s)")
    common(parser)
    args = parser.parse_args()
    try:
        rates = [float(r) for r in args.bppb.split(",")]
        chosen = scenes(args.folder, args.cubes.split(","), args.split)
        compare(chosen, rates, args.out, [args.folder], args.force)
    except (UserError, PeerError, ValueError) as error:
        raise SystemExit(f"error: {error}") from error
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
