"""Which graph computes the analysis transform on the CPU: float, or int8 where this processor computes it right.

The int8 graph loses nothing that val shows (docs/calibration.md) and is faster where the processor has int8 dot products.
x86 without them adds in saturating 16 bits, so a bright tile is computed both ways before int8 may code.
"""

from __future__ import annotations

from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.engines import EngineEvent
from swathpack.edge.codec.latents import STEP_UNIT_DN
from swathpack.edge.codec.pixels import padded

FILES = {"float": "analysis.onnx", "int8": "analysis_int8.onnx"}
TOLERANCE_DN = (
    32.0  # rms over coefficients; half the finest step. The shipped graph is off by 13, in 16-bit sums by 5,700
)
BRIGHTEST_DN = 65535
SIDE = 64


class Sessions(Protocol):
    """What opens a graph of the model: `swathpack.edge.codec.model.EdgeModel`."""

    def session(self, name: str) -> Any: ...


def open_analysis(model: Sessions, kind: str) -> tuple[Any, list[EngineEvent]]:
    """The session of that kind of analysis, `float` where int8 is refused; and what happened.

    Raises ValueError for another kind, and what `session` raises where the float graph does not open.
    """
    if kind not in FILES:
        raise ValueError(f"analysis: expected {' or '.join(FILES)}, found {kind!r}")
    whole = model.session(FILES["float"])
    if kind == "float":
        return whole, []
    name = f"analysis:{kind}"
    try:
        session = model.session(FILES[kind])
        off = difference_dn(session, whole)
    except Exception as error:  # runtimes raise classes of their own for every cause
        return whole, [EngineEvent(name, "files", f"{type(error).__name__}: {error}")]
    if not off <= TOLERANCE_DN:
        detail = f"a bright tile differs by {off:.1f} DN rms from float, at most {TOLERANCE_DN:.0f} expected"
        return whole, [EngineEvent(name, "golden", detail)]
    return session, [EngineEvent(name, "opened", f"{off:.1f} DN rms from float on a bright tile")]


def difference_dn(session: Any, whole: Any) -> float:
    """Root of the mean squared difference of two analyses over a bright tile, in DN of a coefficient."""
    first, second = (s.run(None, {"frame": _bright()})[0] for s in (session, whole))
    return float(np.sqrt(np.mean(np.square((first - second).astype(np.float64)))) * STEP_UNIT_DN)


def _bright() -> NDArray[np.float32]:
    """(1, 12, SIDE + 8, SIDE + 8) DN: a smooth ramp over all 16 bits, as only what the weights were rounded for tells a
    wrong sum from their rounding.
    """
    ramp = np.arange(SIDE, dtype=np.float32)
    plane = np.rint((ramp + ramp[:, None]) * np.float32(BRIGHTEST_DN / (2 * SIDE - 2)))
    return padded(np.stack([plane] * 12))[None]
