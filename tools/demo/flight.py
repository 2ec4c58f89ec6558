"""The demo's flight: frames through `python -m swathpack.edge`, two passes with a reception report between, and the ground.

What the ground confirms of the first pass is context for the second, where that saves bytes.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np

import swathpack
from swathpack.edge.frame import Frame
from swathpack.edge.packets.link_keys import make_link_keys
from swathpack.tools.bench.metrics import psnr
from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters import Series, read_series

ROOT = Path(swathpack.__file__).resolve().parent.parent
MISSION = """state = "state"
[source]
kind = "folder"
path = "inbox"
settle_s = 0.0
[port]
kind = "file"
path = "outbox"
[uplink]
kind = "folder"
path = "uplink"
key_file = "link.keys"
[passes]
bytes = {budget}
every_s = 60.0
[context]
slots = 1024
[coding]
q = {q}
slope = 0.09
"""


@dataclass(frozen=True)
class Flown:
    """Bytes of each pass and their budget; PSNR of each date as the ground has it."""

    budget: int
    sent: list[int]
    dates: list[str]
    quality: list[float]


def fly(series: Series, folder: Path, budget: int, q: int = 24) -> Flown:
    """Half of the frames in the first pass, the others in the second. Raises UserError."""
    shutil.rmtree(folder, ignore_errors=True)  # a board remembers its frames; the demo starts anew
    folder.mkdir(parents=True)
    (folder / "mission.toml").write_text(MISSION.format(budget=budget, q=q))
    make_link_keys(folder / "link.keys")
    half = (len(series.frames) + 1) // 2
    sent = []
    for number, frames in enumerate((series.frames[:half], series.frames[half:])):
        inbox = folder / "inbox"
        inbox.mkdir(exist_ok=True)
        # The name makes a frame unique on board, the place says that both files show the same ground.
        np.savez(
            inbox / f"pass-{number}.npz",
            data=np.stack([f.data for f in frames]),
            bands=np.array(frames[0].bands),
            dates=np.array([f"{f.time}" for f in frames]),
            place=np.array(1),
        )
        _process("-m", "swathpack.edge", "--config", str(folder / "mission.toml"), "--once")
        passes = sorted((folder / "outbox").glob("*.bin"))
        if len(passes) <= number:
            raise UserError(f"the flight loop wrote no file for pass {number}; see {folder}/state/log")
        sent.append(passes[number].stat().st_size)
        _process(
            "-m",
            "swathpack.tools.cli",
            "receive",
            str(passes[number]),
            "--store",
            str(folder / "ground.db"),
            "--reports",
            str(folder / "uplink"),
            "--key-file",
            str(folder / "link.keys"),
            "--images",
            str(folder / "images"),
        )
    return Flown(budget, sent, [str(f.time) for f in series.frames], _quality(series, folder / "images"))


def _quality(series: Series, images: Path) -> list[float]:
    """PSNR over the given bands of each date, against the ground's images."""
    found: list[Frame] = []
    for path in sorted(images.glob("*.npz")):
        found += read_series(path).frames
    by_day = {str(f.time)[:10]: f for f in found}
    values = []
    for frame in series.frames:
        image = by_day.get(str(frame.time)[:10])
        if image is None:
            values.append(float("nan"))
            continue
        index = [image.bands.index(b) for b in frame.bands]
        cut = image.data[index, : frame.height, : frame.width]
        values.append(psnr(frame.data, np.ascontiguousarray(cut), frame.valid))
    return values


def describe(flown: Flown) -> str:
    """What the demo prints of the flight."""
    lines = [
        "Flight loop: python -m swathpack.edge, two passes with a reception report between them, swathpack receive"
    ]
    for number, size in enumerate(flown.sent):
        lines.append(
            f"  pass {number + 1}  {size:,} of {flown.budget:,} bytes ({size / flown.budget:.1%} of the budget)"
        )
    lines += [f"          {d:20s}  PSNR {v:.2f} dB" for d, v in zip(flown.dates, flown.quality)]
    return "\n".join(lines)


def _process(*arguments: str) -> None:
    """A fresh Python process. Raises UserError with the end of what it said."""
    environment = os.environ | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    done = subprocess.run([sys.executable, *arguments], env=environment, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise UserError(
            f"{' '.join(arguments[:3])} failed with exit code {done.returncode}: {done.stderr.strip()[-400:]}"
        )
