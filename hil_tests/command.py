"""Run a campaign: simulated sensor, orbit, link, ground and faults around the real flight software on a board.

    swathpack hil standard --out campaign                       30 days against a process on this machine
    swathpack hil my.toml --board emulated-orin --out campaign  the same scenario on an emulated aarch64 board
    swathpack hil my.toml --board ssh:user@orin.local --out campaign
    swathpack hil my.toml --check                               reads it, places its faults, runs nothing
    swathpack hil --list                                        the shipped scenarios

Prints the verdict of every requirement and the fault table; writes report.html, campaign.json, junit.xml, events.jsonl
and scenario.toml. Exit code 1 when a requirement is not met, 130 after Ctrl-C, with a report of what ran until then.
docs/hil.md describes scenario files.
"""

from __future__ import annotations

import argparse
import dataclasses
import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from swathpack.tools.errors import RefusedError, UsageError, UserError
from swathpack.tools.ground.database import GroundStoreError
from swathpack.tools.options import expect

MARK = "board.log"  # what only a campaign's folder holds


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Arguments of `swathpack hil`."""
    parser.add_argument("scenario", nargs="?", help="scenario file (TOML), or the name of a shipped one")
    parser.add_argument("--board", default="local", help="local, emulated-orin or ssh:user@host (default: local)")
    parser.add_argument(
        "--out", type=Path, help="folder for state and report (default: hil-NAME); an earlier campaign's is replaced"
    )
    parser.add_argument(
        "--data", type=Path, help="folder of cubes with a catalog.json (default: ../shared/data where it is)"
    )
    parser.add_argument("--days", type=float, help="length in days (default: as the file says)")
    parser.add_argument("--seed", type=int, help="seed of everything that is drawn (default: as the file says)")
    parser.add_argument("--check", action="store_true", help="read and place everything, say what would run, then stop")
    parser.add_argument("--list", action="store_true", help="list the shipped scenarios, then stop")


def run(args: argparse.Namespace) -> int:
    """Run, print, write. Raises UserError for bad input."""
    from swathpack.hil_tests.scenario.read import FOLDER, read_scenario

    _check_options(args)
    if args.list:
        for path in sorted(FOLDER.glob("*.toml")):
            print(f"{path.stem:12}{read_scenario(str(path)).description}")
        return 0
    if args.scenario is None:
        raise UsageError("expected a scenario (see: swathpack hil --list)")
    scenario = read_scenario(args.scenario, args.days, args.seed)
    from swathpack.hil_tests.boards.launch import check_board
    from swathpack.hil_tests.campaigns.prepare import describe, prepare

    check_board(args.board)
    folder = args.out or Path(f"hil-{scenario.name}")
    if not args.check:
        _check_folder(folder)
    ready = prepare(scenario, args.data)
    if args.check:
        print(describe(scenario, ready))
        return 0
    from swathpack.hil_tests.campaigns.verdict import STOPPED
    from swathpack.hil_tests.report.write import run_and_report

    with in_its_place(folder):
        found, text = run_and_report(scenario, args.board, folder, args.data, ready)
    print(f"{text}\n\nreport: {folder / 'report.html'}")
    if found[0].name == STOPPED:
        return 130
    return 0 if all(v.good for v in found) else 1


def _check_options(args: argparse.Namespace) -> None:
    """What is out of its range, or would be ignored beside other options. Raises UsageError."""
    from swathpack.hil_tests.scenario.read import Scenario

    if args.list:
        if args.scenario is not None or args.check:
            raise UsageError("--list: expected neither a scenario nor --check with it")
        expect(args, "without --list", "out", "data", "days", "seed", board="local")
    if args.check:
        expect(args, "without --check, which writes nothing", "out")
    ranges = {field.name: field.metadata for field in dataclasses.fields(Scenario)}
    for name in ("days", "seed"):
        value, low, high = getattr(args, name), ranges[name]["low"], ranges[name]["high"]
        if value is not None and not low <= value <= high:
            raise UsageError(f"--{name}: expected {low:g} to {high}, found {value:.12g}")


def _check_folder(folder: Path) -> None:
    """Only a new folder or an earlier campaign's is written into. Raises RefusedError."""
    if folder.exists() and not folder.is_dir():
        raise RefusedError(f"--out {folder}: expected a folder, found a file")
    if folder.is_dir() and any(folder.iterdir()) and not (folder / MARK).exists():
        raise RefusedError(f"--out {folder}: not empty, and no earlier campaign's folder")


@contextmanager
def in_its_place(folder: Path) -> Iterator[None]:
    """A new folder where an earlier campaign's may be: that one steps aside, and comes back whole unless the new campaign
    gets as far as its report. Raises UserError.
    """
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=f".{folder.name}.", suffix=".part", dir=folder.parent) as place:
            earlier = Path(place) / folder.name
            if folder.is_dir():
                os.replace(folder, earlier)
            try:
                folder.mkdir()
                (folder / MARK).touch()
                yield
            except BaseException:
                shutil.rmtree(folder, ignore_errors=True)
                if earlier.is_dir():
                    os.replace(earlier, folder)
                raise
    except (OSError, GroundStoreError) as error:
        raise UserError(f"--out {folder}: {getattr(error, 'strerror', None) or error}") from error
