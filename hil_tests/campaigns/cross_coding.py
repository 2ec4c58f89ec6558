"""Code on one machine, decode on another: are latents and counts identical?

    python -m swathpack.hil_tests.campaigns.cross_coding --board emulated-orin --tiles 20 --dates 3      both directions, many minutes
    python -m swathpack.hil_tests.campaigns.cross_coding --board local --tiles 2                         the check itself, seconds

Prints one line per direction and codec: tile-dates, bytes, how many differ; ends with status 1 when any does. Tiles are
64x64, from `--data` (a folder of .npz cubes) or synthetic.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.clock import SystemClock
from swathpack.edge.sources.synthetic import SyntheticSource
from swathpack.hil_tests.boards import Board, BoardError, open_board
from swathpack.hil_tests.campaigns.cross_worker import CODECS
from swathpack.tools.guard import guarded

SIDE = 64
LIMIT_S = 6 * 3600.0
WORKER = Path(__file__).with_name("cross_worker.py")


def synthetic_tiles(tiles: int, dates: int) -> NDArray[np.uint16]:
    """(tiles, dates, 12, SIDE, SIDE) DN of the synthetic sensor."""
    source = SyntheticSource(SystemClock(), 1, tiles, SIDE)
    return np.stack([[source.scene(place, date) for date in range(dates)] for place in range(tiles)])


def real_tiles(folder: Path, tiles: int, dates: int) -> NDArray[np.uint16]:
    """(tiles, dates, 12, SIDE, SIDE) DN: windows spread over all cubes with enough dates. Raises BoardError."""
    from swathpack.tools.bench.cubes import load

    found: list[NDArray[np.uint16]] = []
    for cube in load(folder) + load(folder, "train"):
        if len(cube.data) >= dates:
            for y in range(0, cube.data.shape[2] - SIDE + 1, SIDE):
                for x in range(0, cube.data.shape[3] - SIDE + 1, SIDE):
                    found.append(cube.data[:dates, :, y : y + SIDE, x : x + SIDE])
    if len(found) < tiles:
        raise BoardError(f"{folder}: expected {tiles} windows with {dates} dates, found {len(found)}")
    step = len(found) // tiles
    return np.stack(found[:: step or 1][:tiles])


def half(board: Board, which: str, given: Path, name: str, folder: Path, engine: str = "") -> dict[str, NDArray[Any]]:
    """Run one half on a board; `given` is its input, `name` that input's option. Raises BoardError."""
    board.put(WORKER, "hil_tests/campaigns/cross_worker.py")
    board.put(given, "in.npz")
    command = [board.python, "hil_tests/campaigns/cross_worker.py", which, f"--{name}", "in.npz", "--out", "out.npz"]
    done = board.run(command + (["--engine", engine] if engine else []), LIMIT_S)
    if done.returncode:
        raise BoardError(f"{board.name}: {which}: {done.stderr.strip()[-500:]}")
    print(f"  {board.name}: {done.stdout.strip()}", flush=True)
    out = folder / f"{which}-{board.name.partition(':')[0]}.npz"
    board.get("out.npz", out)
    with np.load(out) as archive:
        return {key: archive[key] for key in archive.files}


@dataclass(frozen=True)
class Compared:
    """Of one codec: tile-dates, bytes of all segments, tile-dates that differ."""

    codec: str
    count: int
    size: int
    wrong: int


def differing(encoder: Board, decoder: Board, tiles: Path, folder: Path) -> list[Compared]:
    """With these two machines, by the codecs that both have."""
    coded = half(encoder, "encode", tiles, "tiles", folder)
    path = folder / f"encode-{encoder.name.partition(':')[0]}.npz"
    decoded, found = half(decoder, "decode", path, "coded", folder), list[Compared]()
    for codec in CODECS:
        name, lengths = f"{codec}.digests", coded.get(f"{codec}.lengths")
        if name in decoded and lengths is not None:
            wrong = (coded[name] != decoded[name]).any(-1)
            found.append(Compared(codec, wrong.size, int(lengths.sum()), int(wrong.sum())))
    return found


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--board", default="emulated-orin")
    parser.add_argument("--tiles", type=int, default=20)
    parser.add_argument("--dates", type=int, default=3)
    parser.add_argument("--data", type=Path)
    args = parser.parse_args()
    total = 0
    try:
        sizes = args.tiles, args.dates
        pixels = real_tiles(args.data, *sizes) if args.data else synthetic_tiles(*sizes)
        with open_board(args.board) as board, open_board("local") as here, tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            np.savez(folder / "tiles.npz", tiles=pixels)
            for encoder, decoder in ((board, here), (here, board)):
                found = differing(encoder, decoder, folder / "tiles.npz", folder)
                for one in found:
                    print(
                        f"{encoder.name} -> {decoder.name}: {one.codec}, {one.count} tile-dates of {SIDE}x{SIDE}, "
                        f"{one.size} bytes, {one.wrong} differ",
                        flush=True,
                    )
                if left_out := [codec for codec in CODECS if codec not in {one.codec for one in found}]:
                    print(
                        f"{encoder.name} -> {decoder.name}: not compared, no C code: {', '.join(left_out)}", flush=True
                    )
                total += sum(one.wrong for one in found)
            if board.stand_ins:
                print(f"stand-ins of {board.name}: {'; '.join(board.stand_ins)}")
    except BoardError as error:
        sys.exit(f"error: {error}")
    return int(total > 0)


if __name__ == "__main__":
    sys.exit(guarded("cross_coding", main))
