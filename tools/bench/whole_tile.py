"""One large scene through `compress` and `decompress`, as a user runs them: seconds, memory, fill, PSNR.

    python -m swathpack.tools.bench.whole_tile ../shared/data build/whole            10,980 x 10,980 x 12; some 45 minutes of CPU
    python -m swathpack.tools.bench.whole_tile ../shared/data build/whole --side 2048 --bppb 0.1

The scene is a mosaic of crops of which no two are alike (`swathpack.tools.bench.mosaic`), made once in the folder. It is coded to
a budget, then at one level (`--quality`) that takes about as many bytes on a corner of 1024 pixels, and both are decoded. A row
each: wall and CPU seconds, most memory of the parent and its workers together (PSS, sampled five times a second), bytes,
fill of the budget, PSNR (peak 10,000). What is there of an earlier run is not coded again; --force does.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
import threading
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from swathpack.edge.bands import BANDS
from swathpack.tools.bench.mosaic import load_sources, write
from swathpack.tools.errors import UserError
from swathpack.tools.guard import guarded

EVERY_S = 0.2
CORNER = 1024
STRIP = 512  # rows compared at a time


@dataclass(frozen=True)
class Run:
    """What a command took: seconds of the clock and of all its processes, most memory of these together."""

    wall_s: float
    cpu_s: float
    peak_mb: float

    def __str__(self) -> str:
        return f"{self.wall_s:.0f} | {self.cpu_s:.0f} | {self.peak_mb:.0f}"


def run(*words: str) -> Run:
    """A command of ours in a process of its own. Raises UserError."""
    import resource

    def cpu() -> float:
        used = resource.getrusage(resource.RUSAGE_CHILDREN)
        return used.ru_utime + used.ru_stime

    before, start = cpu(), time.monotonic()
    child = subprocess.Popen([sys.executable, "-m", "swathpack.tools.cli", *words], stdout=subprocess.DEVNULL)
    watch = _Watch(child.pid)
    watch.start()
    code = child.wait()
    watch.join()
    if code:
        raise UserError(f"swathpack {' '.join(words)}: exit code {code}")
    return Run(time.monotonic() - start, cpu() - before, watch.peak_mb)


class _Watch(threading.Thread):
    """Looks at a process and its children until they end."""

    def __init__(self, pid: int) -> None:
        super().__init__(daemon=True)
        self.pid, self.peak_mb = pid, 0.0

    def run(self) -> None:
        while (found := sum(_pss_mb(pid) for pid in _tree(self.pid))) > 0:
            self.peak_mb = max(self.peak_mb, found)
            time.sleep(EVERY_S)


def _tree(pid: int) -> list[int]:
    """A process and its children's children."""
    found = [pid]
    for task in Path(f"/proc/{pid}/task").glob("*/children"):
        try:
            found += [p for child in task.read_text().split() for p in _tree(int(child))]
        except OSError:
            continue
    return found


def _pss_mb(pid: int) -> float:
    """Memory of a process, what it shares counted once among all; 0 where it has ended."""
    try:
        lines = Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines()
    except OSError:
        return 0.0
    return next((int(line.split()[1]) / 1024 for line in lines if line.startswith("Pss:")), 0.0)


def psnr(a: Path, b: Path) -> float:
    """Of two rasters, strip by strip."""
    import rasterio

    total, count = 0.0, 0
    with rasterio.open(a) as first, rasterio.open(b) as second:
        for top in range(0, first.height, STRIP):
            window = rasterio.windows.Window(0, top, first.width, min(STRIP, first.height - top))
            for band in range(1, first.count + 1):
                one, other = (f.read(band, window=window).astype(np.float64) for f in (first, second))
                total, count = total + float(((one - other) ** 2).sum()), count + one.size
    return float(10 * np.log10(1e8 / max(total / count, 1e-12)))


def level_taking(bppb: float, scene: Path, folder: Path) -> float:
    """The level that takes about so many bits on a corner of the scene."""
    import rasterio

    corner, coded = folder / "corner.tif", folder / "corner.swp"
    with rasterio.open(scene) as file:
        side, profile = min(CORNER, file.width), file.profile
        profile |= {"width": side, "height": side}
        with rasterio.open(corner, "w", **profile) as out:
            out.write(file.read(window=rasterio.windows.Window(0, 0, side, side)))
            for i, name in enumerate(file.descriptions, 1):
                out.set_band_description(i, name)
        samples = side * side * file.count
    low, high = 0.0, 56.0
    while high - low > 1:
        middle = (low + high) / 2
        run("compress", str(corner), "-o", str(coded), "--quality", f"{middle:g}", "--force", "--fast")
        low, high = (middle, high) if 8 * coded.stat().st_size / samples > bppb else (low, middle)
    return high


def main(argv: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("data", type=Path, help="folder of .npz cubes")
    parser.add_argument("folder", type=Path, help="where the scene and what is made of it go")
    parser.add_argument("--side", type=int, default=10980, help="rows and columns (default %(default)s)")
    parser.add_argument("--bands", default=",".join(BANDS), help="default: all twelve")
    parser.add_argument("--bppb", type=float, default=0.1, help="bits a pixel and band (default %(default)s)")
    parser.add_argument("--threads", type=int, help="processes (default: one a core)")
    parser.add_argument("--fast", action="store_true", help="as compress")
    parser.add_argument("--force", action="store_true", help="code again what is there")
    args = parser.parse_args(argv)
    args.folder.mkdir(parents=True, exist_ok=True)
    bands = tuple(args.bands.split(","))
    scene = args.folder / f"{args.side}x{len(bands)}.tif"
    if not scene.exists():
        write(scene, load_sources(args.data), args.side, args.side, bands)
    budget = int(args.bppb / 8 * args.side**2 * len(bands))
    more = ["--force", *(["--threads", str(args.threads)] if args.threads else []), *(["--fast"] if args.fast else [])]
    level = level_taking(args.bppb, scene, args.folder)
    print("| of | wall s | CPU s | peak MB | bytes | of the budget | PSNR, dB |")
    print("|---" * 7 + "|", flush=True)
    for name, how in (("budget", ["--bytes", str(budget)]), (f"level {level:g}", ["--quality", f"{level:g}"])):
        coded, back = args.folder / f"{name.split()[0]}.swp", args.folder / f"{name.split()[0]}.tif"
        if args.force or not coded.exists():
            print(f"| compress, {name} | {run('compress', str(scene), '-o', str(coded), *how, *more)}", end=" ")
        else:
            print(f"| compress, {name} | | |", end=" ")
        size = coded.stat().st_size
        print(f"| {size} | {size / budget:.4f} | |", flush=True)
        words = ["decompress", str(coded), "-o", str(back), "--force", *more[1 : 1 + 2 * bool(args.threads)]]
        print(f"| decompress, {name} | {run(*words)} | | | {psnr(scene, back):.3f} |", flush=True)
        back.unlink()
    return 0


if __name__ == "__main__":
    sys.exit(guarded("whole_tile", main))
