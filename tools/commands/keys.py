"""Make the link keys: the secrets with which the ground signs its reports and by which the board knows them.

    swathpack keys link.keys

Prints where they are. One copy goes to the board (`uplink.key_file` of the mission), one to `swathpack receive --key-file`.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

from swathpack.edge.packets.link_keys import MADE_SLOTS, OPEN_SLOT, make_link_keys
from swathpack.edge.spoken import reason
from swathpack.tools.errors import RefusedError, UsageError, UserError
from swathpack.tools.files.outputs import Output
from swathpack.tools.words import plural


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("file", type=Path, help="where they go; never over an existing file")
    parser.add_argument("--slots", type=int, default=MADE_SLOTS, help=f"keys to change to, default {MADE_SLOTS}")


def run(args: argparse.Namespace) -> int:
    if not 1 <= args.slots <= OPEN_SLOT:
        raise UsageError(f"--slots: expected 1 to {OPEN_SLOT}, found {args.slots}")
    if os.path.lexists(args.file):  # `.` and `/` too, which have no name
        raise RefusedError(f"{args.file} exists: give another name")
    Output(args.file)  # that something can be written there
    try:
        make_link_keys(args.file, args.slots)
    except FileExistsError as error:
        raise RefusedError(f"{args.file} exists: give another name") from error
    except OSError as error:
        raise UserError(f"cannot write {args.file}: {reason(error, args.file)}") from error
    print(f"{args.file}: {plural(args.slots, 'key slot')}, readable by you alone")
    return 0
