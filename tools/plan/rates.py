"""The codec's own figures: cost and quality of a tile at every layer, and what coding takes on a board.

`models/edge/rate_quality.json` is written by `swathpack bench`. Its form:

    {"schema": "swathpack-rate-quality-1", "measured": true, "source": "...",
     "points": [{"layers": 0, "bppb": 0.0, "psnr_db_mean": 17.0, "psnr_db_p10": 14.0, "psnr_db_p90": 21.0},
                ...],
     "boards": {"agx-orin": {"30W": {"encode_s_per_tile": 0.01, "energy_j_per_tile": 0.3}}}}

`points` run over layers 0 (nothing sent, the ground predicts) to the last; `bppb` is bits per pixel and band
with everything that a segment carries; PSNR has peak 10,000 over all bands; P10 is the PSNR of hard tiles
(one in ten is worse), P90 that of easy ones. `encode_s_per_tile` and `energy_j_per_tile` are for a tile of
256x256 pixels and 12 bands.
Until the file is there, PROVISIONAL below stands in and the planner says so.
"""

from __future__ import annotations

import json
import math
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.digests import DigestError, vouched
from swathpack.edge.schema import did_you_mean
from swathpack.tools.errors import UserError
from swathpack.tools.plan.schema import Section

SCHEMA = "swathpack-rate-quality-1"
DEFAULT_TABLE = Path(__file__).parents[2] / "models" / "edge" / "rate_quality.json"
PEAK_DN = 10_000.0
REFERENCE_PX, REFERENCE_BANDS = 256, 12

# Swanson's rule: 30 % of the weight at P10, 40 % at P50 and 30 % at P90 keep mean and variance of most skewed
# distributions (Hurst, Brown and Swanson, AAPG Bulletin 84(12), 2000).
CLASS_WEIGHTS = (0.3, 0.4, 0.3)

Array = NDArray[np.float64]


@dataclass(frozen=True)
class RateTable:
    """Rate and quality per number of layers k = 0..K, and the board's effort.

    bppb: (K+1,); psnr_db: (3, K+1) of hard, typical and easy tiles; mean_psnr_db: (K+1,).
    """

    source: str
    measured: bool
    bppb: Array
    psnr_db: Array
    mean_psnr_db: Array
    encode_s: float
    energy_j: float
    effort_source: str

    def tile_bytes(self, tile_px: int, bands: int) -> NDArray[np.int64]:
        """(K+1,) bytes of a tile's first k layers."""
        return np.ceil(self.bppb * tile_px**2 * bands / 8).astype(np.int64)

    def distortion(self) -> Array:
        """(3, K+1) mean squared error (DN^2) of hard, typical and easy tiles."""
        return PEAK_DN**2 * 10 ** (-self.psnr_db / 10)


def provisional() -> dict[str, Any]:
    """Stand-in figures, used only until the codec has been measured.

    Quality: a line in log rate through JPEG 2000 (multi-component) on unseen places, as measured while this
    project was prepared: 33.7 dB at 0.037 bppb, 34.5 at 0.048, 36.5 at 0.083, 37.5 at 0.108, 38.3 at 0.131.
    Spread between tiles: 4 dB either way, assumed. Effort: the design goal of 5 GMAC a tile at a tenth of the
    board's dense INT8 rate, and the power mode's watts; assumed, not measured.
    """
    points: list[dict[str, float]] = [
        {"layers": 0, "bppb": 0.0, "psnr_db_mean": 20.0, "psnr_db_p10": 16.0, "psnr_db_p90": 24.0}
    ]
    for layers in range(1, 17):
        bppb = 0.006 * (0.5 / 0.006) ** ((layers - 1) / 15)
        mean = 38.3 + 2.52 * math.log2(bppb / 0.131)
        points.append(
            {
                "layers": layers,
                "bppb": bppb,
                "psnr_db_mean": mean,
                "psnr_db_p10": mean - 4.0,
                "psnr_db_p90": mean + 4.0,
            }
        )
    modes = {
        "agx-orin": {"15W": 0.02, "30W": 0.01, "50W": 0.006},
        "orin-nx": {"10W": 0.05, "25W": 0.02},
        "orin-nano": {"7W": 0.1, "15W": 0.04},
    }
    boards = {
        board: {
            mode: {"encode_s_per_tile": seconds, "energy_j_per_tile": seconds * float(mode[:-1])}
            for mode, seconds in by_mode.items()
        }
        for board, by_mode in modes.items()
    }
    return {
        "schema": SCHEMA,
        "measured": False,
        "points": points,
        "boards": boards,
        "source": "provisional: a JPEG 2000 fit for quality, design goals for speed and energy",
    }


