"""The flight loop's configuration: a commented file to begin with, and a check of one that is there.

    swathpack mission --init mission.toml --budget plan/budget.toml --satellite sat-1
    swathpack mission mission.toml --check

The first writes every key with its default; the second reads the file and what it names (budget, link keys, a model of its
own) as `python -m swathpack.edge` does and prints the passes. docs/runtime.md describes the keys.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
from enum import Enum
from pathlib import Path
from typing import Any

from swathpack.edge.codec.model import EdgeModel, ModelError
from swathpack.edge.config import ConfigError, Mission, RegionConfig, guarantees, read_mission
from swathpack.edge.downlink.budget import Budget, BudgetError, format_time, read_budget
from swathpack.edge.outside import check_files, planned_passes, warnings
from swathpack.tools.errors import RefusedError, UsageError, UserError
from swathpack.tools.files.outputs import write_text
from swathpack.tools.options import expect

KEY_FILE = "link.keys"  # beside the mission
# What a key is for, where its name does not say it. A key without an entry stands alone.
WORDS = {
    "state": "folder of queue, contexts, spool and log",
    "model": "folder of a model instead of the shipped one",
    "source.kind": "folder, ring, tcp, udp, synthetic",
    "source.path": "of a folder",
    "source.name": "of a ring in shared memory",
    "source.settle_s": "a file must not have grown for this long",
    "source.count": "synthetic: frames in all, 0 for ever",
    "port.kind": "file, tcp, udp",
    "uplink.kind": "folder, udp",
    "uplink.insecure": "reports that nobody signs are taken, instead of a key_file",
    "uplink.key_file": "made by swathpack keys link.keys; the ground has a copy",
    "downlink.key_file": "signs every packet; the ground has a copy (receive --signed)",
    "passes.budget": "budget.toml of swathpack plan",
    "passes.satellite": "whose passes of the budget",
    "passes.bytes": "without a budget: bytes of every pass, and",
    "passes.every_s": "its interval",
    "passes.patience": "passes to wait for a report before sending again",
    "passes.paced": "send at the profile's rate",
    "context.policy": "confirmed: only what the ground has said it holds; sent: in hope",
    "coding.q": "quantiser step index, 0 fine to 63 coarse",
    "coding.mode": "learned, transform, or auto for the better of both, a tile",
    "coding.weights": "of the bands: equal, visible (blue, green, red twice), or auto by the rate and the frame",
    "coding.finest_dn": "of the transform coder's last bit plane",
    "coding.max_error": "no count comes back off by more than that; 0: lossless",
    "coding.base": "most octaves to the base layer's step",
    "coding.tile": 'side in pixels, a multiple of 64; above 256 with mode = "transform" alone',
    "coding.engine": "of the entropy network: auto, or a name of swathpack engines list",
    "coding.analysis": "float, int8",
    "coding.cloud_discount": "share of its weight that a clouded tile loses",
    "coding.rounds": "layers after which all tiles have had their turn",
    "link.reserve_bytes": "of the budget per commit",
    "link.erasure": "none, cauchy, raptorq",
    "throttle.max_power_w": "0: no limit",
    "throttle.min_energy": "0 to 1; 0: no limit",
    "limits.keep_frames": "confirmed, coded",
    "limits.memory_mb": "of the process, 0 for any",
}
REGION_WORDS = {
    "place": "the place's number, and tiles",
    "rows": "of it as receive --list names them: from the first to before the last",
    "max_error": "no count of these tiles comes back off by more than that; 0: lossless",
    "q": "in the place of coding.q",
    "finest_dn": "in the place of coding.finest_dn",
    "urgency": "1: down before all others",
}


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("mission", nargs="?", type=Path, help="mission.toml to check")
    parser.add_argument("--check", action="store_true", help="read the file, its budget and keys, print the passes")
    parser.add_argument("--init", type=Path, metavar="FILE", help="write a commented mission.toml, then stop")
    parser.add_argument("--budget", type=Path, help="with --init: budget.toml of swathpack plan")
    parser.add_argument("--satellite", help="with --budget: whose passes; needed where it plans several")


def run(args: argparse.Namespace) -> int:
    """Write or check. Raises UserError."""
    if args.init is not None:
        if args.mission is not None or args.check:
            raise UsageError("--init: expected neither a mission nor --check with it")
        return _init(args)
    if args.mission is None:
        raise UsageError("expected a mission.toml to check, or --init FILE")
    expect(args, "with --init only", "budget", "satellite")
    try:
        mission = read_mission(args.mission)
        check_files(mission)
        if mission.model is not None:
            EdgeModel(mission.model).check_files()
        budget = planned_passes(mission) if mission.passes.budget is not None else None
    except (ConfigError, ModelError) as error:
        said = str(error)
        raise UserError(said if said.startswith(str(args.mission)) else f"{args.mission}: {said}") from error
    every = f"{mission.passes.bytes} bytes every {mission.passes.every_s:g} s"
    print(f"{args.mission}: good; {_passes(budget) if budget is not None else every}")
    for line in guarantees(mission.coding):
        print(f"  {line}")
    for line in warnings(mission):
        print(f"  warning: {line}")
    return 0


def _passes(budget: Budget) -> str:
    rows = budget.passes
    name = ", ".join(budget.satellites())
    if not rows:
        return f"no pass of {name} in plan {budget.plan}"
    return (
        f"passes of {name} in plan {budget.plan}: {len(rows)}, {format_time(rows[0].start_s)[:19]}Z to "
        f"{format_time(rows[-1].end_s)[:19]}Z, {sum(row.bytes for row in rows) / 1e6:,.1f} MB"
    )


def _init(args: argparse.Namespace) -> int:
    given = {"passes.bytes": 2_000_000, "passes.every_s": 5400.0}
    if args.budget is not None:
        given = _of_budget(args.budget, args.satellite, args.init.parent)
    elif args.satellite is not None:
        raise UsageError("--satellite: expected with --budget only")
    if os.path.lexists(args.init):
        raise RefusedError(f"--init: {args.init} exists: give another name")
    write_text(args.init, template(given))
    keys = args.init.parent / KEY_FILE
    made = "" if keys.exists() else f"make its keys with: swathpack keys {keys}, and "
    print(f"wrote {args.init}; {made}check it with: swathpack mission {args.init} --check")
    return 0


def _of_budget(path: Path, satellite: str | None, folder: Path) -> dict[str, Any]:
    try:
        budget = read_budget(path, satellite)
    except BudgetError as error:
        raise UserError(f"--budget: {error}") from error
    names = budget.satellites()
    if satellite is None and len(names) > 1:
        raise UserError(f"--satellite: expected one of {', '.join(names)}, found none")
    return {"passes.budget": os.path.relpath(path, folder), "passes.satellite": satellite or "".join(names)}


def template(given: dict[str, Any]) -> str:
    """A mission.toml with these keys set, and all others as comments with their defaults; reports are to be signed."""
    given = {"uplink.key_file": KEY_FILE, **given}
    lines = ["# A mission for `python -m swathpack.edge --config THIS-FILE`. What stands behind a # is the default."]
    lines.append("# Paths start at this file. docs/runtime.md has more about the keys.")
    tables = [f for f in dataclasses.fields(Mission) if dataclasses.is_dataclass(f.default_factory)]
    lines += [_line(f, "", given) for f in dataclasses.fields(Mission) if f not in tables]
    for table in tables:
        kind: Any = table.default_factory
        lines += ["", f"[{table.name}]"]
        lines += [_line(f, f"{table.name}.", given) for f in dataclasses.fields(kind) if f.name != "regions"]
        if table.name == "coding":
            lines += ["#   regions of their own weight, one table each:", "#   [[coding.regions]]"]
            lines += [_region_line(f) for f in dataclasses.fields(RegionConfig)]
    return "\n".join(lines) + "\n"


def _region_line(item: dataclasses.Field[Any]) -> str:
    words = f"    # {REGION_WORDS[item.name]}" if item.name in REGION_WORDS else ""
    if item.default is None:
        return f"#   {item.name}:{words.replace('    #', '')} (not set)"
    return f"#   {item.name} = {_toml(item.default)}{words}"


def _line(item: dataclasses.Field[Any], prefix: str, given: dict[str, Any]) -> str:
    key = prefix + item.name
    words = f"    # {WORDS[key]}" if key in WORDS else ""
    if key in given:
        return f"{item.name} = {_toml(given[key])}{words}"
    if item.default is None:
        return f"#   {item.name}: {WORDS.get(key, 'a path')} (not set)"
    return f"# {item.name} = {_toml(item.default)}{words}"


def _toml(value: Any) -> str:
    if isinstance(value, tuple):
        return f"[{', '.join(_toml(item) for item in value)}]"
    if isinstance(value, Enum):
        value = value.value
    if isinstance(value, (str, Path)):
        return json.dumps(str(value), ensure_ascii=False)
    return str(value).lower() if isinstance(value, bool) else repr(value)
