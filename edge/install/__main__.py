"""The board's side of `swathpack flash`, run as root with the system's Python; answers in JSON lines.

    python3 -m swathpack.edge.install facts | status | logs [--lines N]
    python3 -m swathpack.edge.install have --sha256 D              bytes of that bundle that are here already
    python3 -m swathpack.edge.install receive --sha256 D --bytes N --from M < rest-of-the-bundle
    python3 -m swathpack.edge.install install --sha256 D [--clock SECONDS]
    python3 -m swathpack.edge.install install --path bundle.tar    one that was put there before (first boot)
    python3 -m swathpack.edge.install wait --seconds S             until the runtime is ready, or the other slot flies
    python3 -m swathpack.edge.install rollback
    python3 -m swathpack.edge.install startup | confirm            called by the systemd unit

Status 0 when done, 1 when something failed, 2 when the bundle or the board was refused.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import shutil
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from swathpack.edge.install.agent import agent_paths
from swathpack.edge.install.facts import read_facts
from swathpack.edge.install.installer import Installer, roll_back
from swathpack.edge.install.keys import apply_changes, read_ring
from swathpack.edge.install.manifest import Refused
from swathpack.edge.install.receive import bundle_path, bytes_here, receive
from swathpack.edge.install.record import Record
from swathpack.edge.install.report import Reporter
from swathpack.edge.install.service import (
    UNIT,
    Places,
    ensure_started,
    place_fallback,
    place_unit,
    systemctl,
    unit_is_of_another_slot,
)
from swathpack.edge.install.slots import MAX_TRIES, Slots
from swathpack.edge.install.verify import check_slot, read_slot_manifest
from swathpack.edge.spoken import reason
from swathpack.edge.storage.durable import make_folder, replace_durably, sync_tree

PROTOCOL = 1


def main(argv: list[str] | None = None) -> int:
    args = _parser().parse_args(argv)
    places = Places(args.root)
    report = Reporter(places.log)
    try:
        return _ACTIONS[args.action](args, places, report)
    except Refused as refused:
        report.say(args.action, "refused", str(refused), reason=refused.reason)
        return 2
    except (OSError, ValueError) as error:
        report.say(args.action, "failed", f"{type(error).__name__}: {error}")
        return 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="python3 -m swathpack.edge.install",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("action", choices=sorted(_ACTIONS))
    parser.add_argument("--root", type=Path, default=Path("/"))
    parser.add_argument("--sha256", default="")
    parser.add_argument("--path", type=Path)
    parser.add_argument("--bytes", type=int, default=0)
    parser.add_argument("--from", type=int, default=0, dest="start")
    parser.add_argument("--clock", type=float)
    parser.add_argument("--lines", type=int, default=50)
    parser.add_argument("--seconds", type=float, default=600.0)
    return parser


def _facts(args: argparse.Namespace, places: Places, report: Reporter) -> int:
    facts = asdict(read_facts(places.base, places.root))
    keys, record = sorted(read_ring(places.trusted).keys), asdict(Slots(places.base).read())
    _answer({"protocol": PROTOCOL, "facts": facts, "trusted": keys, "record": record})
    return 0


def _status(args: argparse.Namespace, places: Places, report: Reporter) -> int:
    slots = Slots(places.base)
    active = ""
    if shutil.which("systemctl"):
        active = systemctl("is-active", UNIT).stdout.strip()
    facts = asdict(read_facts(places.base, places.root))
    answer = {"record": asdict(slots.read()), "trouble": slots.trouble(), "service": active, "facts": facts}
    _answer({**answer, "max_tries": MAX_TRIES})
    return 0


def _logs(args: argparse.Namespace, places: Places, report: Reporter) -> int:
    lines = places.log.read_text().splitlines() if places.log.exists() else []
    sys.stdout.write("\n".join([*lines[-args.lines :], ""]))
    return 0


def _have(args: argparse.Namespace, places: Places, report: Reporter) -> int:
    _answer({"bytes": bytes_here(places.base, args.sha256)})
    return 0


def _receive(args: argparse.Namespace, places: Places, report: Reporter) -> int:
    receive(places.base, args.sha256, args.bytes, args.start, sys.stdin.buffer)
    report.say("receive", "done", f"{args.bytes >> 20} MB")
    return 0


def _install(args: argparse.Namespace, places: Places, report: Reporter) -> int:
    path = args.path or bundle_path(places.base, args.sha256)
    if not path.exists():
        raise Refused("missing", f"{path} is not here")
    return Installer(places, report, args.clock).install(path)


def _wait(args: argparse.Namespace, places: Places, report: Reporter) -> int:
    """0 when the slot that was switched to has proved itself, 1 when it has not."""
    slots, begin = Slots(places.base), time.monotonic()
    wanted, told = slots.read().active, 0.0
    if wanted:
        ensure_started(slots.folder(wanted), slots.folder(slots.read().other), places)
    while time.monotonic() - begin < args.seconds:
        record = slots.read()
        if record.active != wanted:
            report.say("start", "failed", record.last)
            return 1
        if record.tries == 0 and record.slots[wanted].good:
            report.say("start", "done", f"the runtime of slot {wanted} is ready")
            return 0
        if time.monotonic() - told > 5.0:
            told = time.monotonic()
            report.say("start", "progress", f"start {record.tries} of {MAX_TRIES}, {told - begin:.0f} s")
        time.sleep(0.25)
    report.say("start", "failed", f"not ready after {args.seconds:.0f} s")
    return 1


def _rollback(args: argparse.Namespace, places: Places, report: Reporter) -> int:
    return roll_back(places, report)


def _startup(args: argparse.Namespace, places: Places, report: Reporter) -> int:
    """Before the runtime: count the start, fall back after too many, check the files."""
    slots = Slots(places.base)
    trouble = slots.trouble()
    if trouble:
        report.say("record", "note", trouble)
    record, fell_back = slots.begin_start()
    if not record.active:
        raise Refused("no-slot", "no slot is installed")
    slot = slots.folder(record.active)
    if fell_back:
        report.say("start", "failed", record.last)
    if fell_back or unit_is_of_another_slot(slot, slots.folder(record.other), places):
        place_unit(slot, places)
        slots.update(lambda now: replace(now, tries=now.tries - 1))
        return 1  # systemd starts again, with this slot's unit
    report.say("start", "begin", f"slot {record.active}, start {record.tries}")
    check_slot(slot, record.slots[record.active].bundle)
    return 0


def _confirm(args: argparse.Namespace, places: Places, report: Reporter) -> int:
    """After the runtime has said that it is ready: the slot is good, and its installer is used from now on."""
    slots = Slots(places.base)
    if not slots.read().active:
        raise Refused("no-slot", "no slot is installed")
    record = slots.confirm()
    try:
        _renew(slots, record, places)
    except (OSError, Refused) as error:
        # A status other than 0 would end the runtime, which is well.
        report.say("start", "note", f"the installer stays as it is: {reason(error)}")
    report.say("start", "done", f"slot {record.active} is ready")
    return 0


def _renew(slots: Slots, record: Record, places: Places) -> None:
    """The bundle's changes of keys take effect. Installer and fallback of this slot, unless newer ones are in use: an
    older one may not read their record.
    """
    slot = slots.folder(record.active)
    apply_changes(places.trusted, read_slot_manifest(slot, record.slots[record.active].bundle).keys)
    release = record.slots[record.active].release
    if release >= record.agent:
        _renew_agent(slot / "runtime/swathpack", places.base / "agent")
        place_fallback(slot, places)
    if release > record.agent:
        slots.update(lambda now: replace(now, agent=release))


def _renew_agent(package: Path, agent: Path) -> None:
    """Point the link `agent` at a copy of this slot's installer: the slot itself may be replaced later."""
    files = agent_paths(package)
    name = hashlib.sha256(b"\0".join(path.read_bytes() for path in files)).hexdigest()[:16]
    folder, link = agent.with_name("agents") / name, agent.with_name("agent.part")
    if agent.is_symlink() and agent.resolve() == folder.resolve():
        return
    shutil.rmtree(folder, ignore_errors=True)
    for path in files:
        target = folder / "swathpack" / path.relative_to(package)
        make_folder(target.parent)
        shutil.copyfile(path, target)
    sync_tree(folder)
    link.unlink(missing_ok=True)
    link.symlink_to(Path("agents") / name)
    replace_durably(link, agent)


def _answer(value: object) -> None:
    sys.stdout.write(json.dumps(value) + "\n")


_ACTIONS: dict[str, Callable[[argparse.Namespace, Places, Reporter], int]] = {
    "facts": _facts,
    "status": _status,
    "logs": _logs,
    "have": _have,
    "receive": _receive,
    "install": _install,
    "wait": _wait,
    "rollback": _rollback,
    "startup": _startup,
    "confirm": _confirm,
}

if __name__ == "__main__":
    sys.exit(main())
