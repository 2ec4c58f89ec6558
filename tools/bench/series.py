"""Whole series beside video codecs and JPEG2000 that have a KLT made of the very series, over all rates.

    python -m swathpack.tools.bench.series ../shared/data                 # val series, first four dates, twelve bands and four
    python -m swathpack.tools.bench.series ../shared/data --sets 12 --bppb 0.01,0.1 --dates 6 --cubes
    python -m swathpack.tools.bench.series ../shared/data --out runs/series

Ours are real files filled to the rate, headers included, decoded again, with equal weights of the bands. x265 (12 bit, preset
veryslow, without and with three B pictures, the better of both), SVT-AV1 (10 bit, preset 4) and, where a program for it is,
vvenc (10 bit, preset medium) code the dates of a series inter, JPEG2000 each date alone. Their KLT is that of all valid pixels of all
dates, rounded to the half precision in which it is charged to them. RMSE over the valid pixels of all dates and bands. BD-rate
(Bjontegaard, VCEG-M33, 2001) is that of PSNR over log rate, piecewise cubic.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.pixels import fill_invalid
from swathpack.edge.frame import Frame
from swathpack.edge.spoken import reason
from swathpack.tools.bench.kept_points import add_keep, points_of
from swathpack.tools.bench.metrics import Curve, bd_rate
from swathpack.tools.bench.peers.base import PeerError
from swathpack.tools.bench.peers.klt import Klt
from swathpack.tools.bench.peers.video import X265, SvtAv1
from swathpack.tools.bench.peers.vvc import Vvc
from swathpack.tools.bench.range_peers import HIGHEST, Points, at_rates, envelope, jpeg2000, named, side_bits
from swathpack.tools.bench.range_peers import Scene as Date
from swathpack.tools.bench.range_report import BandSet, chart, markdown
from swathpack.tools.bench.transform_coder import SETS
from swathpack.tools.errors import UserError
from swathpack.tools.files import api
from swathpack.tools.files.decoder import StreamDecoder
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.outputs import Output, add_force, check_outputs, write_text

RATES = (0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
WINDOW = (0.005, 0.2)
SIDE = 256
PEAK = 10_000.0


class HalfKlt(Klt):
    """A basis in half precision: no longer quite orthogonal, so that the way back is its inverse."""

    def inverse(self, planes: NDArray[np.float64]) -> NDArray[np.uint16]:
        """Planes -> DN, rounded and kept within uint16."""
        back = np.linalg.inv(self.matrix).T.astype(np.float64)
        return Klt(back, self.mean).inverse(planes)


@dataclass(frozen=True)
class Dates:
    """A series: (T, C, H, W) DN, (T, H, W) validity, the bands' names. frames: what else is known of the dates, if anything."""

    name: str
    data: NDArray[np.uint16]
    valid: NDArray[np.bool_]
    names: tuple[str, ...]
    frames: tuple[Frame, ...] = ()

    @cached_property
    def filled(self) -> NDArray[np.uint16]:
        """Invalid pixels filled smoothly, which every peer gets."""
        filled = [fill_invalid(d.astype(np.float32), v) for d, v in zip(self.data, self.valid)]
        whole: NDArray[np.uint16] = np.clip(np.rint(np.stack(filled)), 0, 65535).astype(np.uint16)
        return whole

    @cached_property
    def klt(self) -> Klt:
        """Of all dates together, as half precision holds it."""
        rows = np.concatenate([d[:, v] for d, v in zip(self.data, self.valid)], axis=1).astype(np.float64)
        found = Klt.of_pixels(rows)
        return HalfKlt(found.matrix.astype(np.float16).astype(np.float64), found.mean)

    @property
    def samples(self) -> int:
        """Pixels of all bands and dates, valid or not."""
        return int(self.data.size)

    def rmse(self, decoded: NDArray[np.generic]) -> float:
        """Over valid pixels."""
        errors = [(d.astype(np.float64) - s)[:, v] for d, s, v in zip(decoded, self.data, self.valid)]
        return float(np.sqrt(np.mean(np.concatenate([e.ravel() for e in errors]) ** 2)))

    def date(self, index: int) -> Date:
        """One of them."""
        return Date(self.name, self.data[index], self.valid[index], self.names)


# ------------------------------------------------------------------------------------------------------ codecs


