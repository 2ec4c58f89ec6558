"""Jobs whose results are kept beside the output while a run lasts, so that one that was killed goes on where it was.

    with JournalPool(pool, store) as pool: ...

Coding is deterministic: the n-th job of a run with the same inputs and the same request is the same, and so is its result.
What decides that is the store's fingerprint (`fingerprint_of`); a journal of anything else is begun anew.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import Any

from swathpack import __version__
from swathpack.edge.codec.model import EdgeModel
from swathpack.tools.errors import UserError
from swathpack.tools.files.api import CODING_VERSION
from swathpack.tools.files.outputs import check_output
from swathpack.tools.files.packed import pack, unpack
from swathpack.tools.files.pool import Job, Pool
from swathpack.tools.files.sidecars import sidecars
from swathpack.tools.files.tile_store import TileStore


class JournalPool:
    """As the pool given, whose results it puts into a store, and takes from there where an earlier run has them."""

    def __init__(self, pool: Pool, store: TileStore) -> None:
        self._pool, self._store, self._given = pool, store, 0

    def run(self, jobs: Iterable[Job], keep_going: bool = False) -> Iterator[tuple[Any, Any]]:
        """See Pool."""

        def open_jobs() -> Iterator[Job]:
            for tag, name, arguments in jobs:
                self._given += 1
                key = f"{self._given} {name}"
                if key in self._store:
                    yield (tag, key), "nothing", ()
                else:
                    yield (tag, key), name, arguments

        for (tag, key), found in self._pool.run(open_jobs(), keep_going):
            if key in self._store:
                yield tag, self._kept(key)
            else:
                self._store.put(key, result=pack(found))
                yield tag, found

    def _kept(self, key: str) -> Any:
        try:
            return unpack(self._store.get(key)["result"])
        except (KeyError, UserError) as error:
            raise UserError(f"{self._store.path}: {error}; remove it to begin anew") from error


def place_beside(output: Path, inputs: Iterable[Path]) -> Path:
    """Where the journal of an output lies. Raises RefusedError where that is an input."""
    place = output.with_name(f"{output.name}.journal")
    check_output(place, inputs, force=True)
    return place


def fingerprint_of(model: EdgeModel, options: Mapping[str, Any], inputs: Iterable[Path]) -> str:
    """A digest of all that decides the bytes: this version, the model, the options, names, sizes and times of the inputs and of
    what GDAL reads beside them. Raises UserError.
    """
    seen = []
    for path in inputs:
        for file in sorted(path.rglob("*")) if path.is_dir() else [path, *sidecars(path)]:
            try:
                facts = file.stat()
            except OSError as error:
                raise UserError(f"cannot read {file}: {error.strerror or error}") from error
            if not file.is_dir():
                seen.append((str(file), facts.st_size, facts.st_mtime_ns))
    options = {name: str(value) for name, value in sorted(options.items())}
    told = [__version__, CODING_VERSION, model.digest.hex(), model.tables_digest.hex(), options, seen]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
