"""Results of jobs as bytes and back: what a journal holds. Nothing but numbers, texts and the classes named here is made of them."""

from __future__ import annotations

import io
import pickle
import zlib
from typing import Any

from swathpack.tools.errors import UserError

# Of what may be made of bytes: arrays of numpy, and the plain dataclasses that coding a tile gives.
_NUMPY = {
    ("numpy", "ndarray"),
    ("numpy", "dtype"),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
    *((f"numpy.{core}.numeric", "_frombuffer") for core in ("core", "_core")),
}
_OWN = {
    ("swathpack.tools.files.coding_jobs", "CodedLearned"),
    ("swathpack.tools.files.pool", "Failure"),
    ("swathpack.edge.codec.plain", "CodedPlain"),
    ("swathpack.edge.codec.rate.curves", "Curve"),
    ("swathpack.edge.codec.transform_coder.tile", "CodedTile"),
    ("swathpack.edge.codec.transform_coder.tile", "Wanted"),
    ("swathpack.edge.codec.transform_coder.weights", "Weights"),
}


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) in _NUMPY or (module, name) in _OWN:
            return super().find_class(module, name)
        raise pickle.UnpicklingError(f"{module}.{name} is none of what coding a tile gives")


def pack(thing: Any) -> bytes:
    """A result of a job, deflated."""
    return zlib.compress(pickle.dumps(thing, protocol=5), 1)


def unpack(data: bytes) -> Any:
    """The inverse of pack. Raises UserError for anything else."""
    try:
        return _Unpickler(io.BytesIO(zlib.decompress(data))).load()
    except Exception as error:  # pickle raises nearly anything
        raise UserError(f"not the result of a job ({error})") from error
