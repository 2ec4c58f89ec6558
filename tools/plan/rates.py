"""The codec's own figures: cost and quality of a tile at every layer or promise, and what coding takes on a board.

`data/rates.json` beside this has all modes and band sets (its form: `swathpack.tools.plan.rate_modes`), measured by
`swathpack.tools.bench.rate_tables`. The learned codec alone, at one quantiser step, has `models/edge/rate_quality.json`, written
by `swathpack.tools.bench.rate_quality`:

    {"schema": "swathpack-rate-quality-1", "measured": true, "source": "...",
     "points": [{"layers": 0, "bppb": 0.0, "psnr_db_mean": 17.0, "psnr_db_p10": 14.0, "psnr_db_p90": 21.0},
                ...],
     "boards": {"agx-orin": {"30W": {"encode_s_per_tile": 0.01, "energy_j_per_tile": 0.3}}}}

`points` run over layers 0 (nothing sent, the ground predicts) to the last; `bppb` is bits per pixel and band
with everything that a segment carries; PSNR has peak 10,000 over all bands; P10 is the PSNR of hard tiles
(one in ten is worse), P90 that of easy ones. `encode_s_per_tile` and `energy_j_per_tile` are for a tile of
256x256 pixels and 12 bands. A plan's own table may have either form.
Where the learned codec's file is missing, PROVISIONAL below stands in and the planner says so.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from swathpack.edge.bands import BANDS, DROPPED
from swathpack.edge.digests import DigestError, vouched
from swathpack.edge.spoken import reason
from swathpack.tools.errors import UserError
from swathpack.tools.plan.rate_modes import TABLES_SCHEMA, parse_modes
from swathpack.tools.plan.rate_table import RateTable, classes_of, read_effort
from swathpack.tools.plan.schema import Section

SCHEMA = "swathpack-rate-quality-1"
MEASURED_TABLE = Path(__file__).parent / "data" / "rates.json"
DEFAULT_TABLE = Path(__file__).parents[2] / "models" / "edge" / "rate_quality.json"


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


def load_rates(
    path: Path | None,
    board: str,
    power_mode: str,
    bands: Sequence[str] = BANDS,
    mode: str = "auto",
    max_error: int = 0,
) -> tuple[RateTable, list[str]]:
    """The table of a mode for these bands, and warnings to show.

    `path` None means the shipped figures: of all modes, or for `learned` those of the shipped model, or the stand-in when
    there are none. The services come from the shipped figures where the table given knows the learned codec alone.

    Raises:
        UserError: the file is missing, of neither form, of the wrong one for the mode, contradicts itself, or lacks the
            board, its power mode, so many bands or so large an error.
    """
    modes, others = _read(MEASURED_TABLE), [name for name in bands if name not in (*BANDS, DROPPED)]
    if mode == "learned" and others:
        raise UserError(f"[codec] mode: learned codes Sentinel-2's bands alone, found {', '.join(others)}")
    if path is None and mode != "learned":
        return _warned(*parse_modes(modes, bands, mode, max_error, board, power_mode))
    if path is None and not DEFAULT_TABLE.is_file():
        document = provisional()
        warnings = [
            "codec figures are PROVISIONAL (no models/edge/rate_quality.json yet; write it with "
            "`python -m swathpack.tools.bench.rate_quality`): " + str(document["source"])
        ]
    else:
        document, warnings = _read(path or DEFAULT_TABLE), []
    if document["schema"] == TABLES_SCHEMA:
        if mode == "learned":
            raise UserError(f"[codec] mode: learned needs a table of schema {SCHEMA!r}, found {TABLES_SCHEMA!r}")
        return _warned(*parse_modes(document, bands, mode, max_error, board, power_mode))
    if mode not in ("auto", "learned"):
        raise UserError(f"[codec] table: {mode} needs one of schema {TABLES_SCHEMA!r}, found {SCHEMA!r}")
    table = parse_rates(document, board, power_mode)
    if len(bands) < len(BANDS):
        warnings.append(f"the learned codec's rates were measured with {len(BANDS)} bands, not with {len(bands)}")
    shipped, notes = parse_modes(modes, bands, "transform", 0, *_any_board(modes))
    served = tuple(replace(s, table=replace(s.table, effort=table.effort)) for s in shipped.services)
    return _warned(replace(table, services=served), warnings + notes)


def _any_board(document: dict[str, Any]) -> tuple[str, str]:
    """A board and mode that the table has, where its effort is not asked for."""
    board, modes = next(iter(document["boards"].items()))
    return board, next(iter(modes))


def _warned(table: RateTable, warnings: list[str]) -> tuple[RateTable, list[str]]:
    unmeasured = not table.measured and not any("PROVISIONAL" in text for text in warnings)
    return table, [*warnings, *([f"codec figures are not measured: {table.source}"] if unmeasured else [])]


def _read(path: Path) -> dict[str, Any]:
    try:
        document = json.loads(vouched(path).decode("utf-8"))
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, DigestError) as error:
        raise UserError(f"cannot read the rate table {path}: {reason(error, path)}") from None
    found = document.get("schema") if isinstance(document, dict) else type(document).__name__
    if found not in (SCHEMA, TABLES_SCHEMA):
        raise UserError(f"{path.name}: expected schema {SCHEMA!r} or {TABLES_SCHEMA!r}, found {found!r}")
    told: dict[str, Any] = document
    return told


def parse_rates(document: dict[str, Any], board: str, power_mode: str) -> RateTable:
    """The learned codec's table of a document whose schema is right. Raises UserError."""
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
    return RateTable(
        str(document.get("source", "")),
        document.get("measured") is True,
        "learned",
        ("nothing", "1 layer", *(f"{k} layers" for k in range(2, len(rows)))),
        0.0,
        np.tile(bppb, (3, 1)),
        bppb,
        classes_of(mean, low, high),
        mean,
        read_effort(document.get("boards", {}), board, power_mode),
    )