def load_rates(path: Path | None, board: str, power_mode: str) -> tuple[RateTable, list[str]]:
    """The table and warnings to show. `path` None means the shipped file, or the stand-in when there is none.

    Raises:
        UserError: the file is missing, not of this form, contradicts itself, or lacks the board or mode.
    """
    warnings = []
    if path is None and not DEFAULT_TABLE.is_file():
        document = provisional()
        warnings.append(
            "codec figures are PROVISIONAL (no models/edge/rate_quality.json yet; write it with "
            "`swathpack bench`): " + str(document["source"])
        )
    else:
        document = _read(path or DEFAULT_TABLE)
    table = parse_rates(document, board, power_mode)
    if not table.measured and not warnings:
        warnings.append(f"codec figures are not measured: {table.source}")
    return table, warnings


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(vouched(path).decode("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, DigestError) as error:
        raise UserError(f"cannot read the rate table {path}: {error}") from None
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        raise UserError(
            f"{path.name}: expected schema {SCHEMA!r}, found "
            f"{document.get('schema') if isinstance(document, dict) else type(document).__name__!r}"
        )
    return document


def parse_rates(document: dict[str, Any], board: str, power_mode: str) -> RateTable:
    """The table of a document whose schema is right. Raises UserError."""
    rows = document.get("points")
    if not isinstance(rows, list) or len(rows) < 2:
        raise UserError("rate table: expected at least two points")
    points = [Section(row, f"rate table, point {at}") for at, row in enumerate(rows)]
    if [point.integer("layers", 0, 64) for point in points] != list(range(len(rows))):
        raise UserError("rate table: expected points for layers 0, 1, 2, ... in order")
    bppb = np.array([point.number("bppb", 0, 64) for point in points])
    mean, low, high = (
        np.array([point.number(f"psnr_db_{key}", 0, 120) for point in points]) for key in ("mean", "p10", "p90")
    )
    if bppb[0] != 0 or (np.diff(bppb) < 0).any() or (np.diff(mean) < 0).any():
        raise UserError("rate table: expected bppb from 0 that never falls and psnr_db_mean that never falls")
    if not ((low <= mean) & (mean <= high)).all():
        raise UserError("rate table: expected psnr_db_p10 <= psnr_db_mean <= psnr_db_p90")
    # The typical class is placed so that the three weighted classes have the measured mean.
    hard, middle, easy = CLASS_WEIGHTS
    typical = np.clip((mean - hard * low - easy * high) / middle, low, high)
    effort = _effort(document.get("boards", {}), board, power_mode)
    return RateTable(
        str(document.get("source", "")),
        document.get("measured") is True,
        bppb,
        np.maximum.accumulate(np.array([low, typical, high]), axis=1),
        mean,
        effort.number("encode_s_per_tile", 0, 3600),
        effort.number("energy_j_per_tile", 0, 1e6),
        effort.text("source", "as the table"),
    )


def _effort(boards: Any, board: str, power_mode: str) -> Section:
    if not isinstance(boards, dict) or board not in boards:
        known = sorted(boards) if isinstance(boards, dict) else []
        raise UserError(
            f"[codec] board: no figures for {board!r}, expected one of {', '.join(known) or 'none'}"
            f"{did_you_mean(board, known)}"
        )
    modes = boards[board]
    if power_mode not in modes:
        raise UserError(
            f"[codec] power_mode: no figures for {board} at {power_mode!r}, expected one of {', '.join(sorted(modes))}"
        )
    return Section(modes[power_mode], f"rate table, {board} {power_mode}")
