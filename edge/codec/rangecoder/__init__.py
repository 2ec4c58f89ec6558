"""The range coder: C when it is built (`python -m swathpack.edge.codec.rangecoder.build`), else the same in plain Python.

`new_encoder` and `new_decoder` pick; `backend()` says which one they pick. All backends write and read
the same words, those of constriction's queue::RangeEncoder.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.rangecoder import native
from swathpack.edge.codec.rangecoder.checks import CheckFailedError, RunChecks
from swathpack.edge.codec.rangecoder.interface import (
    Checkpoint,
    Decoder,
    Encoder,
    PayloadEnded,
    RangeCoderError,
)
from swathpack.edge.codec.rangecoder.reference import ReferenceDecoder, ReferenceEncoder
from swathpack.edge.codec.tables import ProbabilityTables

__all__ = [
    "TABLES_FRAME",
    "CheckFailedError",
    "Checkpoint",
    "Decoder",
    "Encoder",
    "PayloadEnded",
    "RangeCoderError",
    "RunChecks",
    "backend",
    "new_decoder",
    "new_encoder",
    "tables_memory",
]

TABLES_FRAME = "frame"  # the one part of `tables_memory` that holds addresses


def backend() -> str:
    """`native` or `reference`: what is used when nobody asks for another."""
    return "native" if native.available() else "reference"


def new_encoder(tables: ProbabilityTables, name: str | None = None) -> Encoder:
    """A fresh encoder; name: `native`, `reference` or None for the better one that is there."""
    chosen = name or backend()
    if chosen == "native":
        return native.NativeEncoder(tables)
    if chosen == "reference":
        return ReferenceEncoder(tables)
    raise RangeCoderError(f"expected encoder native or reference, found {chosen!r}")


def tables_memory(tables: ProbabilityTables) -> dict[str, NDArray[np.uint8]]:
    """The coder's own copy of the tables in memory, as bytes (n,), to be watched; empty where it keeps none."""
    return native.memory_of(tables) if native.available() else {}


def new_decoder(tables: ProbabilityTables, payload: bytes, name: str | None = None) -> Decoder:
    """A decoder of one payload; name: `native`, `reference`, `constriction` or None."""
    chosen = name or backend()
    if chosen == "native":
        return native.NativeDecoder(tables, payload)
    if chosen == "reference":
        return ReferenceDecoder(tables, payload)
    if chosen == "constriction":
        from swathpack.edge.codec.rangecoder.constriction_decoder import ConstrictionDecoder

        return ConstrictionDecoder(tables, payload)
    raise RangeCoderError(f"expected decoder native, reference or constriction, found {chosen!r}")
