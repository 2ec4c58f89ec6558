"""A campaign's results for programs: campaign.json, junit.xml, events.jsonl, and the scenario as it was run."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path
from typing import Any
from xml.sax.saxutils import quoteattr

from swathpack.hil_tests.campaigns.record import Record
from swathpack.hil_tests.campaigns.verdict import Verdict, fault_table
from swathpack.hil_tests.scenario.read import Scenario, to_toml
from swathpack.tools.files.outputs import write_text


def write(record: Record, scenario: Scenario, found: list[Verdict], folder: Path) -> list[Path]:
    """Write all files; returns their paths."""
    texts = {
        "campaign.json": json.dumps(summary(record, found), indent=1, sort_keys=True) + "\n",
        "junit.xml": junit(record, found),
        "events.jsonl": "".join(json.dumps(row, sort_keys=True) + "\n" for row in record.log),
        "scenario.toml": to_toml(scenario),
    }
    paths = []
    for name, text in texts.items():
        paths.append(folder / name)
        write_text(paths[-1], text)
    return paths


def summary(record: Record, found: list[Verdict]) -> dict[str, Any]:
    """Everything but the log and the samples."""
    left_out = ("log", "samples", "pictures", "quality")
    whole = {f.name: getattr(record, f.name) for f in dataclasses.fields(record) if f.name not in left_out}
    plain = json.loads(json.dumps(whole, default=dataclasses.asdict))
    out: dict[str, Any] = plain | {
        "schema": "swathpack-hil-1",
        "digest": record.digest(),
        "good": all(v.good for v in found),
        "verdicts": [dataclasses.asdict(v) for v in found],
        "faults": [dataclasses.asdict(row) | {"good": row.good} for row in fault_table(record)],
    }
    return out


def junit(record: Record, found: list[Verdict]) -> str:
    """One test case for every requirement and every fault class (the JUnit XML that CI systems read)."""
    cases = [(v.name, v.good, v.found + "".join(f"\n{d}" for d in v.details[:40])) for v in found]
    cases += [
        (
            f"fault {row.kind}",
            row.good,
            f"injected {row.injected}, noticed {row.told}, harmless {row.harmless}, over "
            f"{row.recovered}, lost {row.lost}",
        )
        for row in fault_table(record)
    ]
    failures = sum(not good for _, good, _ in cases)
    name = quoteattr(f"hil.{record.scenario}.{record.board}")
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<testsuite name={name} tests="{len(cases)}" failures="{failures}" errors="0" time="{record.wall_s:.1f}">',
    ]
    for title, good, text in cases:
        head = f"  <testcase classname={name} name={quoteattr(title)}"
        lines.append(head + "/>" if good else f"{head}><failure message={quoteattr(text)}/></testcase>")
    return "\n".join([*lines, "</testsuite>", ""])


def table(record: Record, found: list[Verdict]) -> str:
    """What the command prints."""
    lines = [
        f"{record.scenario} on {record.board}, seed {record.seed}: {record.days:g} days, {len(record.lives)} lives of "
        f"the board, {record.wall_s:.0f} s ({record.cpu_s:.0f} s CPU)",
        f"digest {record.digest()}",
        "",
    ]
    for v in found:
        lines.append(f"  {'good' if v.good else 'BAD ':5}{v.name}: {v.found}")
        lines += [f"         {d}" for d in v.details[:5]]
    lines += ["", f"  {'fault':20}injected  noticed  harmless   over   lost"]
    for row in fault_table(record):
        told = f"{row.told:9}" if row.notice else "  carried"
        lines.append(
            f"  {row.kind:20}{row.injected:8}{told}{row.harmless:10}{row.recovered:7}{row.lost:7}"
            + ("" if row.good else "   BAD")
        )
    lines += [f"  note: {note}" for note in sorted(set(record.notes))]
    return "\n".join(lines)
