"""Real Sentinel-2 frames through the whole way: board, stream, ground; then a page to look at.

    make demo
    python -m swathpack.tools.demo --out demo_out --pass-bytes 48000

The board codes all frames within the budget of one pass. The ground is another process that gets the stream
and models/, nothing else. Prints the budget, the bytes used, PSNR of every date and the CPU seconds, then what four bands
of a scene become at two bits a sample, and writes index.html.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import swathpack
from swathpack.edge.bands import DROPPED
from swathpack.edge.frame import Frame
from swathpack.tools.bench.metrics import bppb, psnr
from swathpack.tools.demo import data as demo_data
from swathpack.tools.demo import flight as demo_flight
from swathpack.tools.demo import four_bands
from swathpack.tools.demo import views as demo_views
from swathpack.tools.demo.data import DemoSeries
from swathpack.tools.errors import RefusedError, UserError
from swathpack.tools.files.outputs import write_text
from swathpack.tools.files.rasters import Series, read_series
from swathpack.tools.files.synthetic_scene import synthetic_series
from swathpack.tools.guard import guarded

PASS_BYTES = 48_000
MARK = ".swathpack-demo"  # in a folder that the demo made
FLIGHT_BYTES = 6_000  # of each of the two passes of the flight
SERIES_SHARE = 0.2  # of the pass goes to the long series, the rest to the big scene
DATES, SCENE_SIDE = 6, 512
ROOT = Path(swathpack.__file__).resolve().parent.parent
SHARED = ROOT.parent / "shared" / "data"  # the project's data, where it lies beside the checkout


@dataclass(frozen=True)
class Case:
    """Frames of one place, whom they are from, and the part of the pass that they may fill."""

    name: str
    title: str
    frames: list[Frame]
    credit: str
    budget: int


@dataclass(frozen=True)
class Outcome:
    """What came of a case: the stream, the frames that the ground got from it, CPU seconds of both
    processes.
    """

    case: Case
    stream: Path
    decoded: list[Frame]
    encode_s: float
    decode_s: float

    @property
    def size(self) -> int:
        """Bytes of the stream, headers included."""
        return self.stream.stat().st_size

    @property
    def quality(self) -> list[float]:
        """PSNR of every date in dB, peak 10,000."""
        return [psnr(a.data, b.data, a.valid) for a, b in zip(self.case.frames, self.decoded)]

    @property
    def bppb(self) -> float:
        """Bits per pixel and band."""
        return bppb(self.size, (len(self.case.frames), *self.case.frames[0].data.shape))


def cases_of(sources: Sequence[DemoSeries], pass_bytes: int) -> list[Case]:
    """The demo's frames: some clear dates of a series, a crop of a scene; the pass is shared out between
    them.
    """
    chosen = [(s, _frames_of(s)) for s in sources]
    weights = [SERIES_SHARE if len(frames) > 1 else 1 - SERIES_SHARE for _, frames in chosen]
    return [
        Case(s.name.replace(" ", "-"), _title(s, frames), frames, s.credit, int(pass_bytes * w / sum(weights)))
        for (s, frames), w in zip(chosen, weights)
    ]


def _frames_of(source: DemoSeries) -> list[Frame]:
    """Every second one of the latest clear dates, or the clearest window of a single scene."""
    frames = source.series.frames
    if len(frames) > DATES:
        frames = demo_data.clear_dates(source, 2 * DATES, 0.02).frames[::2]
    if max(frames[0].data.shape[1:]) > SCENE_SIDE:
        frames = [demo_views.clearest(f, SCENE_SIDE) for f in frames[:1]]
    return [f.select([b for b in f.bands if b != DROPPED]) for f in frames]


def _title(source: DemoSeries, frames: list[Frame]) -> str:
    bands, height, width = frames[0].data.shape
    kind = "" if source.real else "synthetic, "
    dates = f"{len(frames)} dates" if len(frames) > 1 else "one date"
    return f"{source.name.capitalize()} ({kind}{dates}, {bands} bands, {width} x {height})"


def board_side(case: Case, inbox: Path, outbox: Path) -> Path:
    """Everything that happens on board: frames from the inbox to a stream in the outbox, within the
    budget.
    """
    frames = inbox / f"{case.name}.npz"
    demo_data.save(DemoSeries(case.name, Series(case.frames), case.credit, True, []), frames)
    stream = outbox / f"{case.name}.swp"
    _swathpack("compress", str(frames), "-o", str(stream), "--bytes", str(case.budget), "--force")
    return stream


def ground_side(stream: Path, folder: Path) -> list[Frame]:
    """Everything that happens on the ground, in a process of its own that is told the stream and nothing
    else.
    """
    images = folder / f"{stream.stem}.npz"
    _swathpack("decompress", str(stream), "-o", str(images), "--force")
    return list(read_series(images).frames)


def _swathpack(*arguments: str) -> None:
    """One command in a fresh process. Raises UserError with what it said."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "swathpack.tools.cli", *arguments]
    done = subprocess.run(command, env=environment, stdout=subprocess.PIPE, stderr=None, text=True, check=False)
    if done.returncode != 0:
        raise UserError(f"{' '.join(command[2:])} failed with exit code {done.returncode}")


