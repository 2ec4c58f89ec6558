"""A user's own images over all rates, whatever their bands: what `swathpack bench --range` measures.

    swathpack bench my_images/ --range                       # a folder of .npz, or of rasters as `compress` takes them
    swathpack bench scene.tif --range --bppb 0.5,1,2 --out runs/mine

Ours are real files filled to the rate, headers included, decoded again, with equal weights of the bands; peers are those of
`swathpack.tools.bench.series`, with a KLT of the very images that is charged to them. RMSE in steps of the files' values.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from swathpack.edge.frame import Frame
from swathpack.tools.bench.range_report import BandSet
from swathpack.tools.bench.series import Dates, compare
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import read_series
from swathpack.tools.files.rasters.files import holds_rasters
from swathpack.tools.files.rasters.options import ReadOptions

PEERS = {
    "j2k-klt": "JPEG2000 + KLT",
    "x265-klt": "x265 inter + KLT",
    "av1-klt": "SVT-AV1 inter + KLT",
    "vvc-klt": "VVC inter + KLT",
}
USUAL = ("j2k-klt", "x265-klt", "av1-klt")
RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 3.0)
SIDE, DATES = 512, 4
CELL = 6  # pixels of the coarsest grid, each way
LEAST_SIDE = 16  # what the video codecs take


def series_of(source: Path, options: ReadOptions, side: int = SIDE, most: int = DATES) -> list[Dates]:
    """The middle `side` pixels and the first `most` dates of every series: each .npz of a folder and its rasters together, or one
    file. Raises UserError where there are none.
    """
    cubes = sorted(source.glob("*.npz")) if source.is_dir() else []
    paths = [*cubes, source] if not cubes or holds_rasters(source) else cubes
    return [found for path in paths for found in _dates_of(path, options, side, most)]


def _dates_of(path: Path, options: ReadOptions, side: int, most: int) -> Iterator[Dates]:
    """One for every set of bands that dates have."""
    frames = [f for f in read_series(path, options=options).frames if f.valid.any()]
    if not frames:
        raise UserError(f"{path}: no date has data")
    for bands in dict.fromkeys(f.bands for f in frames):
        cut = [_middle(f, side) for f in frames if f.bands == bands][:most]
        cut = [f for f in cut if f.valid.any()] or [_middle(f, 1 << 30) for f in frames if f.bands == bands][:1]
        height, width = cut[0].valid.shape
        if min(height, width) < LEAST_SIDE:
            raise UserError(
                f"{path}: expected images of at least {LEAST_SIDE} x {LEAST_SIDE} pixels, found {height} x {width}"
            )
        data, valid = np.stack([f.data for f in cut]), np.stack([f.valid for f in cut])
        yield Dates(path.stem, data, valid, bands, tuple(cut))


def _middle(frame: Frame, side: int) -> Frame:
    """At most `side` pixels each way, from where pixels of all grids start."""
    height, width = frame.valid.shape
    top, left = (max(length - side, 0) // 2 // CELL * CELL for length in (height, width))
    here = np.s_[..., top : top + side, left : left + side]
    holes = frame.holes[here] if frame.holes.size else frame.holes
    return replace(frame, data=np.ascontiguousarray(frame.data[here]), valid=frame.valid[here], holes=holes)


def measured(series: Sequence[Dates], peers: Sequence[str], rates: Sequence[float], keep: Path | None) -> list[BandSet]:
    """A table for every set of bands; peers: of PEERS."""
    found = []
    for bands in dict.fromkeys(dates.names for dates in series):
        own = [dates for dates in series if dates.names == bands]
        assert bands is not None
        title = f"{len(bands)} band{'s' * (len(bands) > 1)} ({', '.join(bands)})"
        names = tuple(PEERS[peer] for peer in peers)
        found.append(compare(title, own, names, tuple(rates), "auto", keep))
    return found
