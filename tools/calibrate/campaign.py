"""One calibration from tiles to a verdict: ranges, candidates, peers, rate and distortion, gains, speed."""

from __future__ import annotations

import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.calibration.analysis import Int8Analysis, Statistics, forms, measure, offset_of, quantise
from swathpack.calibration.gains import GainCheck, check_gains
from swathpack.calibration.planes import Plane, left_over
from swathpack.calibration.planes import gmac as gmac_of
from swathpack.calibration.ranges import RangeChoice, all_choices, histogram
from swathpack.edge.codec.engines.onnxruntime_engine import open_session
from swathpack.edge.codec.latents import CHANNELS
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.pixels import padded
from swathpack.export.analysis_int8 import analysis_int8_graph, float_analysis
from swathpack.tools.calibrate import judge
from swathpack.tools.calibrate.peer import METHODS, quantised_by_onnxruntime
from swathpack.tools.calibrate.sets import Sets, Tile

FloatArray = NDArray[np.float32]
Tick = Callable[[], None]
GOAL_PERCENT = 2.0
PEER_SIDE = 128  # the peer's calibrators want tiles of one size; each tile is cut into such squares
GAIN_QUALITY = 24
GAIN_CHANNELS = tuple(range(0, CHANNELS, 32))
TIMED_RUNS = 3


@dataclass(frozen=True, eq=False)
class Candidate:
    """One way to quantise: its error of the coefficients, its cost, and its loss where it was judged."""

    name: str
    error: judge.ErrorReport
    gmac: float
    cpu_seconds: float
    loss: judge.Loss | None
    points: NDArray[np.float64] | None


@dataclass(eq=False)
class Findings:
    """Everything a report needs."""

    sets: Sets
    qualities: tuple[int, ...]
    shares: NDArray[np.float64]
    choices: list[RangeChoice]
    exponent: int
    range_errors: dict[int, float]
    plane_ranges: dict[str, list[float]]
    candidates: list[Candidate] = field(default_factory=list)
    float_points: NDArray[np.float64] | None = None
    float_cpu_seconds: float = 0.0
    chosen: str = ""
    model: Int8Analysis | None = None
    statistics: Statistics | None = None
    gains: GainCheck | None = None


def session(graph: bytes | str, threads: int = 1) -> Callable[[FloatArray], FloatArray]:
    """tile (12, H, W) DN -> coefficients, by ONNX Runtime with all of its optimisations."""
    opened = open_session(graph if isinstance(graph, bytes) else Path(graph), threads)

    def analyse(tile: FloatArray) -> FloatArray:
        found: FloatArray = opened.run(None, {"frame": padded(tile)[None]})[0][0]
        return found

    return analyse


def cpu_seconds(analyse: judge.Analysis) -> float:
    """CPU seconds of a 256 x 256 tile on one thread, best of a few."""
    tile = np.random.default_rng(0).integers(100, 6000, (12, 256, 256)).astype(np.float32)
    best = np.inf
    for _ in range(TIMED_RUNS + 1):
        start = time.process_time()
        analyse(tile)
        best = min(best, time.process_time() - start)
    return float(best)


