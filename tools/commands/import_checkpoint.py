"""Turn a published TerraCodec checkpoint (FP, ELIC, TT, FlexTEC) into a model file to code with.

    swathpack import TerraCodec_v1_TT_S2L2A_lambda-20.pt -o tt20.swt

Names and shapes are checked one by one; sizes are read from the shapes. Models of other than the 12 L2A
bands need `--stats FILE`, a JSON object with the lists `mean` and `std` (digital numbers, one value per band,
in the order of the training data). `--family flextec` is for TT weights trained with repacking but without
mask tokens: nothing in such a file tells it apart. Needs the `train` extra (torch).
"""

from __future__ import annotations

import argparse
import json
from pathlib import Path

from swathpack.edge.spoken import reason
from swathpack.tools.errors import UserError
from swathpack.tools.files.outputs import Output, add_force

FAMILIES = ("fp", "elic", "tt", "flextec")  # swathpack.codec.terracodec.checkpoint.FAMILIES, without importing torch


def add_arguments(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("checkpoint", type=Path, help="torch file with the published tensors")
    parser.add_argument("-o", "--output", type=Path, required=True, help="model file to write (.swt)")
    parser.add_argument("--family", choices=FAMILIES, help="what the file must hold (default: what its names say)")
    parser.add_argument("--stats", type=Path, help="JSON with `mean` and `std` per band")
    add_force(parser)


def read_stats(path: Path) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """(mean, std) from a JSON file; UserError names what is wrong with it."""
    try:
        content = json.loads(path.read_text())
        mean, std = (tuple(float(v) for v in content[key]) for key in ("mean", "std"))
    except OSError as error:
        raise UserError(f"{path}: cannot be read: {error.strerror}") from error
    except (ValueError, KeyError, TypeError) as error:
        raise UserError(f"{path}: expected JSON with number lists `mean` and `std`, found {error}") from error
    return mean, std


def run(args: argparse.Namespace) -> int:
    """Import, write, and say what was imported."""
    from swathpack.codec.terracodec.checkpoint import CheckpointError, import_checkpoint, save_model

    output = Output(args.output, filter(None, [args.checkpoint, args.stats]), args.force)
    mean, std = read_stats(args.stats) if args.stats else (None, None)
    try:
        imported = import_checkpoint(args.checkpoint, args.family, mean, std)
        with output as place:
            save_model(imported, place)
    except CheckpointError as error:
        raise UserError(str(error)) from error
    except (OSError, RuntimeError) as error:
        raise UserError(f"{args.output}: cannot be written: {reason(error, args.output)}") from error
    print(
        f"{imported.family}: {imported.parameters:,} parameters, {imported.model.bands} bands, "
        f"model {imported.digest.hex()} -> {args.output}"
    )
    return 0
