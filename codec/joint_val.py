"""How a joint network does on val, in the middle of it and at the end: bits by the integer entropy network, and PSNR.

    crops = val_crops(load_cubes(root, "val"))
    point = judge(joint, crops)                          # {place: bppb, dB over all bands, dB of the visible ones, at each of STEPS}
    curve = Curve.of(path, settings); curve.add(step, minutes, point)

Bits are those of base layer and refinement without context, in the rounding of the integer network; no optimised quantisation, no adaptive
scales, so that figures compare with each other and not with those of streams. `tools.bench.joint` prints tables of curves.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from swathpack.codec.atomic import replaced
from swathpack.codec.data import Cube
from swathpack.codec.joint import VISIBLE, Joint, alone, staged, straight
from swathpack.edge.codec.latents import STRIDE
from swathpack.edge.stream.quality import usual_shift

STEPS = (16, 28, 40)
DEAD_ZONE = 0.08
SIDE = 128  # pixels of the middle of every place, at most
EVERY = 2  # of the places
Crop = tuple[str, Tensor]
Point = dict[str, dict[str, list[float]]]


class CurveError(ValueError):
    """A curve's file that cannot be read or is of another run; says which file and what is wrong."""


def val_crops(cubes: Sequence[Cube]) -> list[Crop]:
    """(name, (1, 12, h, w) DN) of the middle of the first date of every second place, h and w multiples of 16."""
    found = []
    for cube in cubes[::EVERY]:
        rows, columns = (min(SIDE, n // STRIDE * STRIDE) for n in cube.data.shape[2:])
        top, left = ((n - side) // 2 for n, side in zip(cube.data.shape[2:], (rows, columns)))
        found.append((cube.name, torch.from_numpy(cube.data[:1, :, top : top + rows, left : left + columns].copy())))
    return found


def psnr(error: Tensor) -> list[float]:
    """dB of squared errors (B, ...) DN^2 at a peak of 10,000 DN."""
    return [round(10 * math.log10(1e8 / max(float(e.mean()), 0.1)), 4) for e in error]


@torch.no_grad()
def judge(joint: Joint, crops: Sequence[Crop]) -> Point:
    """What the network does with every crop at each of STEPS."""
    was, point = joint.entropy.quantised, {}
    joint.entropy.set_quantised(True)
    device = joint.transform.band_mean.device
    q = torch.tensor(STEPS, device=device)
    shift = torch.tensor([usual_shift(s) for s in STEPS], device=device)
    for name, crop in crops:
        frame = crop.to(device)
        batch = alone(straight(joint.coefficients(frame).expand(len(STEPS), -1, -1, -1), q, DEAD_ZONE), q)
        bits, expected = staged(joint.entropy, batch, shift)
        error = (joint.transform.synthesis(batch.y, q, expected) - frame).square()
        rates = [round(float(b) / frame.numel(), 6) for b in bits]
        point[name] = {"bppb": rates, "psnr": psnr(error), "visible": psnr(error[:, VISIBLE])}
    joint.entropy.set_quantised(was)
    return point


def words(point: Point) -> str:
    """The means over the places: bppb and dB, all bands and visible ones, by step."""
    means = {key: np.mean([place[key] for place in point.values()], axis=0) for key in ("bppb", "psnr", "visible")}
    rows = zip(STEPS, means["bppb"], means["psnr"], means["visible"])
    return "  ".join(f"q{q}: {bppb:.4f} bppb {all_bands:.3f} / {seen:.3f} dB" for q, bppb, all_bands, seen in rows)


@dataclass
class Curve:
    """settings: of the run, by name. points: step, CPU minutes and `Point` each time it was judged."""

    path: Path
    settings: dict[str, Any]
    points: list[dict[str, Any]] = field(default_factory=list)

    @classmethod
    def read(cls, path: Path) -> Curve:
        """Raises CurveError."""
        try:
            content = json.loads(path.read_text())
            curve = cls(path, dict(content["settings"]), list(content["points"]))
            if not all(one.keys() >= {"step", "minutes", "places"} for one in curve.points):
                raise KeyError("step, minutes or places of a point")
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise CurveError(f"{path}: expected the curve of a run of swathpack.codec.train_joint: {error}") from error
        return curve

    @classmethod
    def of(cls, path: Path, settings: dict[str, Any]) -> Curve:
        """The run's own from before, or a new one. Raises CurveError where the file is of other settings."""
        if not path.exists():
            return cls(path, settings)
        found = cls.read(path)
        other = [k for k in settings if found.settings.get(k) != settings[k]]
        if other:
            then = ", ".join(f"{k} {found.settings.get(k)}" for k in other)
            now = ", ".join(f"{k} {settings[k]}" for k in other)
            raise CurveError(f"{path.parent} was begun with {then}; goes on with that only, found {now}")
        return found

    def keep_to(self, step: int) -> None:
        """Forget points later than the step that a run goes on from."""
        self.points = [p for p in self.points if p["step"] <= step]

    def add(self, step: int, minutes: float, point: Point) -> None:
        """One more point, on the disk."""
        self.points = [p for p in self.points if p["step"] != step]
        self.points.append({"step": step, "minutes": round(minutes, 3), "places": point})
        with replaced(self.path) as part:
            part.write_text(json.dumps({"settings": self.settings, "points": self.points}, indent=1) + "\n")
