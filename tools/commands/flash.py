"""Put a flight bundle on a running board over ssh, test it there, and let it fly only when everything passes.

    swathpack flash --bundle swathpack-agx-jp6.tar.zst --target user@orin.local --trust mission.key.pub
    swathpack flash --bundle swathpack-agx-jp6.tar.zst --trust mission.key.pub --dry-run    without a board

Prints one line per step. Status 0: the new slot is ready; 1: refused or failed, with the reason, and what flew
before flies on. The same command again goes on after an interruption. --dry-run checks the bundle and shows every
command and every step for a new board that fits it; no connection is made.
"""

from __future__ import annotations

import argparse
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

from swathpack.edge.install.manifest import Refused
from swathpack.edge.spoken import reason
from swathpack.tools.board.remote import ConnectionLost, Remote, RemoteError
from swathpack.tools.errors import UsageError, UserError

if TYPE_CHECKING:
    from swathpack.tools.board.flash import Cargo


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--bundle", type=Path, required=True)
    parser.add_argument("--trust", type=Path, metavar="KEY.pub", help="public key for a board that trusts none yet")
    add_target(parser, required=False)
    parser.add_argument("--dry-run", action="store_true", help="check the bundle, show every step; needs no board")
    parser.add_argument("--no-host-checks", action="store_true", help="let the board alone judge the bundle")
    parser.add_argument("--ready", type=float, default=900.0, metavar="S", help="wait this long for the runtime")


def add_target(parser: argparse.ArgumentParser, required: bool = True) -> None:
    """How a board is reached."""
    parser.add_argument("--target", required=required, metavar="USER@HOST")
    parser.add_argument("--ssh-options", default="", metavar="TEXT", help="further options of ssh, such as '-p 2222'")


def remote_of(args: argparse.Namespace) -> Remote:
    """The board that the arguments name."""
    return Remote(args.target, tuple(shlex.split(args.ssh_options)))


def run(args: argparse.Namespace) -> int:
    try:
        from swathpack.export.bundle.archive import ArchiveError
        from swathpack.tools.board.flash import Flash, load
    except ImportError as error:
        raise UserError(f"{error.name} is not installed: pip install 'swathpack[flash]'") from error
    try:
        trust = args.trust.read_text() if args.trust else ""
        if args.dry_run:
            return _rehearse(args, load(args.bundle), trust)
        if args.target is None:
            raise UsageError("--target: expected USER@HOST, or --dry-run without a board")
        with remote_of(args) as remote:
            flash = Flash(remote, load(args.bundle), show, trust, not args.no_host_checks, ready_s=args.ready)
            return flash.run()
    except (Refused, ArchiveError, RemoteError, OSError) as error:
        raise UserError(reason(error)) from error
    except ConnectionLost as lost:
        raise UserError(f"{args.target}: {lost}; the same command goes on from here") from lost


def _rehearse(args: argparse.Namespace, cargo: Cargo, trust: str) -> int:
    """The same steps, told and not done."""
    from swathpack.tools.board.flash import Flash
    from swathpack.tools.board.rehearsal import Rehearsal

    manifest, size = cargo.manifest, len(cargo.tar) >> 20
    wheels = f", wheels for Python {manifest.python}" if manifest.python else ", without wheels"
    print(f"dry run: no connection is made; {args.target or 'the board'} is taken for a new one that fits the bundle")
    print(f"bundle      {manifest.short}, {manifest.board}, JetPack {manifest.jetpack}{wheels}, {size} MB")
    if not trust:
        print("signature   not checked: --trust KEY.pub does; the board is taken for one that trusts the key already")
    now = max(time.time(), manifest.release)
    remote = Rehearsal(args.target or "BOARD", cargo, show, trust, now)
    return Flash(remote, cargo, show, trust, not args.no_host_checks, ready_s=args.ready, clock=lambda: now).run()


def show(told: dict[str, Any]) -> None:
    """Print a step; progress overwrites itself on a terminal."""
    from swathpack.tools.board.flash import told_line

    line = told_line(told)
    if told["state"] == "progress":
        if sys.stderr.isatty():
            sys.stderr.write(f"\r{line}\x1b[K")
            sys.stderr.flush()
        return
    if sys.stderr.isatty():
        sys.stderr.write("\r\x1b[K")
    print(line, flush=True)
