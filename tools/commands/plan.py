"""Plan the downlink: from orbit, stations, radio and camera to passes, budgets and image quality.

    swathpack plan s-band-cubesat                              a preset, or a plan file of your own
    swathpack plan my.toml --days 30 --out plan         writes plan.html, budget.toml, passes.csv, plan.json
    swathpack plan s-band-cubesat --compare s-band-cubesat-4-stations x-band-smallsat
    swathpack plan s-band-cubesat --sweep radio.bitrate_mbit_s=1:4:0.5    one key at several values, with charts
    swathpack plan --init my.toml                              a commented plan file to begin with
    swathpack plan my.toml --export ics czml json xml          the schedule for calendars, globes, ground networks
    swathpack plan my.toml other.toml --check                  reads, finds passes, tries the budget; writes nothing
    swathpack plan --presets                                   lists the presets

Prints a table; budget.toml is what the board and the simulated link read.
docs/plan.md describes the plan file.
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Callable
from pathlib import Path

from swathpack.edge.downlink.budget import parse_time
from swathpack.tools.errors import RefusedError, UsageError, UserError
from swathpack.tools.files.outputs import Output, add_force, check_output, write_text
from swathpack.tools.options import expect

FILES = ("budget.toml", "passes.csv", "plan.json", "plan.html", "plan.png")
EXPORTS = ("ics", "czml", "json", "xml")


def add_arguments(parser: argparse.ArgumentParser) -> None:

    parser.add_argument("plan", nargs="*", help="plan file (TOML) or the name of a preset; several with --check")
    parser.add_argument("--out", type=Path, help="folder for the files (default: plan-NAME)")
    parser.add_argument("--days", type=float, help="length of the plan in days (default: as the file says)")
    parser.add_argument("--seed", type=int, help="seed of the uncertainty figures")
    parser.add_argument("--start", help="first moment, UTC, such as 2026-12-01T00:00:00Z")
    parser.add_argument(
        "--compare", metavar="OTHER", nargs="+", default=[], help="further plans to set beside the first"
    )
    parser.add_argument(
        "--sweep",
        metavar="KEY=A:B:STEP",
        help="work the plan out at every value of a key, such as station.tromso.min_elevation_deg=0:20:5",
    )
    parser.add_argument(
        "--check",
        action="store_true",
        help="read the plans (without one: all presets) and try their budgets as the board does",
    )
    parser.add_argument("--init", metavar="FILE", type=Path, help="write a commented plan file, then stop")
    parser.add_argument(
        "--export",
        nargs="+",
        default=[],
        choices=EXPORTS,
        metavar="FORMAT",
        help="also write the schedule as ics (calendar), czml (globe), json, xml (CCSDS 902.1)",
    )
    parser.add_argument("--png", action="store_true", help="also draw the page's charts into plan.png")
    add_force(parser)
    parser.add_argument("--no-files", action="store_true", help="only print the table")
    parser.add_argument("--presets", action="store_true", help="list the presets and the stations, then stop")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print, write. Raises UserError for bad input."""
    _check_options(args)
    if args.presets:
        print(_presets())
        return 0
    if args.init is not None:
        return _init(args.init)
    if not args.plan and not args.check:
        raise UsageError("expected a plan file or preset (see: swathpack plan --presets)")
    if len(args.plan) > 1 and not args.check:
        raise UsageError(f"expected one plan, found {', '.join(args.plan)}; --compare sets others beside it")
    _need_packages()
    return _check(args) if args.check else _sweep(args) if args.sweep else _plan(args)


def _check_options(args: argparse.Namespace) -> None:
    """What would be ignored beside other options. Raises UsageError."""
    work = ("compare", "sweep", "export", "png")
    for alone in ("presets", "init"):
        if getattr(args, alone):
            if args.plan:
                raise UsageError(f"--{alone}: expected no plan with it, found {', '.join(args.plan)}")
            others = ("check", "init") if alone == "presets" else ("check",)
            expect(args, f"without --{alone}", *others, *work, "days", "seed", "start", "out", "no_files")
    if args.check:
        expect(args, "without --check, which takes several plans and makes no files", *work, "out", "no_files")
    if args.sweep:
        expect(args, "without --sweep, which writes sweep.csv and sweep.html", "export", "png")
    if args.no_files:
        expect(args, "without --no-files", "out", "export", "png")


def _plan(args: argparse.Namespace) -> int:
    from swathpack.tools.plan import exports, report
    from swathpack.tools.plan.model import evaluate

    plans = [_read(args, name) for name in (*args.plan, *args.compare)]
    names = [plan.name for plan in plans]
    if len(set(names)) < len(names):
        raise UsageError(f"--compare: expected plans with names of their own, found {', '.join(names)}")
    exported = tuple(exports.FORMATS[name][0] for name in args.export)
    folder = _folder(args, plans, (*FILES, *exported))
    outcomes = [evaluate(plan) for plan in plans]
    print("\n\n".join(report.table(outcome) for outcome in outcomes))
    if len(outcomes) > 1:
        print(f"\n{report.compare_table(outcomes)}")
    if not args.no_files:
        _save(folder, lambda place: _write(args, outcomes, place))
    return 0