def ours(dates: Dates, rates: Sequence[float], mode: str = "auto") -> list[float]:
    """RMSE of files of so many bits a sample; nan where they do not hold a mean of every tile."""
    planes = enumerate(zip(dates.data, dates.valid))
    frames = list(dates.frames) or [Frame(d, dates.names, time=f"{t:03d}", valid=v) for t, (d, v) in planes]
    found = []
    for rate in rates:
        encoder = SeriesEncoder(api.model(), frames, mode=mode, weights="equal")
        try:
            stream = encoder.in_total(int(rate * dates.samples / 8))
        except UserError:
            found.append(float("nan"))
            continue
        found.append(dates.rmse(np.stack([f.data for f in StreamDecoder(api.model(), stream).frames().frames])))
    return found


def _points(dates: Dates, peer: Any, knobs: tuple[float, ...]) -> Points:
    """A video codec on a series with its own KLT, which it pays for once."""
    peer.klt, points = dates.klt, []
    for knob in knobs:
        encoded = peer.encode(dates.filled, knob)
        bits = 8 * encoded.total_bytes + side_bits(dates.date(0), klt=True)
        points.append((bits / dates.samples, dates.rmse(peer.decode(encoded))))
        if points[-1][0] > HIGHEST:
            break
    return points


class _X265(X265):
    """At preset veryslow, with so many B pictures between others: on four training series (0.01 to 0.2 bppb) 2 to 4 % less error
    than at preset slow.
    """

    preset = "veryslow"

    def __init__(self, between: int) -> None:
        self.between = between
        super().__init__()


def _video(
    makers: Sequence[Callable[[], Any]], coarse: tuple[float, ...], fine: tuple[float, ...]
) -> Callable[[Dates], Points]:
    """The lower envelope of a codec's settings, with planes scaled once for coarse and once for fine steps."""

    def curve(dates: Dates) -> Points:
        points: Points = []
        for make in makers:
            finely = make()
            finely.least_exponent = 0
            points += [*_points(dates, make(), coarse), *_points(dates, finely, fine)]
        return envelope(points)

    return curve


def _jpeg2000(dates: Dates) -> Points:
    """Each date alone at the same setting, with its own KLT."""
    curves = [jpeg2000(dates.date(t), klt=True) for t in range(len(dates.data))]
    points: Points = []
    for at in zip(*curves):
        bits, errors = zip(*at)
        shares = [float(v.sum()) for v in dates.valid]
        points.append((float(np.mean(bits)), float(np.sqrt(np.average(np.square(errors), weights=shares)))))
    return points


CURVES: dict[str, Callable[[Dates], Points]] = {
    "JPEG2000 + KLT": _jpeg2000,
    "x265 inter + KLT": _video(
        (lambda: _X265(0), lambda: _X265(3)),
        (51.0, 45.0, 39.0, 33.0, 27.0, 21.0, 15.0),
        (33.0, 27.0, 21.0, 15.0, 9.0, 3.0),
    ),
    "SVT-AV1 inter + KLT": _video(
        (SvtAv1,), (63.0, 55.0, 47.0, 39.0, 31.0, 23.0, 15.0, 8.0), (47.0, 39.0, 31.0, 23.0, 15.0, 8.0, 2.0)
    ),
    "VVC inter + KLT": _video((Vvc,), (51.0, 45.0, 39.0, 33.0, 27.0), (47.0, 39.0, 31.0, 23.0, 15.0, 7.0)),
}


# ------------------------------------------------------------------------------------------------------ series


def series_of(folder: Path, bands: tuple[str, ...], split: str, most: int) -> Iterator[Dates]:
    """The first `most` dates of every cube that has the bands and two dates (one, where `most` is), its first 256 x 256 pixels."""
    for entry in json.loads((folder / "catalog.json").read_text()):
        if entry["split"] != split or not set(bands) <= set(entry["bands"]):
            continue
        with np.load(folder / entry["file"]) as archive:
            index = [[str(b) for b in archive["bands"]].index(b) for b in bands]
            data = archive["data"][:, index, :SIDE, :SIDE]
        valid = data.any(axis=1)
        kept = [t for t in range(len(data)) if valid[t].mean() > 0.2][:most]
        if len(kept) >= min(2, most):
            yield Dates(Path(entry["file"]).stem, data[kept], valid[kept], bands)


def bd_rates(found: BandSet, window: tuple[float, float] = WINDOW) -> NDArray[np.float64]:
    """(series, peers): per cent of bytes that ours takes more than a peer (negative: less) at equal error, over the rates of
    the table within the window; nan where they do not meet.
    """
    rates = np.array(found.rates)
    inside = (rates >= window[0]) & (rates <= window[1])

    def curve(errors: NDArray[np.float64]) -> Curve:
        there = inside & ~np.isnan(errors)
        return Curve.of(rates[there].tolist(), (20 * np.log10(PEAK / errors[there])).tolist())

    rows = [[bd_rate(curve(peer), curve(row[0])) for peer in row[1:]] for row in found.table]
    return np.array(rows).reshape(len(found.table), len(found.peers))