class Campaign:
    """Runs the parts in order; `tick` is called after every tile and step."""

    def __init__(self, model: EdgeModel, sets: Sets, qualities: Sequence[int], tick: Tick = lambda: None) -> None:
        self.model, self.sets, self.tick = model, sets, tick
        self.kernel, self.bias = float_analysis(model.directory / "analysis.onnx")
        self._float = open_session(model.directory / "analysis.onnx")
        self._kept: dict[str, list[judge.Coefficients]] = {}
        self.tiles = [t.pixels for t in sets.calibration]
        self.exact = [model.analyse(t.pixels) for t in sets.judging]
        shares = histogram(self.tiles)
        choices = all_choices(shares)
        errors = self._range_errors(sorted({c.exponent for c in choices}))
        exponent = min(errors, key=lambda e: errors[e])
        self.found = Findings(sets, tuple(qualities), shares, choices, exponent, errors, {})
        self.models: dict[str, Int8Analysis] = {}
        self.statistics: dict[str, Statistics] = {}

    def _range_errors(self, exponents: Sequence[int]) -> dict[int, float]:
        """Error of the calibration tiles' coefficients, rms DN, that one plane of 2^e DN a level makes by its range and
        rounding alone.
        """
        errors = {}
        for e in exponents:
            planes, squares = (Plane(1, e),), []
            for tile in self.tiles:
                # What the plane leaves over is the negative of its error; the transform is linear.
                left = left_over(padded(tile), planes, offset_of(planes))
                squares.append(float(np.square(self._linear(left) * 64).mean()))
                self.tick()
            errors[e] = float(np.sqrt(np.mean(squares)))
        return errors

    def _linear(self, frame: FloatArray) -> FloatArray:
        out: FloatArray = self._float.run(None, {"frame": frame[None]})[0][0]
        return out - self.bias.astype(np.float32)[:, None, None]

    def candidates(self, peers: bool = True) -> None:
        """Our candidates with both roundings, and the peer with each of its range choices."""
        for name, planes in forms(self.found.exponent).items():
            statistics = measure(self.tiles, planes, self.tick)
            self.statistics[name] = statistics
            deviations = [float(np.sqrt(np.trace(c.bands) / 12)) for c in statistics.covariances]
            self.found.plane_ranges[name] = deviations
            for rounding in ("shaped", "nearest"):
                model = quantise(self.kernel, self.bias, statistics, rounding)
                label = name if rounding == "shaped" else f"{name}, nearest"
                self.models[label] = model
                self._add(label, session(analysis_int8_graph(model).SerializeToString()), model.gmac)
        if peers:
            self._peers()

    def _add(self, name: str, analyse: judge.Analysis, gmac: float) -> None:
        found = judge.coefficients_by({name: analyse}, self.sets.judging, self.tick)[name]
        error = judge.compare(self.exact, found, self.found.qualities)
        self.found.candidates.append(Candidate(name, error, gmac, cpu_seconds(analyse), None, None))
        self._kept[name] = found

    def _peers(self) -> None:
        side = min(PEER_SIDE, *(s for t in self.tiles for s in t.shape[1:]))
        tiles = [
            np.ascontiguousarray(t[:, y : y + side, x : x + side])
            for t in self.tiles
            for y in range(0, t.shape[1] - side + 1, side)
            for x in range(0, t.shape[2] - side + 1, side)
        ]
        with tempfile.TemporaryDirectory() as folder:
            for method in METHODS:
                path = quantised_by_onnxruntime(self.kernel, self.bias, tiles, method, Path(folder))
                self._add(f"onnxruntime {method}", session(str(path)), gmac_of(forms()["one-plane"]))
                self.tick()

    def judged_names(self) -> list[str]:
        """Ours with shaped rounding, the dearest with nearest rounding, and the peer of the least error."""
        peers = [c for c in self.found.candidates if c.name.startswith("onnxruntime")]
        best = [min(peers, key=lambda c: c.error.rms_dn).name] if peers else []
        return [*forms(), "two-planes, nearest", *best]

    def judge(self) -> None:
        """Rate and distortion; picks the cheapest of ours that stays within the goal on every tile and at
        every step, else the best."""
        found = self.found
        tiles: list[Tile] = self.sets.judging
        found.float_points = judge.points(self.model, tiles, self.exact, found.qualities, self.tick)
        found.float_cpu_seconds = cpu_seconds(self.model.analyse)
        names = self.judged_names()
        for i, c in enumerate(found.candidates):
            if c.name in names:
                points = judge.points(self.model, tiles, self._kept[c.name], found.qualities, self.tick)
                lost = judge.loss(found.float_points, points)
                found.candidates[i] = Candidate(c.name, c.error, c.gmac, c.cpu_seconds, lost, points)
        self._choose()

    def _choose(self) -> None:
        ours = [c for c in self.found.candidates if c.name in forms() and c.loss is not None]
        good = [c for c in ours if c.loss is not None and c.loss.worst <= GOAL_PERCENT]
        best = min(good, key=lambda c: c.gmac) if good else min(ours, key=lambda c: c.loss.bd_rate)  # type: ignore[union-attr]
        self.take(best.name)

    def take(self, name: str) -> None:
        """Make this candidate the result."""
        self.found.chosen = name
        self.found.model, self.found.statistics = self.models[name], self.statistics[name]

    def gains(self, tiles: int = 2) -> None:
        """Check channel gains on the first judging tiles."""
        given = [t.pixels for t in self.sets.judging[:tiles]]
        self.found.gains = check_gains(
            self.model, given, self.exact[:tiles], GAIN_CHANNELS, GAIN_QUALITY, tick=self.tick
        )


def steps(sets: Sets, qualities: Sequence[int], peers: bool) -> int:
    """About how many ticks a campaign has."""
    n, m, candidates = len(sets.calibration), len(sets.judging), 8 + (len(METHODS) if peers else 0)
    judged = len(forms()) + 2 + int(peers)  # float and two-planes, nearest, too
    return 6 * n + candidates * m + judged * m * len(qualities) + 2 * len(GAIN_CHANNELS)


def summary_of(c: Candidate) -> dict[str, Any]:
    """Plain types for JSON."""
    out: dict[str, Any] = {
        "gmac": c.gmac,
        "cpu_s_per_tile": c.cpu_seconds,
        "error_rms_dn": c.error.rms_dn,
        "error_median_tile_dn": c.error.median_tile_dn,
        "snr_db": c.error.snr_db,
        "error_over_quantiser_noise": c.error.noise_share,
        "channel_snr_db": [round(float(v), 2) for v in c.error.channel_snr_db],
    }
    if c.loss is not None:
        out |= {
            "bd_rate_percent": c.loss.bd_rate,
            "bd_rate_worst_tile_percent": c.loss.worst_tile,
            "rate_loss_percent_per_quality": list(c.loss.per_quality),
        }
    return out
