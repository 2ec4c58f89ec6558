"""Distortion against bytes: scenes from dark water to saturated clouds, and by how much a finer step may do worse."""

from __future__ import annotations

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, DROPPED
from swathpack.edge.codec.latents import CHANNELS, STRIDE, step_dn
from swathpack.edge.frame import Frame
from swathpack.hil_tests.simulation.made_frames import field, values

DATA = Path(os.environ.get("SWATHPACK_DATA", Path(__file__).resolve().parents[2] / "shared" / "data"))
FOUR = ("B02", "B03", "B04", "B08")
DRAWN = ("land", "land x 4", "land + 10,000", "clouds of 65,535", "clouds of 20,000 in four bands")
BRIGHTER = {"x 1": (1, 0), "x 2": (2, 0), "x 4": (4, 0), "+ 1,000": (1, 1000), "+ 10,000": (1, 10_000)}


def rmse(frame: Frame, decoded: NDArray[np.generic]) -> float:
    """DN over the valid pixels of all bands."""
    error = (decoded.astype(np.float64) - frame.data)[:, frame.valid]
    return float(np.sqrt(np.mean(error**2)))


def slack_dn(fine: int, coarse: int) -> float:
    """By how much the RMSE at a fine step may exceed that at a coarse one.

    What 512 of 3,072 coefficients a block cannot hold is an error that stays, and quantisation adds one of step / sqrt(12)
    to each of the 512. Where many coefficients are coded the two are uncorrelated and the sum falls with the step. In a
    flat tile few are, and the two may point the same way at the fine step and opposite ways at the coarse one: by the
    triangle inequality the RMSE may then rise by what quantisation makes at both. An eighth of it is allowed.
    """
    per_step = np.sqrt(CHANNELS / (len(BANDS) * STRIDE**2) / 12)
    return float(per_step * (step_dn(fine) + step_dn(coarse)) / 8)


def check_never_worse(errors: Sequence[float], steps: Sequence[int], scene: str) -> None:
    """Errors in the order of rising bytes, each coded at its step, never exceed an earlier one by more than the slack."""
    best, at = errors[0], steps[0]
    for error, q in zip(errors, steps):
        told = f"{scene}, q {q}: {error:.1f} DN after {best:.1f}; {[round(e, 1) for e in errors]} at q {list(steps)}"
        assert error <= best + slack_dn(q, at), told
        if error < best:
            best, at = error, q


def made_scene(name: str, side: int = 48) -> Frame:
    """One of DRAWN."""
    land = values(side, side, 1, seed=8)[0].astype(np.int64)
    if name.startswith("clouds"):
        top = int(name.split()[2].replace(",", ""))
        cover = np.clip(1.5 * field(np.random.default_rng(5), side, side, 3.0), 0, 1)
        dark = 150 + np.random.default_rng(6).normal(0, 8, land.shape)
        data, bands = dark + cover * 1.3 * top, FOUR if "four" in name else BANDS
        return Frame(np.clip(data, 1, top).astype(np.uint16)[[BANDS.index(b) for b in bands]], bands)
    data = {"land": land, "land x 4": 4 * land, "land + 10,000": land + 10_000}[name]
    return Frame(data.astype(np.uint16), BANDS)


def constant(value: int, bands: Sequence[str] = BANDS, side: int = 32) -> Frame:
    return Frame(np.full((len(bands), side, side), value, np.uint16), tuple(bands))


def val_series(
    name: str, dates: Sequence[int] | None = None, bands: Sequence[str] = BANDS, rows: int = 96
) -> list[Frame]:
    """The upper left of a cube of val, at most `rows` x 96 pixels; all dates, or those named."""
    with np.load(DATA / "val" / f"{name}.npz") as cube:
        names, data, level = [str(b) for b in cube["bands"]], cube["data"], str(cube["level"])
    kept = [b for b in names if b != DROPPED and b in bands]
    data = data[:, [names.index(b) for b in kept], :rows, :96]
    chosen = range(len(data)) if dates is None else dates
    return [Frame(np.ascontiguousarray(data[t]), tuple(kept), level=level) for t in chosen]  # type: ignore[arg-type]


def val_scenes() -> Iterator[tuple[str, Frame]]:
    """The brightest date of every cube of val, 64 x 64 pixels, as it is and brighter."""
    for path in sorted((DATA / "val").glob("*.npz")):
        frames = val_series(path.stem, rows=64)
        frame = max(frames, key=lambda f: float(f.data.mean()))
        for name, (factor, more) in BRIGHTER.items():
            data = np.clip(frame.data.astype(np.int64) * factor + more, 0, 65535) * frame.valid
            yield f"{path.stem} {name}", Frame(data.astype(np.uint16)[..., :64], frame.bands, valid=frame.valid[:, :64])
