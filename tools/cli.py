"""The `swathpack` command.

swathpack --help            list of commands
swathpack compress --help   one command
"""

from __future__ import annotations

import argparse
import difflib
import importlib
import os
import re
import sys
from typing import Any, NamedTuple

import swathpack
from swathpack.tools.errors import UsageError
from swathpack.tools.guard import guarded

_NEGATIVE = re.compile(r"-(?:\d+\.?\d*|\.\d+)(?:[eE][+-]?\d+)?$")


class Command(NamedTuple):
    """A module of `swathpack.tools.commands`, or of a part above by its whole name, with add_arguments(parser) and
    run(args) -> exit code.
    """

    module: str
    help: str


COMMANDS: dict[str, Command] = {
    "compress": Command("compress", "frames (.npz or GeoTIFF) to a stream within a byte budget"),
    "decompress": Command("decompress", "a stream back to frames (.npz or GeoTIFF)"),
    "inspect": Command("inspect", "what a stream holds: bytes, layers, contexts, digests"),
    "receive": Command("receive", "packets of a pass to a ground store, with reception reports for the board"),
    "bench": Command("bench", "rate and distortion against JPEG2000, JPEG XL, x265 and AV1 on a folder of cubes"),
    "import": Command("import_checkpoint", "import a published TerraCodec checkpoint"),
    "inpaint": Command("inpaint", "fill cloudy pixels from the other dates"),
    "adapt": Command("adapt", "fine-tune the codec on a folder of your own images; writes a model directory"),
    "plan": Command("plan", "plan the downlink: passes, byte budgets, tiles per day and their quality"),
    "mission": Command("mission", "the flight loop's configuration: write a commented one, or check one"),
    "calibrate": Command("calibrate", "int8 ranges, weights and what they cost, from a folder of cubes or rasters"),
    "export": Command("export", "make or check a model folder: graphs, bound proof, golden vectors, manifest"),
    "engines": Command("engines", "which engines may code on this machine; what TensorRT made of a graph"),
    "bundle": Command("bundle", "make the signed flight bundle of a Jetson Orin kit"),
    "keys": Command("keys", "make the keys that sign reports to the board"),
    "flash": Command("flash", "install a flight bundle on a board over ssh"),
    "board": Command("board", "status, logs, link keys and rollback of a flashed board"),
    "hil": Command(
        "swathpack.hil_tests.command",
        "hardware-in-the-loop campaign: simulated flight with faults, report as HTML and JSON",
    ),
}


def build_parser(only: str | None = None) -> argparse.ArgumentParser:
    """The whole parser; `only` loads that one command's module, anything else none: help needs no package."""
    parser = argparse.ArgumentParser(
        prog="swathpack",
        description="Learned compression of multispectral satellite image time series, bit-exact on every machine.",
    )
    parser.add_argument("--version", action="version", version=f"swathpack {swathpack.__version__}")
    commands = parser.add_subparsers(dest="command", metavar="COMMAND", required=True)
    for name, command in COMMANDS.items():
        if name != only:
            commands.add_parser(name, help=command.help)
            continue
        module = _module(name)
        sub = commands.add_parser(
            name,
            help=command.help,
            description=module.__doc__,
            formatter_class=argparse.RawDescriptionHelpFormatter,
        )
        # argparse takes -1e308 for an option: its own idea of a number has no exponents.
        sub._negative_number_matcher = _NEGATIVE  # type: ignore[misc,assignment,unused-ignore]
        module.add_arguments(sub)
        sub.set_defaults(run=module.run)
    return parser


def _module(name: str) -> Any:
    module = COMMANDS[name].module
    return importlib.import_module(module if "." in module else f"swathpack.tools.commands.{module}")


# Commands that code or decode tiles.
CODING = ("compress", "decompress", "receive", "inpaint", "calibrate", "hil", "bench")


def _tell_if_slow(name: str) -> None:
    """Without the C coder everything works, a hundred times slower; an editable install does not build it."""
    if name not in CODING:
        return
    from swathpack.edge.codec.rangecoder import native

    if not native.available():
        said = "the C coder is not built, and coding is some hundred times slower without it"
        print(f"swathpack: {said}; build it: python -m swathpack.edge.codec.rangecoder.build", file=sys.stderr)


def _unknown(word: str) -> str:
    """What is said of a command that is none."""
    near = difflib.get_close_matches(word.lower(), COMMANDS, 1, 0.5)
    meant = f"did you mean {near[0]}? " if near else ""
    return f"no command {word[:40]!r}: {meant}swathpack --help lists them"


def main(argv: list[str] | None = None) -> int:
    """Entry point; returns the exit code (`swathpack.tools.errors` lists them)."""
    # The networks are many small products: BLAS threads would spin for nothing. numpy is not loaded yet here.
    os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")
    argv = sys.argv[1:] if argv is None else argv
    name = argv[0] if argv and argv[0] in COMMANDS else ""

    def work() -> int:
        if argv and not name and not argv[0].startswith("-"):
            raise UsageError(_unknown(argv[0]))
        args = build_parser(name or None).parse_args(argv)
        _tell_if_slow(name)
        return int(args.run(args))

    return guarded(f"swathpack {name}".rstrip(), work)


if __name__ == "__main__":
    sys.exit(main())
