"""What an int8 analysis costs: error of the coefficients, and rate at equal quality through the real coder."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import LAYERS, step_dn
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.tile_coder import encode_tile
from swathpack.tools.bench.metrics import Curve, bd_rate, bppb, mse_to_psnr
from swathpack.tools.calibrate.sets import Tile

Coefficients = NDArray[np.float32]
Analysis = Callable[[NDArray[np.float32]], Coefficients]
Tick = Callable[[], None]
SEGMENT_BYTES = 20  # around a segment's payload, see docs/stream.md
MAX_DN = 65535


@dataclass(frozen=True, eq=False)
class ErrorReport:
    """Error against the float coefficients: rms DN over all and of the median tile, signal to noise in dB, per channel
    and over all; `noise_share`: error energy over that of an ideal quantiser of step q (step^2 / 12), per q asked.
    """

    rms_dn: float
    median_tile_dn: float
    snr_db: float
    channel_snr_db: NDArray[np.float64]
    noise_share: dict[int, float]


def compare(exact: Sequence[Coefficients], found: Sequence[Coefficients], qualities: Sequence[int]) -> ErrorReport:
    """Coefficients of the same tiles, (512, h, w) each in units of 64 DN."""
    flat = [c.reshape(len(c), -1).astype(np.float64) * 64 for c in exact]
    errors = [c.reshape(len(c), -1) * 64.0 - f for c, f in zip(found, flat)]
    power = np.concatenate([e**2 for e in errors], 1).mean(1)
    signal = np.concatenate([f**2 for f in flat], 1).mean(1)
    tiles = [float(np.sqrt((e**2).mean())) for e in errors]
    return ErrorReport(
        float(np.sqrt(power.mean())),
        float(np.median(tiles)),
        _decibel(signal.mean() / max(power.mean(), 1e-12)),
        np.array([_decibel(s / max(p, 1e-12)) for s, p in zip(signal, power)]),
        {q: float(power.mean() / (step_dn(q) ** 2 / 12)) for q in qualities},
    )


def _decibel(ratio: float) -> float:
    return 10 * math.log10(max(float(ratio), 1e-12))


def points(
    model: EdgeModel,
    tiles: Sequence[Tile],
    coefficients: Sequence[Coefficients],
    qualities: Sequence[int],
    tick: Tick,
) -> NDArray[np.float64]:
    """(tiles, 2, qualities): bits per pixel and band of the coded tile, and MSE in DN^2 of its synthesis.

    Each latent is coded intra, with the shipped entropy model; what a decoder gets is that latent, bit for bit.
    """
    out = np.empty((len(tiles), 2, len(qualities)))
    for i, (tile, c) in enumerate(zip(tiles, coefficients)):
        for k, q in enumerate(qualities):
            coded = encode_tile(model, np.ascontiguousarray(c, np.float32), q)
            height, width = tile.data.shape[1:]
            pixels = model.synthesise(coded.latent.astype(np.float32), q)[:, :height, :width]
            error = (np.clip(np.rint(pixels), 1, MAX_DN) - tile.data.astype(np.float64))[:, tile.valid]
            out[i, 0, k] = bppb(int(coded.payload_sizes[LAYERS]) + SEGMENT_BYTES, tile.data.shape)
            out[i, 1, k] = (error**2).mean()
            tick()
    return out


@dataclass(frozen=True)
class Loss:
    """Against the float analysis, mean over tiles: BD-rate in per cent, that of the worst tile, and per quantiser step
    the rate in per cent that equal quality costs.
    """

    bd_rate: float
    worst_tile: float
    per_quality: tuple[float, ...]

    @property
    def worst(self) -> float:
        """The largest of them: what a choice should answer for. A mean hides what dark water loses at fine steps."""
        return max(self.bd_rate, self.worst_tile, *self.per_quality)


def loss(exact: NDArray[np.float64], found: NDArray[np.float64]) -> Loss:
    """Both as `points` gives them."""
    rates = [bd_rate(_curve(a), _curve(b)) for a, b in zip(exact, found)]
    known = [r for r in rates if not math.isnan(r)]
    each = np.array([[_excess(a, b, k) for k in range(exact.shape[2])] for a, b in zip(exact, found)])
    mean = tuple(float(np.mean(column)) for column in each.T)
    return Loss(float(np.mean(known)), float(np.max(known)), mean) if known else Loss(math.nan, math.nan, mean)


def _curve(tile: NDArray[np.float64]) -> Curve:
    return Curve.of(tile[0], [mse_to_psnr(m) for m in tile[1]])


def _excess(exact: NDArray[np.float64], found: NDArray[np.float64], k: int) -> float:
    """Per cent of rate at step k: change of bits, plus what the change of quality is worth on the exact curve."""
    log_rate, quality = np.log(exact[0]), np.array([mse_to_psnr(m) for m in exact[1]])
    near = k + 1 if k + 1 < len(quality) else k - 1
    slope = (log_rate[near] - log_rate[k]) / (quality[near] - quality[k]) if quality[near] != quality[k] else 0.0
    gap = math.log(found[0, k]) - log_rate[k] - (mse_to_psnr(found[1, k]) - quality[k]) * max(slope, 0.0)
    return 100 * (math.exp(gap) - 1)


def coefficients_by(
    analyses: Mapping[str, Analysis], tiles: Sequence[Tile], tick: Tick = lambda: None
) -> dict[str, list[Coefficients]]:
    """Every analysis on every tile."""
    found: dict[str, list[Coefficients]] = {name: [] for name in analyses}
    for name, analyse in analyses.items():
        for tile in tiles:
            found[name].append(analyse(tile.pixels))
            tick()
    return found
