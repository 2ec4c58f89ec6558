"""Ground for the simulated sensor: windows of real Sentinel-2 cubes, of the demo's downloads, or synthetic scenes."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS
from swathpack.hil_tests.scenario.read import Sensor
from swathpack.tools.errors import UserError

DEFAULT_DATA = Path("../shared/data")
SYNTHETIC_DATES = 6


@dataclass(frozen=True, eq=False)
class Place:
    """One place: dates (T, 12, H, W) float32 DN in order of time, where it is from, whether it is real."""

    name: str
    dates: NDArray[np.float32]
    credit: str
    real: bool


def load_places(sensor: Sensor, data: Path | None, seed: int) -> list[Place]:
    """As many places as the scenario asks for. Raises UserError when what it asks for is not to be had."""
    root = data or DEFAULT_DATA
    found: list[Place] = []
    if data is not None and sensor.data not in ("auto", "real"):
        raise UserError(
            f'--data: the scenario takes {sensor.data} scenes; expected sensor.data = "real" or "auto" with it'
        )
    if sensor.data in ("auto", "real"):
        if (root / "catalog.json").is_file():
            found = _real(root, sensor)
            if not found and (sensor.data == "real" or data is not None):
                raise UserError(f"no cube in {root} has {sensor.height} x {sensor.width} pixels and all twelve bands")
        elif sensor.data == "real" or data is not None:
            raise UserError(f'no cubes in {root}: expected a catalog.json; give --data, or sensor.data = "demo"')
    if not found and sensor.data in ("auto", "demo"):
        found = _demo(sensor)
    if not found:
        found = _synthetic(sensor, seed)
    return [found[i % len(found)] for i in range(sensor.places)]


def _real(root: Path, sensor: Sensor) -> list[Place]:
    """Windows of the held-out cubes with all twelve bands, series before single dates, none overlapping."""
    from swathpack.codec.data import load_cubes

    cubes = sorted(load_cubes(root, "val"), key=lambda cube: (cube.data.shape[0] == 1, cube.name))
    credit = "Sentinel-2 cubes (contain modified Copernicus Sentinel data)"
    rounds: list[list[Place]] = []
    for cube in cubes:
        if (cube.weight < 1.0) or min(cube.data.shape[2] - sensor.height, cube.data.shape[3] - sensor.width) < 0:
            continue
        tops = range(0, cube.data.shape[2] - sensor.height + 1, sensor.height)
        windows = [cube.data[:, :, t : t + sensor.height, : sensor.width] for t in tops]
        rounds.append([Place(f"{cube.name}+{t}", w, credit, True) for t, w in zip(tops, windows)])
    deepest = max((len(r) for r in rounds), default=0)
    return [r[i] for i in range(deepest) for r in rounds if i < len(r)]


def _demo(sensor: Sensor) -> list[Place]:
    """Windows of the demo's L1C scene, the clearer ones first."""
    from swathpack.tools.demo.data import cloudy_scene

    try:
        demo = cloudy_scene()
    except UserError as error:
        if sensor.data == "demo":
            raise
        print(f"hil: {error}; synthetic scenes stand in", file=sys.stderr)
        return []
    frame = demo.series.frames[0]
    data = frame.data[[frame.bands.index(band) for band in BANDS]].astype(np.float32)
    spots = [
        (t, s)
        for t in range(0, data.shape[1] - sensor.height + 1, sensor.height)
        for s in range(0, data.shape[2] - sensor.width + 1, sensor.width)
    ]
    windows = [(data[:, t : t + sensor.height, s : s + sensor.width], t, s) for t, s in spots]
    windows.sort(key=lambda w: float(np.median(w[0][1])))
    return [Place(f"s2cloudless+{t}+{s}", w[None], demo.credit, True) for w, t, s in windows]


def _synthetic(sensor: Sensor, seed: int) -> list[Place]:
    from swathpack.tools.files.synthetic_scene import synthetic_series

    size = max(sensor.height, sensor.width)
    places = []
    for i in range(sensor.places):
        series, _ = synthetic_series(SYNTHETIC_DATES, size, seed + i, cloudy=0.0)
        dates = np.stack([f.data[:, : sensor.height, : sensor.width] for f in series.frames]).astype(np.float32)
        places.append(Place(f"synthetic-{seed + i}", dates, "synthetic scenes, made by this program", False))
    return places
