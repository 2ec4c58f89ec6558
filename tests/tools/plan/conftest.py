"""One small plan that runs in about a second, for the planner's tests."""

from __future__ import annotations

from pathlib import Path

import pytest

SMALL = """
name = "small"
start = "2026-12-01T00:00:00Z"
days = 2
seed = 3

[[satellite]]
name = "one"
elements = { altitude_km = 510, sun_synchronous = true, ltan_hours = 22.5 }

[[station]]
name = "north"
latitude_deg = 69.66
longitude_deg = 18.94
g_over_t_dbk = 18.5
miss_probability = 0.1

[radio]
band = "S"
frequency_ghz = 2.245
eirp_dbw = 6.0
bitrate_mbit_s = 1.0

[imager]
swath_km = 60
gsd_m = 10
duty_cycle_percent = 20
power_w = 10

[[area]]
name = "sahel"
box_deg = [-16, 10, 36, 17]
cloud_fraction = 0.3

[[area]]
name = "nile"
box_deg = [29, 22, 34, 31.6]
priority = 2

[uncertainty]
samples = 50
"""


@pytest.fixture
def write_plan(tmp_path: Path):
    """Write the small plan with text replaced or appended; returns the path."""

    def write(*swaps: tuple[str, str], more: str = "") -> Path:
        text = SMALL
        for old, new in swaps:
            assert old in text, old
            text = text.replace(old, new, 1)
        path = tmp_path / "plan.toml"
        path.write_text(text + more, encoding="utf-8")
        return path

    return write


@pytest.fixture(scope="session")
def small_outcome(tmp_path_factory: pytest.TempPathFactory):
    """The small plan worked out once."""
    from swathpack.tools.plan.inputs import read_plan
    from swathpack.tools.plan.model import evaluate

    path = tmp_path_factory.mktemp("plan") / "small.toml"
    path.write_text(SMALL, encoding="utf-8")
    return evaluate(read_plan(path))
