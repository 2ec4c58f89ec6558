"""Data and arguments for tests of joint training."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from swathpack.codec.data import BANDS
from swathpack.hil_tests.simulation.made_frames import values


def write_places(root: Path) -> Path:
    """A data folder of three training places, one of them with three dates, and three val places, 64 x 64 x 12."""
    rows = []
    for n, (split, dates) in enumerate([("train", 1), ("train", 3), ("train", 1), *[("val", 1)] * 3]):
        frames = np.stack([values(64, 64, 1, 10 * n + t)[0] for t in range(dates)]).astype(np.uint16)
        (root / split).mkdir(parents=True, exist_ok=True)
        np.savez(root / split / f"place{n}.npz", data=frames, bands=list(BANDS))
        rows.append({"file": f"{split}/place{n}.npz", "split": split, "boa_offset_1000": "no"})
    (root / "catalog.json").write_text(json.dumps(rows))
    return root


def words(root: Path, out: Path, *more: str) -> list[str]:
    """Arguments of a run of two steps of two crops of 64 x 64."""
    base = ["--data", str(root), "--out", str(out), "--batch", "2", "--size", "64", "--steps", "2", "--report", "1000"]
    return [*base, *more]
