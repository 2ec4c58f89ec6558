"""What a campaign writes down: an ordered log with its digest, samples over time, passes, lives of the board."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from typing import Any

from swathpack.hil_tests.campaigns.injections import Injection
from swathpack.hil_tests.simulation.truth import WrongImage


@dataclass
class PassRecord:
    """One pass as it went. sent, arrived: bytes; lost, damaged: packets; queue: bytes waiting when it began."""

    number: int
    start_s: float
    end_s: float
    elevation_deg: float
    budget: int
    drain: bool = False
    sent: int = 0
    packets: int = 0
    arrived: int = 0
    lost: int = 0
    damaged: int = 0
    queue: int = 0
    left: int = 0
    grew: int = 0

    @property
    def fill(self) -> float:
        """Share of the budget that was used."""
        return self.sent / self.budget if self.budget else 0.0


@dataclass
class Life:
    """One run of the board's process. ended: exit status, None for the last."""

    start_s: float
    end_s: float = 0.0
    ended: int | None = None
    reason: str = ""
    undone: int = 0  # operations of the disk that the loss of power took back


@dataclass
class Record:
    """Everything that verdicts and reports are made from. log rows: (time, source, name, values)."""

    scenario: str = ""
    board: str = ""
    seed: int = 0
    days: float = 0.0
    credit: str = ""
    places: list[str] = field(default_factory=list)
    log: list[tuple[float, str, str, dict[str, Any]]] = field(default_factory=list)
    samples: list[dict[str, float]] = field(default_factory=list)
    passes: list[PassRecord] = field(default_factory=list)
    lives: list[Life] = field(default_factory=list)
    injections: list[Injection] = field(default_factory=list)
    wrong: list[WrongImage] = field(default_factory=list)
    quality: list[dict[str, Any]] = field(default_factory=list)
    shots: int = 0
    tile_frames: int = 0
    complete: int = 0
    missing: list[str] = field(default_factory=list)
    shrunk: list[str] = field(default_factory=list)
    over_budget: list[str] = field(default_factory=list)
    crashes: list[str] = field(default_factory=list)
    physics: list[str] = field(default_factory=list)
    books: dict[str, float] = field(default_factory=dict)
    link: dict[str, int] = field(default_factory=dict)
    ground: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    pictures: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    stopped: str = ""  # why the run is not whole
    wall_s: float = 0.0
    cpu_s: float = 0.0

    def note(self, time: float, source: str, name: str, /, **values: Any) -> None:
        """One row of the log."""
        self.log.append((round(time, 3), source, name, values))

    def digest(self) -> str:
        """SHA-256 of the log and the samples: the same scenario, seed, data and board give the same."""
        whole = hashlib.sha256()
        for row in self.log:
            whole.update(json.dumps(row, sort_keys=True).encode() + b"\n")
        for sample in self.samples:
            whole.update(json.dumps(sample, sort_keys=True).encode() + b"\n")
        return whole.hexdigest()
