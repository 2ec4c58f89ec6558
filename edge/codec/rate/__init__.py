"""Rate control: which bytes of which tiles are worth sending, for files and for flight.

Minimise the weighted distortion sum(w_i * D_i(k_i)) subject to sum(C_i(k_i)) <= budget, with C the exact bytes of every
prefix. Each tile's points (C, D) are reduced to their lower convex hull (`curves`); equal slope in all tiles is the least
error for the bytes (Shoham and Gersho, "Efficient bit allocation for an arbitrary set of quantizers", IEEE Trans. ASSP
36(9), 1988; the same idea is PCRD-opt in JPEG 2000, Taubman 2000). A slope has a name, its level (`levels`).

Files and board fill a budget by it in two ways on purpose. A file's tiles are cut at any byte, once, for one budget
(`filling`). The board sends whole layers, of tiles of many passes that it cannot code again, and plans anew before every
contact (`planner`).
"""

from swathpack.edge.codec.rate.curves import TAIL_PER_LAST_LAYER, Curve, hull_steps, remaining_error
from swathpack.edge.codec.rate.filling import Cuttable, cut_at_level, filled
from swathpack.edge.codec.rate.levels import (
    COARSEST_LEVEL,
    FINEST_LEVEL,
    HALF_AS_MANY,
    LEVELS,
    USUAL_LEVEL,
    bytes_about,
    finest_fitting_level,
    slope_at,
)
from swathpack.edge.codec.rate.planner import RateInputError, RatePlanner, allocate

__all__ = [
    "COARSEST_LEVEL",
    "Curve",
    "Cuttable",
    "FINEST_LEVEL",
    "HALF_AS_MANY",
    "LEVELS",
    "RateInputError",
    "RatePlanner",
    "TAIL_PER_LAST_LAYER",
    "USUAL_LEVEL",
    "allocate",
    "bytes_about",
    "cut_at_level",
    "filled",
    "finest_fitting_level",
    "hull_steps",
    "remaining_error",
    "slope_at",
]
