"""Where every byte of a small file goes, and the error that small budgets reach.

    python -m swathpack.tools.bench.small_files ../shared/data          four dates of three val series, twelve bands

Prints a byte table of files of --bytes (2,000), of whole scenes and of the same under the edge of a swath, then RMSE in DN at three
rates, headers included. A budget that cannot hold the means of all tiles is a dash.
"""

from __future__ import annotations

import argparse
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.edge.frame import Frame
from swathpack.edge.stream import read_stream
from swathpack.tools.errors import UserError
from swathpack.tools.files.api import decode_series, model
from swathpack.tools.files.byte_table import byte_table, text
from swathpack.tools.files.encoder import SeriesEncoder
from swathpack.tools.files.rasters import read_series

SERIES = ("ravaen__lahinch_2017", "eolearn__ref_scenes_a", "eotdl__boadella_east")
DATES = 4
RATES = (0.005, 0.01, 0.02)  # bits per pixel and band


def frames_of(path: Path) -> list[Frame]:
    """The first dates of a series, in the codec's twelve bands."""
    return [frame.select(BANDS) for frame in read_series(path).frames[:DATES]]


def under_an_edge(frames: Sequence[Frame]) -> list[Frame]:
    """The same dates where a swath ends: no data left of a slanted line."""
    y, x = np.mgrid[: frames[0].height, : frames[0].width]
    inside = x + 0.3 * y > 40
    cut = [(frame, frame.valid & inside) for frame in frames]
    return [replace(frame, valid=valid, data=np.where(valid, frame.data, 0).astype(np.uint16)) for frame, valid in cut]


def rmse(frames: Sequence[Frame], data: bytes) -> float:
    """Over the valid samples of all dates, in counts."""
    errors = [
        (before.data.astype(np.float64) - after.data)[:, before.valid]
        for before, after in zip(frames, decode_series(data))
    ]
    return float(np.sqrt(sum((e**2).sum() for e in errors) / sum(e.size for e in errors)))


def coded(frames: Sequence[Frame], budget: int) -> bytes | None:
    """A file of at most so many bytes, None where none is that small."""
    try:
        return SeriesEncoder(model(), list(frames)).in_total(budget)
    except UserError:
        return None


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path)
    parser.add_argument("--bytes", type=int, default=2000)
    args = parser.parse_args()
    lines = []
    for name in SERIES:
        whole = frames_of(args.data / "val" / f"{name}.npz")
        for scene, frames in ((name, whole), (f"{name}, swath edge", under_an_edge(whole))):
            data = coded(frames, args.bytes)
            if data is not None:
                print(f"{scene}, {args.bytes} bytes: RMSE {rmse(frames, data):.1f}")
                print(text(byte_table(read_stream(data), len(data))), end="\n\n")
            samples = sum(frame.data.size for frame in frames)
            found = [coded(frames, int(rate * samples / 8)) for rate in RATES]
            errors = ["-" if data is None else f"{rmse(frames, data):.1f}" for data in found]
            lines.append(f"{scene:40}" + "".join(f"{error:>10}" for error in errors))
    print("\n".join([f"{'RMSE, DN':40}" + "".join(f"{rate:>10}" for rate in RATES), *lines]))


if __name__ == "__main__":
    main()