# ------------------------------------------------------------------------------------------------------ report


def bd_table(found: BandSet) -> str:
    """BD-rate against every peer: the mean of the series, the worst, and each."""
    rates = bd_rates(found)
    lines = [f"| BD-rate, {WINDOW[0]:g} to {WINDOW[1]:g} bppb | " + " | ".join(found.peers) + " |"]
    lines.append("|---" * (1 + len(found.peers)) + "|")
    means = [f"{np.nanmean(c):+.1f} % (worst {np.nanmax(c):+.1f} %)" if not np.isnan(c).all() else "" for c in rates.T]
    lines.append("| mean | " + " | ".join(means) + " |")
    for name, row in zip(found.scenes, rates):
        lines.append(f"| {name[:39]} | " + " | ".join("" if np.isnan(v) else f"{v:+.1f} %" for v in row) + " |")
    return "\n".join(lines) + "\n"


def compare(
    title: str, series: list[Dates], peers: tuple[str, ...], rates: tuple[float, ...], mode: str, keep: Path | None
) -> BandSet:
    """Every codec on every series; progress on stderr. Peers' points are kept in the folder `keep`."""
    rows, start = [], time.process_time()
    for number, dates in enumerate(series, 1):
        points = [points_of(peer, CURVES[peer], dates, keep) for peer in peers]
        rows.append([ours(dates, rates, mode), *(at_rates(each, rates) for each in points)])
        seconds = time.process_time() - start
        print(f"\r{title[:50]}: {number} of {len(series)}, {seconds:.0f} CPU s ", end="", file=sys.stderr, flush=True)
    print(file=sys.stderr)
    return BandSet(title, tuple(dates.name for dates in series), peers, rates, np.array(rows))


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path, help="folder with catalog.json")
    parser.add_argument("--sets", default="12,4", help=f"of {', '.join(SETS)} (default %(default)s)")
    parser.add_argument("--bppb", default=",".join(map(str, RATES)), help="rates (default %(default)s)")
    parser.add_argument("--split", default="val", help="split of the catalogue (default %(default)s)")
    parser.add_argument(
        "--dates", type=int, default=4, help="first dates of a series; 1: all cubes (default %(default)s)"
    )
    parser.add_argument("--mode", default="auto", choices=("auto", "learned", "transform"), help="default %(default)s")
    parser.add_argument("--peers", default="all", help=f"of {', '.join(CURVES)} (default %(default)s)")
    parser.add_argument("--only", default="", help="series whose name holds this")
    parser.add_argument("--cubes", action="store_true", help="a row for every series: ours / the peers")
    add_keep(parser)
    parser.add_argument("--out", type=Path, help="folder for a table (.md) and a chart (.png) a set")
    add_force(parser)
    args = parser.parse_args()
    try:
        return run(args)
    except (ValueError, OSError, PeerError, UserError) as error:
        raise SystemExit(f"error: {reason(error)}") from error


def run(args: argparse.Namespace) -> int:
    """Measures, prints the tables, writes the files."""
    rates, peers = tuple(float(r) for r in args.bppb.split(",")), named(args.peers, tuple(CURVES))
    if unknown := [n for n in args.sets.split(",") if n not in SETS]:
        raise UserError(f"unknown {unknown[0]!r}: sets are {', '.join(SETS)}")
    for name in args.sets.split(","):
        found = [d for d in series_of(args.folder, SETS[name], args.split, args.dates) if args.only in d.name]
        if not found:
            raise UserError(f"no series of {args.folder} has the bands of set {name}")
        table, picture = (args.out / f"{name}{kind}" if args.out else None for kind in (".md", ".png"))
        check_outputs((table, picture), [args.folder], args.force)  # before the minutes that measuring takes
        measured = compare(f"{len(SETS[name])} bands, {args.dates} dates", found, peers, rates, args.mode, args.keep)
        print(markdown(measured, args.cubes) + "\n" + bd_table(measured), flush=True)
        if args.out is not None:
            args.out.mkdir(parents=True, exist_ok=True)
            write_text(
                args.out / f"{name}.md",
                markdown(measured, each=True) + "\n" + bd_table(measured),
                [args.folder],
                args.force,
            )
            with Output(args.out / f"{name}.png", [args.folder], args.force) as place:
                chart(measured, place)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
