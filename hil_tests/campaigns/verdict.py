"""The requirements of a campaign and whether it met them; the fault table."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

import numpy as np

from swathpack.hil_tests.campaigns.injections import Injection
from swathpack.hil_tests.campaigns.record import Record
from swathpack.hil_tests.scenario.catalogue import CATALOGUE
from swathpack.hil_tests.scenario.read import Scenario

STOPPED = "Ran to its end"  # the name of what a run stopped by hand does not meet


@dataclass(frozen=True)
class Verdict:
    """One requirement. found: what was measured, with its number; details: the cases against it."""

    name: str
    good: bool
    found: str
    details: tuple[str, ...] = ()


@dataclass(frozen=True)
class FaultRow:
    """One kind of fault. told: noticed by the system; harmless: shown to change nothing; carried: needs no notice."""

    kind: str
    what: str
    notice: str
    injected: int
    told: int
    harmless: int
    recovered: int
    lost: int
    slowest_told_s: float
    slowest_recovery_s: float

    @property
    def good(self) -> bool:
        """Every one noticed or harmless, every one over, nothing lost."""
        noticed = self.told + self.harmless if self.notice else self.injected
        return noticed == self.injected == self.recovered and not self.lost


def fault_table(record: Record) -> list[FaultRow]:
    """One row for every kind of the scenario, in the catalogue's order."""
    by_kind: dict[str, list[Injection]] = defaultdict(list)
    for injection in record.injections:
        by_kind[injection.kind].append(injection)
    return [_row(kind, by_kind[kind]) for kind in CATALOGUE if by_kind[kind]]


def _row(kind: str, injections: list[Injection]) -> FaultRow:
    done = [i for i in injections if i.injected]
    told = [i for i in done if i.told_at]
    over = [i for i in done if i.recovered_at]
    entry = CATALOGUE[kind]
    return FaultRow(
        kind,
        entry.what,
        entry.told,
        len(done),
        len(told),
        sum(1 for i in done if i.harmless and not i.told_at),
        len(over),
        sum(len(i.lost) for i in done),
        max((i.told_at - i.time for i in told), default=0.0),
        max((i.recovered_at - i.time for i in over), default=0.0),
    )


def verdicts(record: Record, scenario: Scenario) -> list[Verdict]:
    """All requirements, those of the scenario first; a run that was stopped does not meet them."""
    r, need = record, scenario.require
    flown = [p for p in r.passes if not p.drain]
    used = [p for p in flown if p.packets]
    rows = fault_table(r)
    found = [
        Verdict("Simulated time", r.days >= need.days, f"{r.days:g} days, at least {need.days:g} asked for"),
        Verdict(
            "Passes with traffic",
            len(used) >= need.passes,
            f"{len(used)} of {len(flown)}, at least {need.passes} asked for",
        ),
        _injected(rows, need.injections),
        _rows("Every fault is noticed", rows, r, lambda i: bool(i.told_at or i.harmless or not CATALOGUE[i.kind].told)),
        _rows("Every fault is over in the end", rows, r, lambda i: bool(i.recovered_at)),
        Verdict(
            "Nothing lost",
            not r.missing,
            f"{r.complete} of {r.tile_frames} tile-frames taken in are at the ground to the last layer",
            tuple(r.missing),
        ),
        Verdict(
            "Nothing confirmed is lost",
            not r.shrunk,
            f"{r.tile_frames - len(r.shrunk)} tile-frames never held less than before",
            tuple(r.shrunk),
        ),
        Verdict(
            "No wrong image",
            not r.wrong,
            f"{len(r.quality)} decoded tile-frames compared, {len(r.wrong)} wrong",
            tuple(f"tile {w.key.tile} at {w.key.time}: {w.layers} layers against {w.against}" for w in r.wrong),
        ),
        Verdict(
            "No budget exceeded",
            not r.over_budget,
            f"{len(r.passes)} passes, {len(r.over_budget)} over",
            tuple(r.over_budget),
        ),
        Verdict(
            "No crash of its own",
            not r.crashes,
            f"{len(r.lives)} lives of the board, {len(r.crashes)} ended unasked",
            tuple(r.crashes),
        ),
        Verdict(
            "Energy, heat, bytes and geometry balance",
            not r.physics,
            f"{r.books.get('load_wh', 0):.1f} Wh drawn, {r.link.get('bytes sent', 0)} bytes sent",
            tuple(r.physics),
        ),
        _quality(r, need.psnr_db),
    ]
    if r.stopped:
        text = f"{r.stopped}; what was under way counts as it stood"
        found.insert(0, Verdict(STOPPED, False, text))
    return found


def _injected(rows: list[FaultRow], least: int) -> Verdict:
    few = tuple(f"{row.kind}: {row.injected}" for row in rows if row.injected < least)
    total = sum(row.injected for row in rows)
    return Verdict(
        "Every fault class injected",
        not few,
        f"{total} faults of {len(rows)} classes, at least {least} of each asked for",
        few,
    )


def _rows(name: str, rows: list[FaultRow], record: Record, good) -> Verdict:  # type: ignore[no-untyped-def]
    done = [i for i in record.injections if i.injected]
    bad = [i for i in done if not good(i)]
    cases = tuple(f"{i.kind} number {i.number} at {i.time:.0f} {i.what}" for i in bad)
    return Verdict(name, not bad, f"{len(done) - len(bad)} of {len(done)}", cases)


def _quality(record: Record, least: float) -> Verdict:
    last = final_psnr(record)
    median = float(np.median(list(last.values()))) if last else 0.0
    return Verdict(
        "Image quality in the end",
        median >= least,
        f"median PSNR {median:.1f} dB over {len(last)} tile-frames, at least {least:g} asked for",
    )


def final_psnr(record: Record) -> dict[tuple[int, int], float]:
    """(tile, time) -> PSNR of what the ground held in the end."""
    return {(row["tile"], row["time"]): row["psnr"] for row in record.quality}
