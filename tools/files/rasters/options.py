"""How a series is to be read."""

from __future__ import annotations

import argparse
import math
from collections.abc import Sequence
from dataclasses import dataclass

from swathpack.tools.errors import UsageError, UserError
from swathpack.tools.files.rasters.readers import READERS


@dataclass(frozen=True)
class ReadOptions:
    """bands: names for samples without any, or those to pick. wavelengths: centres in nm, one for every sample. scale:
    DN = value x scale. each_grid: dates may lie on grids of their own. reader: one of `readers.READERS`. Raises UserError.
    """

    bands: tuple[str, ...] = ()
    wavelengths: tuple[float, ...] = ()
    scale: float | None = None
    each_grid: bool = False
    reader: str = "auto"

    def __post_init__(self) -> None:
        if self.scale is not None and not (math.isfinite(self.scale) and 1e-6 <= self.scale <= 1e9):
            raise UsageError(f"--scale: expected a positive number, such as 10000 for reflectance, found {self.scale}")
        if self.reader not in READERS:
            raise UserError(f"expected a reader of {', '.join(READERS)}, found {self.reader}")
        if any(not 100 <= w <= 20000 for w in self.wavelengths):
            raise UsageError(f"--wavelengths: expected nm from 100 to 20000, found {list(self.wavelengths)}")
        if self.bands and self.wavelengths and len(self.bands) != len(self.wavelengths):
            raise UsageError(f"--bands names {len(self.bands)} bands, --wavelengths {len(self.wavelengths)}")


def options_of(bands: Sequence[str] | None, options: ReadOptions | None) -> ReadOptions:
    """The options of a call that may give bands alone."""
    if options is not None:
        return options
    return ReadOptions(tuple(bands or ()))


def add_reading_arguments(parser: argparse.ArgumentParser, grids: bool = False) -> None:
    """Arguments that say how input is to be read. grids: the command can do with dates of different grids."""
    parser.add_argument(
        "--bands", metavar="A,B,...", help="bands to take, or names for all bands of files that name none"
    )
    parser.add_argument(
        "--wavelengths",
        metavar="NM,NM,...",
        help="centre wavelengths of all bands in nm; what files say of them counts less",
    )
    parser.add_argument(
        "--scale", type=float, metavar="N", help="DN (reflectance x 10000) = value x N: 10000 for float reflectance"
    )
    if not grids:
        return
    parser.add_argument(
        "--each-its-own-grid",
        action="store_true",
        help="take dates of different CRS, pixel size or place; each grid is coded without context from the others",
    )


def reading_options(args: argparse.Namespace) -> ReadOptions:
    """The options of `add_reading_arguments`. Raises UserError."""
    bands = [b.strip() for b in (args.bands or "").split(",") if b.strip()]
    try:
        waves = [float(w) for w in (args.wavelengths or "").split(",") if w.strip()]
    except ValueError as error:
        raise UsageError(f"--wavelengths: expected numbers, found {args.wavelengths!r}") from error
    for option, given, found in (("--bands", args.bands, bands), ("--wavelengths", args.wavelengths, waves)):
        if given is not None and not found:
            raise UsageError(f"{option}: expected at least one between commas, found {given!r}")
    return ReadOptions(tuple(bands), tuple(waves), args.scale, bool(getattr(args, "each_its_own_grid", False)))
