"""What a tile costs and how good it is, point by point, in one mode of the codec; and what other modes would make of it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.schema import did_you_mean
from swathpack.tools.errors import UserError
from swathpack.tools.plan.schema import Section

PEAK_DN = 10_000.0
REFERENCE_PX, REFERENCE_BANDS = 256, 12

# Swanson's rule: 30 % of the weight at P10, 40 % at P50 and 30 % at P90 keep mean and variance of most skewed
# distributions (Hurst, Brown and Swanson, AAPG Bulletin 84(12), 2000).
CLASS_WEIGHTS = (0.3, 0.4, 0.3)

Array = NDArray[np.float64]


def rmse_dn(psnr_db: Array) -> Array:
    """Root of the mean squared error, DN, of a PSNR with peak 10,000; 0 for an infinite one."""
    found: Array = PEAK_DN * 10.0 ** (-np.asarray(psnr_db, np.float64) / 20)
    return found


@dataclass(frozen=True)
class Effort:
    """What coding a tile of 256 x 256 pixels and 12 bands takes on a board, and who says so."""

    encode_s: float
    energy_j: float
    source: str


@dataclass(frozen=True)
class RateTable:
    """Points k = 0..K of one mode: nothing sent, then layers, or the whole tile at once.

    mode: auto, learned, transform or predictive. names: (K+1,) what the points are called. head_bytes: of every tile that is
    sent, whatever its size. bppb: (3, K+1) bits a pixel and band beyond those, of hard, typical and easy tiles; mean_bppb:
    (K+1,). psnr_db: (3, K+1), mean_psnr_db: (K+1,), infinite where every value is exact. services: what other modes would
    take, lossless first.
    """

    source: str
    measured: bool
    mode: str
    names: tuple[str, ...]
    head_bytes: float
    bppb: Array
    mean_bppb: Array
    psnr_db: Array
    mean_psnr_db: Array
    effort: Effort
    services: tuple[Service, ...] = ()

    @property
    def encode_s(self) -> float:
        """Seconds of the board for a tile of 256 x 256 pixels and 12 bands."""
        return self.effort.encode_s

    @property
    def energy_j(self) -> float:
        """Joules of the board for such a tile."""
        return self.effort.energy_j

    def tile_bytes(self, tile_px: int, bands: int) -> NDArray[np.int64]:
        """(K+1,) bytes of a tile up to each point, mean of tiles."""
        return self._bytes(self.mean_bppb, tile_px, bands)

    def class_bytes(self, tile_px: int, bands: int) -> NDArray[np.int64]:
        """(3, K+1) the same of hard, typical and easy tiles; rises with the points."""
        return self._bytes(self.bppb, tile_px, bands)

    def _bytes(self, bppb: Array, tile_px: int, bands: int) -> NDArray[np.int64]:
        sizes = np.ceil(bppb * tile_px**2 * bands / 8 + self.head_bytes - 1e-6)
        return np.where(bppb > 0, sizes, 0).astype(np.int64)

    def distortion(self) -> Array:
        """(3, K+1) mean squared error (DN^2) of hard, typical and easy tiles."""
        return PEAK_DN**2 * 10 ** (-self.psnr_db / 10)


@dataclass(frozen=True)
class Service:
    """One promise for every tile: `lossless`, `within 20 DN`, `RMSE at most 20 DN`. table: of the points nothing and whole.
    max_error: DN that no value is off by more; rmse: DN that no tile's is above.
    """

    name: str
    table: RateTable
    max_error: int | None = None
    rmse: float | None = None


def classes_of(mean: Array, low: Array, high: Array) -> Array:
    """(3, K+1) of class means: the typical class is placed so that the weighted three have the measured mean; none falls."""
    first, middle, last = CLASS_WEIGHTS
    with np.errstate(invalid="ignore"):  # of infinities, which stay
        typical = np.where(np.isfinite(mean), (mean - first * low - last * high) / middle, mean)
    typical = np.clip(typical, np.minimum(low, high), np.maximum(low, high))
    found: Array = np.maximum.accumulate(np.array([low, typical, high]), axis=1)
    return found


def read_effort(boards: Any, board: str, power_mode: str) -> Effort:
    """Of a table's boards. Raises UserError when it lacks the board or mode."""
    if not isinstance(boards, Mapping) or board not in boards:
        known = sorted(boards) if isinstance(boards, Mapping) else []
        raise UserError(
            f"[codec] board: no figures for {board!r}, expected one of {', '.join(known) or 'none'}"
            f"{did_you_mean(board, known)}"
        )
    modes = boards[board]
    if power_mode not in modes:
        raise UserError(
            f"[codec] power_mode: no figures for {board} at {power_mode!r}, expected one of {', '.join(sorted(modes))}"
        )
    found = Section(modes[power_mode], f"rate table, {board} {power_mode}")
    return Effort(
        found.number("encode_s_per_tile", 0, 3600),
        found.number("energy_j_per_tile", 0, 1e6),
        found.text("source", "as the table"),
    )
