"""Parts of files whose reader knows no parts: every file is decoded whole once, into a scratch file that is read by rows."""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from typing import IO

import numpy as np

from swathpack.tools.errors import UserError
from swathpack.tools.files.rasters.facts import Box, Mask, Planes, Read


class ScratchParts:
    """`swathpack.tools.files.rasters.facts.ReadPart` of a file of `count` samples without a mask."""

    def __init__(self, read: Read, count: int, shape: tuple[int, int], dtype: str) -> None:
        self._read, self._count, self._shape, self._dtype = read, count, shape, np.dtype(dtype)
        self._file: IO[bytes] | None = None

    def __call__(self, samples: Sequence[int], box: Box) -> tuple[Planes, Mask | None]:
        """Raises UserError."""
        file = self._file or self._decoded()
        top, stop, left, right = box
        height, width = self._shape
        out = np.zeros((len(samples), stop - top, right - left), self._dtype)
        for place, sample in enumerate(samples):
            file.seek(self._dtype.itemsize * width * (height * sample + top))
            rows = np.frombuffer(file.read(self._dtype.itemsize * width * (stop - top)), self._dtype)
            out[place] = rows.reshape(stop - top, width)[:, left:right]
        return out, None

    def _decoded(self) -> IO[bytes]:
        planes, _ = self._read(range(self._count))
        try:
            file = self._file = tempfile.TemporaryFile()  # noqa: SIM115 - goes with this
            for plane in planes:
                file.write(np.ascontiguousarray(plane, self._dtype).data)
        except OSError as error:
            raise UserError(f"cannot write a scratch file: {error.strerror or error}") from error
        return file