def _cpu_seconds_of(work: Callable[[], object]) -> tuple[float, object]:
    """CPU seconds that child processes spent while `work` ran, start and loading of the model included."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    result = work()
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    return after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, result


def play(case: Case, out: Path) -> Outcome:
    """One case from the sensor to the ground."""
    for name in ("inbox", "outbox", "ground"):
        (out / name).mkdir(parents=True, exist_ok=True)
    encode_s, stream = _cpu_seconds_of(lambda: board_side(case, out / "inbox", out / "outbox"))
    assert isinstance(stream, Path)
    decode_s, decoded = _cpu_seconds_of(lambda: ground_side(stream, out / "ground"))
    assert isinstance(decoded, list)
    return Outcome(case, stream, decoded, encode_s, decode_s)


def play_filled(given: four_bands.Example, out: Path) -> four_bands.Filled:
    """The example of four bands through the same way, filled to its bits."""
    case = Case(four_bands.NAME, given.origin, [given.frame], given.credit, given.budget)
    return four_bands.beside_peer(given, play(case, out))


def describe(outcome: Outcome) -> str:
    """What the demo prints of a case."""
    case, size = outcome.case, outcome.size
    raw = sum(f.data.nbytes for f in case.frames)
    lines = [
        case.title,
        f"  board   {size:,} of {case.budget:,} bytes ({size / case.budget:.1%} of the budget), "
        f"{outcome.bppb:.3f} bits per pixel and band, {raw / size:.0f} : 1, {outcome.encode_s:.1f} CPU s",
        f"  ground  {len(outcome.decoded)} of {len(case.frames)} frames from the stream alone, "
        f"{outcome.decode_s:.1f} CPU s",
    ]
    for frame, value in zip(case.frames, outcome.quality):
        lines.append(f"          {frame.time or 'date unknown':20s}  PSNR {value:.2f} dB")
    return "\n".join([*lines, f"  data    {case.credit}", ""])


def run(out: Path, sources: Sequence[DemoSeries], pass_bytes: int) -> list[Outcome]:
    """The demo: prints as it goes and writes `out`/index.html. Raises UserError."""
    started = time.monotonic()
    cases = cases_of(sources, pass_bytes)
    print(f"one pass of {pass_bytes:,} bytes\n")
    outcomes = []
    for case in cases:
        outcomes.append(play(case, out))
        print(describe(outcomes[-1]), flush=True)
    used = sum(o.size for o in outcomes)
    print(f"pass: {used:,} of {pass_bytes:,} bytes used ({used / pass_bytes:.1%}), none over")
    for case in cases:
        if len(case.frames) > 1:
            flown = demo_flight.fly(Series(case.frames), out / "flight", FLIGHT_BYTES)
            print(f"\n{demo_flight.describe(flown)}\n", flush=True)
    more = ""
    if (given := four_bands.example(SHARED, list(sources))) is not None:
        filled = play_filled(given, out)
        print(f"{four_bands.describe(filled)}\n", flush=True)
        more = four_bands.section(filled)
    page = out / "index.html"
    write_text(page, demo_views.page(outcomes, pass_bytes, more))
    print(f"page: {page}  ({time.monotonic() - started:.0f} s in all)")
    return outcomes


def check_folder(out: Path) -> None:
    """Only a new folder or an earlier demo's is written into: parts of it are made anew. Raises RefusedError."""
    if out.exists() and not out.is_dir():
        raise RefusedError(f"{out} is a file: expected a folder")
    known = (out / MARK).exists() or ((out / "index.html").exists() and (out / "inbox").is_dir())
    if out.is_dir() and any(out.iterdir()) and not known:
        raise RefusedError(f"{out}: not empty, and no earlier demo's folder: give another with --out")
    out.mkdir(parents=True, exist_ok=True)
    (out / MARK).touch()


def _offline() -> list[DemoSeries]:
    series, cloud = synthetic_series()
    return [DemoSeries("synthetic", series, demo_data.CREDITS["synthetic"], False, cloud)]


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(
        prog="python -m swathpack.tools.demo", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--out", type=Path, default=Path("demo_out"))
    parser.add_argument("--pass-bytes", type=int, default=PASS_BYTES, metavar="N", help=f"default {PASS_BYTES}")
    parser.add_argument("--offline", action="store_true", help="the built-in synthetic scene instead of real data")
    args = parser.parse_args(argv)

    def work() -> int:
        check_folder(args.out)
        run(args.out, _offline() if args.offline else demo_data.load(), args.pass_bytes)
        return 0

    return guarded("demo", work)


if __name__ == "__main__":
    sys.exit(main())
