"""The board's power and heat as lumped parts, and the books that must balance.

Battery: dE/dt = panel in sunlight - load, kept between empty and full (what does not fit is spilled).
Heat: C dT/dt = load - G (T - surroundings), solved exactly over each step (Gilmore, "Spacecraft Thermal Control
Handbook", lumped-parameter nodes).
"""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from swathpack.hil_tests.scenario.read import BoardModel


@dataclass
class BoardPhysics:
    """State and books of one board. energy_wh: in the battery; temperature_c: of the module."""

    model: BoardModel
    energy_wh: float = 0.0
    temperature_c: float = 20.0
    power_w: float = 0.0
    books: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(
            (
                "panel_wh",
                "load_wh",
                "spilled_wh",
                "short_wh",
                "heat_in_j",
                "heat_out_j",
                "coding_s",
                "radio_s",
                "seconds",
            ),
            0.0,
        )
    )

    def __post_init__(self) -> None:
        self.energy_wh = 0.8 * self.model.battery_wh
        self.begin = (self.energy_wh, self.temperature_c)

    def step(self, seconds: float, sunlit: bool, coding_s: float, radio_s: float, warmer_c: float, on_s: float) -> None:
        """Let time go by. coding_s, radio_s, on_s: of it, with the codec busy, the radio on, the board on."""
        if seconds <= 0:
            return
        m, books = self.model, self.books
        load_j = m.idle_w * on_s + m.coding_w * min(coding_s, seconds) + m.radio_w * min(radio_s, seconds)
        panel_wh, load_wh = (m.panel_w * seconds if sunlit else 0.0) / 3600, load_j / 3600
        wanted = self.energy_wh + panel_wh - load_wh
        self.energy_wh = min(max(wanted, 0.0), m.battery_wh)
        self.power_w = load_j / seconds
        around = (m.sunlit_c if sunlit else m.eclipse_c) + warmer_c
        self._warm(seconds, self.power_w, around)
        for name, value in (
            ("panel_wh", panel_wh),
            ("load_wh", load_wh),
            ("spilled_wh", max(wanted - m.battery_wh, 0.0)),
            ("short_wh", max(-wanted, 0.0)),
            ("coding_s", min(coding_s, seconds)),
            ("radio_s", min(radio_s, seconds)),
            ("seconds", seconds),
        ):
            books[name] += value

    def _warm(self, seconds: float, power_w: float, around_c: float) -> None:
        m = self.model
        rest = around_c + power_w / m.conductance_w_k
        after = rest + (self.temperature_c - rest) * math.exp(-m.conductance_w_k * seconds / m.heat_capacity_j_k)
        # Heat that left: the integral of G (T - around) over the same exponential.
        mean = rest + (self.temperature_c - after) * m.heat_capacity_j_k / (m.conductance_w_k * seconds)
        self.books["heat_in_j"] += power_w * seconds
        self.books["heat_out_j"] += m.conductance_w_k * (mean - around_c) * seconds
        self.temperature_c = after

    @property
    def charge(self) -> float:
        """Share of the battery, 0 to 1."""
        return self.energy_wh / self.model.battery_wh

    def check(self) -> list[str]:
        """What does not balance: energy and heat to a millionth of what went through."""
        b, found = self.books, []
        kept = self.begin[0] + b["panel_wh"] + b["short_wh"] - b["load_wh"] - b["spilled_wh"]
        if abs(kept - self.energy_wh) > 1e-6 * max(b["load_wh"], 1.0):
            found.append(f"energy: {self.energy_wh:.6f} Wh in the battery, the books say {kept:.6f}")
        heat = self.model.heat_capacity_j_k * (self.temperature_c - self.begin[1])
        if abs(heat - (b["heat_in_j"] - b["heat_out_j"])) > 1e-6 * max(b["heat_in_j"], 1.0):
            found.append(f"heat: {heat:.3f} J kept, {b['heat_in_j'] - b['heat_out_j']:.3f} J by the books")
        if abs(b["heat_in_j"] / 3600 - b["load_wh"]) > 1e-6 * max(b["load_wh"], 1.0):
            found.append("heat: what the board drew is not what warmed it")
        return found
