"""Bake the atmosphere table that the planner ships (needs `pip install itur`, used once, not at run time).

    python -m swathpack.tools.plan.bake_attenuation          writes tools/plan/data/attenuation.json, prints its size

Total slant-path attenuation A(p) = gases + sqrt((rain + cloud)^2 + scintillation^2) after Recommendation
ITU-R P.618 section 2.5, evaluated with Recommendations P.676, P.837-P.840 that the itur
package (MIT licence) implements, for five climates at one representative place each.
"""

from __future__ import annotations

import json
import warnings
from pathlib import Path

from swathpack.tools.files.outputs import write_text

# Climate -> (latitude, longitude) of the place that stands for it.
CLIMATES = {
    "polar": (78.23, 15.39),  # Svalbard
    "temperate": (48.09, 11.28),  # southern Germany
    "arid": (24.50, 54.40),  # Gulf coast
    "subtropical": (-25.89, 27.69),  # northern South Africa
    "tropical": (1.35, 103.82),  # Singapore
}
FREQUENCIES_GHZ = (2.2, 8.2, 26.0)
ELEVATIONS_DEG = (5.0, 7.0, 10.0, 15.0, 20.0, 30.0, 45.0, 60.0, 90.0)
# Per cent of the time that the attenuation is exceeded.
EXCEEDED_PERCENT = (0.1, 0.3, 1.0, 2.0, 5.0, 10.0, 20.0, 50.0)
ANTENNA_M = 5.0
TARGET = Path(__file__).parent / "data" / "attenuation.json"


def attenuation_db(place: tuple[float, float], frequency: float, elevation: float, percent: float) -> float:
    """Total attenuation (dB) exceeded `percent` of an average year."""
    import itur

    parts = itur.atmospheric_attenuation_slant_path(
        place[0], place[1], frequency, elevation, percent, ANTENNA_M, return_contributions=True
    )
    gas, cloud, rain, scintillation = (max(0.0, float(part.value)) for part in parts[:4])
    if percent > 5.0:  # P.618 gives rain up to 5 % of the time only
        rain = 0.0
    return float(gas + ((rain + cloud) ** 2 + scintillation**2) ** 0.5)


def surface(place: tuple[float, float], frequency: float) -> list[list[float]]:
    """Attenuation (dB) by elevation and exceedance.

    In the tropics P.618's rain term rises again towards the zenith. A shorter path through the same sky does
    not: the running minimum over elevation takes the artefact out.
    """
    rows: list[list[float]] = []
    for elevation in ELEVATIONS_DEG:
        row = [round(attenuation_db(place, frequency, elevation, p), 3) for p in EXCEEDED_PERCENT]
        rows.append([min(a, b) for a, b in zip(row, rows[-1])] if rows else row)
    return rows


def main() -> None:
    warnings.simplefilter("ignore")
    table = {climate: {str(f): surface(place, f) for f in FREQUENCIES_GHZ} for climate, place in CLIMATES.items()}
    document = {
        "source": "ITU-R P.618-13 section 2.5 (gases P.676, rain P.837-P.839, cloud P.840) through "
        "itur 0.4.0, antenna 5 m; made not to rise with elevation",
        "places": CLIMATES,
        "elevations_deg": ELEVATIONS_DEG,
        "exceeded_percent": EXCEEDED_PERCENT,
        "attenuation_db": table,
    }
    TARGET.parent.mkdir(exist_ok=True)
    write_text(TARGET, json.dumps(document, separators=(",", ":")) + "\n")
    print(f"{TARGET.name}: {TARGET.stat().st_size} bytes")


if __name__ == "__main__":
    main()