def _check(args: argparse.Namespace) -> int:
    from swathpack.tools.plan.check import check
    from swathpack.tools.plan.document import presets

    for name in args.plan or presets():
        print("\n".join(check(_read(args, name))))
    return 0


def _sweep(args: argparse.Namespace) -> int:
    from swathpack.tools.plan import sweep
    from swathpack.tools.plan.model import evaluate

    if args.compare:
        raise UsageError("--sweep and --compare: expected one of them")
    key, values = sweep.parse_sweep(args.sweep)
    plans = [_read(args, args.plan[0], {key: value}) for value in values]
    folder = _folder(args, plans[:1], ("sweep.csv", "sweep.html"))
    outcomes = [evaluate(plan) for plan in plans]
    print(sweep.table(key, values, outcomes))
    if not args.no_files:
        _save(folder, lambda place: sweep.write(key, values, outcomes, place))
    return 0


def _init(path: Path) -> int:
    """The template under a name that is free."""
    from swathpack.tools.plan.document import TEMPLATE

    text = TEMPLATE.read_text(encoding="utf-8")
    if os.path.lexists(path):
        raise RefusedError(f"--init: {path} exists: give another name")
    write_text(path, text)
    print(f"wrote {path}; check it with: swathpack plan {path} --check")
    return 0


def _write(args: argparse.Namespace, outcomes: list, folder: Path) -> list[Path]:  # type: ignore[type-arg]
    """The first plan's files and the page; with --compare each other plan's files in a folder below."""
    from swathpack.tools.plan import exports, page, report

    first = outcomes[0]
    written = []
    for outcome in outcomes:
        own = folder if outcome is first else folder / outcome.plan.name
        written += report.write_files(outcome, own) + exports.write(outcome, own, args.export)
    written.append(folder / "plan.html")
    written[-1].write_text(page.render(outcomes), encoding="utf-8")
    if args.png:
        from swathpack.tools.plan.picture import draw

        written.append(draw(first, folder / "plan.png"))
    return written


def _folder(args: argparse.Namespace, plans: list, names: tuple[str, ...]) -> Path:  # type: ignore[type-arg]
    """Where to write; refused before the work when a file of these names is there, or is a plan that was read."""
    folder: Path = args.out or Path(f"plan-{plans[0].name}")
    inputs = [Path(name) for name in (*args.plan, *args.compare) if Path(name).is_file()]
    for place in (folder, *(folder / plan.name for plan in plans[1:])):
        for name in names if not args.no_files else ():
            check_output(place / name, inputs, args.force)
        if not args.no_files:
            Output(place, force=True, folder=True)
    return folder


def _save(folder: Path, write: Callable[[Path], list[Path]]) -> None:
    """All files or none, each in one step."""
    with Output(folder, force=True, folder=True) as place:
        written = [path.relative_to(place) for path in write(place)]
    print("\n" + "\n".join(f"wrote {folder / path}" for path in written))


def _read(args: argparse.Namespace, name: str, changes=None):  # type: ignore[no-untyped-def]
    from swathpack.tools.plan.inputs import read_plan

    if args.seed is not None and not 0 <= args.seed < 2**63:
        raise UsageError(f"--seed: expected 0 or more, below 2^63, found {args.seed}")
    try:
        start = None if args.start is None else parse_time(args.start)
    except ValueError:
        raise UsageError(f"--start: expected a UTC time such as 2026-12-01T00:00:00Z, found {args.start!r}") from None
    return read_plan(name, days=args.days, seed=args.seed, start_s=start, changes=changes)


def _presets() -> str:
    from swathpack.tools.plan.document import ROWS, find_plan, load_document, presets
    from swathpack.tools.plan.stations import catalogue
    from swathpack.tools.words import plural

    lines = ["presets:"]
    for name in presets():
        document = load_document(find_plan(name))
        counts = [plural(len(document.get(key, [])), key) for key in ROWS] + [plural(document.get("days", 7), "day")]
        lines.append(f"  {name:<28}{document.get('description', '')} ({', '.join(counts)})")
    lines.append('stations (use = "name"):')
    lines += [
        f"  {name:<20}{row['latitude_deg']:>8.2f} {row['longitude_deg']:>8.2f}  {row.get('network', '')}"
        for name, row in catalogue().items()
    ]
    return "\n".join(lines)


def _need_packages() -> None:
    try:
        import scipy  # noqa: F401
        import sgp4  # noqa: F401
        import skyfield  # noqa: F401
    except ModuleNotFoundError as error:
        raise UserError(
            f"{error.name} is not installed; install the planner's packages with `pip install 'swathpack[plan]'`"
        ) from None
