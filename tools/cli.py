"""The `swathpack` command.

swathpack --help            list of commands
swathpack compress --help   one command
"""

from __future__ import annotations

import argparse
import importlib
import os
import sys

from swathpack.tools.errors import UserError

# Sub-command -> module with HELP, add_arguments(parser) and run(args) -> exit code.
COMMANDS: dict[str, str] = {
    "compress": "swathpack.tools.commands.compress",
    "decompress": "swathpack.tools.commands.decompress",
    "inspect": "swathpack.tools.commands.inspect",
    "receive": "swathpack.tools.commands.receive",
    "bench": "swathpack.tools.commands.bench",
    "import": "swathpack.tools.commands.import_checkpoint",
    "inpaint": "swathpack.tools.commands.inpaint",
    "adapt": "swathpack.tools.commands.adapt",
    "plan": "swathpack.tools.commands.plan",
    "calibrate": "swathpack.tools.commands.calibrate",
    "export": "swathpack.tools.commands.export",
    "engines": "swathpack.tools.commands.engines",
    "bundle": "swathpack.tools.commands.bundle",
    "keys": "swathpack.tools.commands.keys",
    "flash": "swathpack.tools.commands.flash",
    "board": "swathpack.tools.commands.board",
    "hil": "swathpack.tools.commands.hil",
}


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole parser; `only` loads the arguments of that one command (start-up stays fast)."""
    parser = argparse.ArgumentParser(
        prog="swathpack",
        description="Learned compression of multispectral satellite image time series, bit-exact on every machine.",
    )
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, path in COMMANDS.items():
        if only in COMMANDS and name != only:
            commands.add_parser(name)
            continue
        module = importlib.import_module(path)
        sub = commands.add_parser(
            name,
            help=module.HELP,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code (0 done, 1 a UserError, 2 bad usage)."""
    # The networks are many small products: BLAS threads would spin for nothing. numpy is not loaded yet here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    argv = sys.argv[1:] if argv is None else argv
    args = build_parser(argv[0] if argv else None).parse_args(argv)
    try:
        return int(args.run(args))
    except UserError as error:
        print(f"swathpack {args.command}: {error}", file=sys.stderr)
        return 1
    except BrokenPipeError:
        return 0
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return 130


if __name__ == "__main__":
    sys.exit(main())
