"""Plan the downlink: from orbit, stations, radio and camera to passes, budgets and image quality.

    swathpack plan s-band-cubesat                              a preset, or a plan file of your own
    swathpack plan my.toml --days 30 --out plan         writes plan.html, budget.toml, passes.csv, plan.json
    swathpack plan s-band-cubesat --compare s-band-cubesat-4-stations
    swathpack plan --presets                                   lists the presets

Prints a table; budget.toml is what the board and the simulated link read.
docs/plan.md describes the plan file.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from swathpack.edge.downlink.budget import parse_time
from swathpack.tools.errors import UserError


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `swathpack plan`."""
    parser.add_argument("plan", nargs="?", help="plan file (TOML) or the name of a preset")
    parser.add_argument("--out", type=Path, help="folder for the files (default: plan-NAME)")
    parser.add_argument("--days", type=float, help="length of the plan in days (default: as the file says)")
    parser.add_argument("--seed", type=int, help="seed of the uncertainty figures")
    parser.add_argument("--start", help="first moment, UTC, such as 2026-12-01T00:00:00Z")
    parser.add_argument("--compare", metavar="OTHER", help="a second plan to set beside the first")
    parser.add_argument("--png", action="store_true", help="also draw the page's charts into plan.png")
    parser.add_argument("--no-files", action="store_true", help="only print the table")
    parser.add_argument("--presets", action="store_true", help="list the presets and the stations, then stop")


def run(args: argparse.Namespace) -> int:
    """Evaluate, print, write. Raises UserError for bad input."""
    if args.presets:
        print(_presets())
        return 0
    if args.plan is None:
        raise UserError("expected a plan file or preset (see: swathpack plan --presets)")
    _need_packages()
    from swathpack.tools.plan import report
    from swathpack.tools.plan.model import evaluate

    outcomes = [evaluate(_read(args, name)) for name in (args.plan, args.compare) if name is not None]
    print(report.table(outcomes[0]))
    if len(outcomes) == 2:
        print(f"\n{report.table(outcomes[1])}\n\n{report.compare_table(*outcomes)}")
    if not args.no_files:
        _write(args, outcomes)
    return 0


def _write(args: argparse.Namespace, outcomes: list) -> None:  # type: ignore[type-arg]
    """The first plan's files and the page; with --compare the second plan's files in a folder below."""
    from swathpack.tools.plan import page, report

    first = outcomes[0]
    folder = args.out or Path(f"plan-{first.plan.name}")
    try:
        written = report.write_files(first, folder)
        if len(outcomes) == 2:
            written += report.write_files(outcomes[1], folder / outcomes[1].plan.name)
        written.append(folder / "plan.html")
        written[-1].write_text(page.render(outcomes), encoding="utf-8")
        if args.png:
            from swathpack.tools.plan.picture import draw

            written.append(draw(first, folder / "plan.png"))
    except OSError as error:
        raise UserError(f"cannot write into {folder}: {error}") from None
    print("\n" + "\n".join(f"wrote {path}" for path in written))


def _read(args: argparse.Namespace, name: str):  # type: ignore[no-untyped-def]
    from swathpack.tools.plan.inputs import read_plan

    if args.seed is not None and not 0 <= args.seed < 2**63:
        raise UserError(f"--seed: expected 0 or more, below 2^63, found {args.seed}")
    try:
        start = None if args.start is None else parse_time(args.start)
    except ValueError:
        raise UserError(f"--start: expected a UTC time such as 2026-12-01T00:00:00Z, found {args.start!r}") from None
    return read_plan(name, days=args.days, seed=args.seed, start_s=start)


def _presets() -> str:
    from swathpack.edge.toml_lite import loads
    from swathpack.tools.plan.inputs import PRESETS
    from swathpack.tools.plan.stations import catalogue

    lines = ["presets:"]
    for path in sorted(PRESETS.glob("*.toml")):
        document = loads(path.read_text(encoding="utf-8"))
        if "name" in document:
            lines.append(f"  {document['name']:<28}{document.get('description', '')}")
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
