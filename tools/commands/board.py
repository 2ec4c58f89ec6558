"""Look at a flashed board, or send it back to the slot that flew before.

swathpack board status --target user@orin.local
swathpack board logs --target user@orin.local --lines 20
swathpack board rollback --target user@orin.local
swathpack board keys --target user@orin.local -o link.keys    (those that sign reports to it, for the ground)
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from swathpack.edge.packets.link_keys import LinkKeyError, parse_link_keys, write_new
from swathpack.edge.spoken import reason
from swathpack.tools.board.remote import ConnectionLost, Remote, RemoteError
from swathpack.tools.commands.flash import add_target, remote_of, show
from swathpack.tools.errors import RefusedError, UsageError, UserError
from swathpack.tools.options import expect

LINK_KEYS = "/etc/swathpack/link.keys"
LINES = 50


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("action", choices=("status", "logs", "rollback", "keys"))
    add_target(parser)
    parser.add_argument("--lines", type=int, default=LINES, help="of the log")
    parser.add_argument("-o", "--out", type=Path, help="of keys: never over an existing file")


def run(args: argparse.Namespace) -> int:
    if args.action != "logs":
        expect(args, "with logs only", lines=LINES)
    if args.action != "keys":
        expect(args, "with keys only", "out")
    try:
        with remote_of(args) as remote:
            return _ACTIONS[args.action](remote, args)
    except (RemoteError, ConnectionLost) as error:
        text = str(error)
        if "No module named" in text:
            text = "no SwathPack on this board: swathpack flash puts it there"
        raise UserError(f"{args.target}: {text}") from error


def _status(remote: Remote, args: argparse.Namespace) -> int:
    answer = remote.ask("status")
    facts, record = answer["facts"], answer["record"]
    print(f"{args.target}: {facts['model'] or 'unknown model'}, JetPack {facts['jetpack']} (L4T {facts['l4t'] or '?'})")
    print(f"  service {answer['service'] or 'unknown'}, {facts['free_bytes'] >> 20} MB free")
    for name, slot in sorted(record["slots"].items()):
        print(f"  slot {name}: {_slot(name, slot, record, answer['max_tries'])}")
    if answer.get("trouble"):
        print(f"  record: {answer['trouble']}")
    print(f"  oldest release allowed: {record['floor']}; last: {record['last'] or 'nothing yet'}")
    return 0


def _slot(name: str, slot: dict[str, Any], record: dict[str, Any], max_tries: int) -> str:
    if not slot["bundle"]:
        return "empty"
    words = [f"{slot['version']} release {slot['release']} ({slot['bundle'][:12]})"]
    if name == record["active"]:
        words.append("flies" if not record["tries"] else f"starting, try {record['tries']} of {max_tries}")
    words += [word for word in ("good", "failed") if slot[word]]
    return ", ".join(words)


def _logs(remote: Remote, args: argparse.Namespace) -> int:
    from swathpack.tools.board.flash import from_log

    for line in remote.verb("logs", "--lines", str(args.lines)):
        print(from_log(line))
    return 0


def _rollback(remote: Remote, args: argparse.Namespace) -> int:
    refusal: list[str] = []

    def listen(told: dict[str, Any]) -> None:
        if told["state"] in ("refused", "failed"):
            refusal.append(told["text"])
        else:
            show(told)

    try:
        remote.verb("rollback", say=listen)
    except RemoteError as error:
        raise RemoteError(refusal[-1] if refusal else str(error)) from error
    return 0


def _keys(remote: Remote, args: argparse.Namespace) -> int:
    """Over ssh into a file that only its owner can read; never onto the screen."""
    if args.out is None:
        raise UsageError("keys: give -o FILE")
    text = "\n".join([*remote.run(f"cat {LINK_KEYS}"), ""])
    try:
        parse_link_keys(text.encode(), f"{args.target}:{LINK_KEYS}")
        write_new(args.out, text)
    except FileExistsError as error:
        raise RefusedError(f"{args.out} exists: give another name") from error
    except (LinkKeyError, OSError) as error:
        raise UserError(reason(error)) from error
    print(f"{args.out}: the link keys of {args.target}, readable by you alone")
    return 0


_ACTIONS = {"status": _status, "logs": _logs, "rollback": _rollback, "keys": _keys}
