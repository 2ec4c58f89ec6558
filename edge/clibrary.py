"""The one library that holds all the C of the board's code: what it is built from, where it lies, and loading it."""

from __future__ import annotations

import ctypes
import sysconfig
from functools import lru_cache
from pathlib import Path

from swathpack.edge.digests import bytes_digest

# Whatever builds or bundles the library compiles SOURCES in FOLDER.
FOLDER = Path(__file__).resolve().parent
_FILES = {
    "stream": ("contours.c",),
    "codec/rangecoder": ("tables.c", "bounded.c", "adaptive.c", "encoder.c", "decoder.c"),
    "codec/transform_coder": (
        "bitplane.c",
        "estimate.c",
        "trellis.c",
        "wavelet.c",
        "shaped.c",
        "spectral.c",
        "sparse.c",
        "filters.c",
    ),
    "codec/predictive": (
        "bits.c",
        "grid.c",
        "header.c",
        "plan.c",
        "samples.c",
        "fit.c",
        "predict.c",
        "refine.c",
        "wide.c",
        "refine_table.c",
        "exact.c",
        "rows.c",
        "tile.c",
    ),
}
SOURCES = tuple(FOLDER / part / name for part, names in _FILES.items() for name in names)
HEADERS = tuple(path for part in _FILES for path in sorted((FOLDER / part).glob("*.h")))


class LibraryMissingError(Exception):
    """The C library is missing or cannot be loaded; carries the path and what to do."""


def library_path(directory: Path | None = None) -> Path:
    """Where the library for this Python's platform lies; the platform is in the name."""
    platform = sysconfig.get_platform().replace("-", "_").replace(".", "_")
    return (directory or FOLDER / "codec" / "rangecoder") / f"_coder_{platform}.so"


def source_digest() -> str:
    """Names the C source a library was built from, so that a stale one is never used."""
    return bytes_digest(b"".join(path.read_bytes() for path in (*HEADERS, *SOURCES)), 8).hex()


@lru_cache(maxsize=4)
def load(path: Path) -> ctypes.CDLL:
    """The loaded library; LibraryMissingError when missing, from another source or not loadable."""
    hint = "run: python -m swathpack.edge.codec.rangecoder.build"
    if not path.exists():
        raise LibraryMissingError(f"{path} does not exist; {hint}")
    try:
        lib = ctypes.CDLL(str(path))
        lib.sp_source_digest.restype = ctypes.c_char_p
        if lib.sp_source_digest() != source_digest().encode("ascii"):
            raise LibraryMissingError(f"{path} was built from another source; {hint}")
    except (OSError, AttributeError) as error:
        raise LibraryMissingError(f"cannot load {path}: {error}; {hint}") from error
    return lib
