"""Frames from a folder: `.npz` cubes and `.swf` messages, taken when they have stopped growing.

An `.npz` holds `data` (C, H, W) or (T, C, H, W), `bands`, and optionally `dates` (ISO 8601 per frame; a frame without one
is taken to be of the time at which the file was written, which is said), `place`, `level`, `boa_offset`, `nodata`; of type
int8 or int16, where values below 0 are data. What is done with goes to `done/`, what is refused to `refused/`, next to the
folder's files. Anything else that lies there (rasters, products, other folders, pipes) is said once to be refused and stays where it
is; names that begin with a dot or end in `.part` or `.tmp` are on their way and not looked at.
"""

from __future__ import annotations

import math
import os
import re
import zipfile
from collections import deque
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime, timezone
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.clock import Clock
from swathpack.edge.frame import Frame, FrameError
from swathpack.edge.sources.acquisition import MAX_NAME, Acquisition, Offer, SourceError, offer, place_of, samples_of
from swathpack.edge.storage.durable import make_folder, replace_durably

_TAKEN = (".npz", ".swf")
_ON_THEIR_WAY = (".part", ".tmp")
_OWN = ("done", "refused")
NO_DATE = ("", "unknown", "none", "nat", "nan")  # what files write where they know none
MAX_TOLD = 4096  # names that are remembered, so that each is said once


@dataclass
class _File:
    """A file whose frames are being offered. left: frames not yet done with."""

    path: Path
    left: int
    refused: bool = False


class FolderSource:
    """A `FrameSource` that watches one folder.

    Args:
        settle_s: a file is taken when its size has not changed for so long. Files that are moved into the
        folder
            whole may use 0.
        max_bytes: of a file, unpacked; larger ones are refused unread.
    """

    def __init__(self, folder: Path, clock: Clock, settle_s: float = 1.0, max_bytes: int = 1 << 30) -> None:
        self._folder, self._clock, self._settle_s, self._max_bytes = folder, clock, settle_s, max_bytes
        self._seen: dict[Path, tuple[int, float]] = {}
        self._offers: deque[Offer] = deque()
        self._taken: set[Path] = set()
        self._told: set[str] = set()
        try:
            for path in (folder, folder / "done", folder / "refused"):
                make_folder(path)
        except OSError as error:
            raise SourceError(f"folder {folder}: {error.strerror}") from error

    def poll(self) -> Offer | None:
        if not self._offers:
            path = self._settled()
            if path is None:
                self._offers.extend(self._ignored())
            else:
                self._taken.add(path)
                self._offers.extend(self._open(path))
        return self._offers.popleft() if self._offers else None

    def done(self, offer: Offer) -> None:
        file = offer.token
        if not isinstance(file, _File):
            return
        file.left -= 1
        file.refused |= offer.acquisition is None
        if file.left <= 0:
            self._move(file.path, "refused" if file.refused else "done")

    def close(self) -> None:
        self._offers.clear()

    def _settled(self) -> Path | None:
        """The oldest file that has not grown lately."""
        now = self._clock.monotonic()
        for path in self._listing():
            try:
                size = path.stat().st_size
            except OSError:
                continue  # gone again
            known, since = self._seen.get(path, (-1, now))
            if size != known:
                self._seen[path] = (size, now)
                since = now
            if now - since >= self._settle_s:
                self._seen.pop(path, None)
                return path
        return None

    def _listing(self) -> list[Path]:
        names = sorted(entry.name for entry in self._scan() if entry.name.endswith(_TAKEN) and entry.is_file())
        return [path for path in (self._folder / name for name in names) if path not in self._taken]

    def _scan(self) -> list[os.DirEntry[str]]:
        try:
            with os.scandir(self._folder) as entries:
                return list(entries)
        except OSError as error:
            raise SourceError(f"folder {self._folder}: {error.strerror}") from error

    def _ignored(self) -> Iterator[Offer]:
        """A refusal of everything new that is never taken."""
        for entry in self._scan() if len(self._told) < MAX_TOLD else ():
            name, folder = entry.name, entry.is_dir()
            if name in self._told or name.startswith(".") or name.endswith(_ON_THEIR_WAY) or (folder and name in _OWN):
                continue
            if len(self._told) < MAX_TOLD and (not name.endswith(_TAKEN) or not entry.is_file()):
                self._told.add(name)
                kind = "a folder" if folder else f"a file {Path(name).suffix or 'without suffix'}"
                kind = kind if folder or entry.is_file() else "no plain file (a pipe, a link to nothing)"
                yield Offer(name[:MAX_NAME], None, f"expected .npz or .swf, found {kind}: it stays where it is")

    def _open(self, path: Path) -> list[Offer]:
        """All offers of a file; the cube is read once and its frames are views of it."""
        file = _File(path, 1)
        try:
            if path.suffix == ".swf":
                return [offer(path.name, _read_message(path, self._max_bytes), self._max_bytes, file)]
            found = list(_frames(path, self._max_bytes))
        except Exception as error:  # whatever lies in the folder costs itself, not the files behind it
            return [Offer(path.name[:MAX_NAME], None, str(error), file)]
        file.left = max(len(found), 1)
        found = found or [Offer(path.name[:MAX_NAME], None, "no frames")]
        return [_with_token(one, file) for one in found]

    def _move(self, path: Path, where: str) -> None:
        try:
            replace_durably(path, self._folder / where / path.name)
        except OSError as error:
            if os.path.lexists(path):
                raise SourceError(f"{path}: {error.strerror}") from error
            # Somebody took it away, and may bring another of its name.
        self._taken.discard(path)


def _read_message(path: Path, max_bytes: int) -> bytes:
    """The bytes of a message file. Raises FrameError when there are too many, OSError."""
    with open(path, "rb") as file:
        data = file.read(max_bytes + 1)
    if len(data) > max_bytes:
        raise FrameError("size", f"{path.name}: expected at most {max_bytes} bytes")
    return data


def _with_token(one: Offer, file: _File) -> Offer:
    return Offer(one.name, one.acquisition, one.refused, file, one.undated)


def _frames(path: Path, max_bytes: int) -> Iterator[Offer]:
    """One offer per date of a cube; a date that cannot be used is a refusal of its own."""
    cube = read_npz(path, max_bytes)
    data = cube["data"]
    data = data[None] if data.ndim == 3 else data
    if data.ndim != 4 or "bands" not in cube:
        raise FrameError("shape", f"{path.name}: expected data (T, C, H, W) and bands, found {data.shape}")
    bands = tuple(str(b) for b in np.atleast_1d(cube["bands"]))
    times, written = _times(cube, path.name, len(data)), int(path.stat().st_mtime)
    place = _place(cube["place"]) if "place" in cube else place_of(path.stem)
    nodata = float(cube.get("nodata", 0))
    # Types with a sign that need it keep it; others fly as DN.
    signed = data.dtype.kind == "i" and data.dtype.itemsize <= 2 and bool(((data < 0) & (data != nodata)).any())
    for i, values in enumerate(data):
        name = f"{path.stem[-100:]}-{i:03d}"
        try:
            said = (str(cube.get("level", "unknown")), bool(cube.get("boa_offset", False)))
            if signed:
                frame = _signed_frame(values, bands, nodata, *said)
            else:
                frame = Frame.from_array(values, bands, nodata=nodata, level=said[0], boa_offset=said[1])
            seen = epoch_seconds(times[i])
            time = written + i if seen is None else seen
            yield Offer(name, Acquisition(name, time, place, frame), undated=seen is None)
        except FrameError as error:
            yield Offer(name, None, str(error))


def _signed_frame(
    values: NDArray[np.generic], bands: tuple[str, ...], nodata: float, level: str, boa_offset: bool
) -> Frame:
    """A frame of int8 or int16 values (C, H, W). Raises FrameError."""
    valid = ~(values == nodata).all(axis=0)
    radiometry = samples_of(values.dtype.name, nodata)
    counts = radiometry.to_counts(values, np.broadcast_to(valid, values.shape))
    return Frame(counts, bands, None, valid, level, boa_offset, radiometry=radiometry)


def read_npz(path: Path, max_bytes: int) -> dict[str, Any]:
    """The arrays of an archive, its members' sizes checked before anything is unpacked. Raises FrameError."""
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(info.file_size for info in archive.infolist())
            claimed = sum(_claimed(archive, info) for info in archive.infolist()) if size <= max_bytes else size
        if max(size, claimed) > max_bytes:
            found = max(size, claimed)
            raise FrameError("size", f"{path.name}: expected at most {max_bytes} bytes, found {found}")
        with np.load(path, allow_pickle=False) as arrays:
            if "data" not in arrays:
                raise FrameError("shape", f"{path.name}: expected `data`, found {sorted(arrays)[:8]}")
            return {name: arrays[name] for name in arrays}
    except FrameError:
        raise
    except Exception as error:  # zip, zlib, struct, numpy: each raises kinds of its own for damaged files
        raise FrameError("wire", f"{path.name}: {error}") from error


def _claimed(archive: zipfile.ZipFile, info: zipfile.ZipInfo) -> int:
    """Bytes that the header of an `.npy` member claims: numpy takes memory for them before it reads any."""
    with archive.open(info) as member:
        version = np.lib.format.read_magic(member)
        read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
        shape, _, dtype = read(member)
    return math.prod(shape) * dtype.itemsize


def _times(cube: dict[str, Any], name: str, count: int) -> list[str]:
    """A text for every date of a cube, empty where it has none. Raises FrameError."""
    if "dates" not in cube:
        return [""] * count
    times = [str(d) for d in np.atleast_1d(cube["dates"])]
    if len(times) != count:
        raise FrameError("shape", f"{name}: expected {count} dates, as data has, found {len(times)}")
    return times


def epoch_seconds(text: str) -> int | None:
    """Seconds since 1970 of an ISO 8601 date, also 20240501, UTC where no zone is given; None for a text that says that there is
    none. Raises FrameError.
    """
    said = text.strip()
    if said.lower() in NO_DATE:
        return None
    # Python 3.10 reads neither a Z, nor dates without dashes, nor every number of digits of a second.
    plain = re.sub(r"^(\d{4})(\d\d)(\d\d)(?!\d)", r"\1-\2-\3", said.replace("Z", "+00:00"))
    try:
        moment = datetime.fromisoformat(re.sub(r"[.,]\d+", "", plain))
    except ValueError as error:
        raise FrameError("values", f"expected an ISO 8601 date, found {text[:40]!r}") from error
    return int((moment if moment.tzinfo else moment.replace(tzinfo=timezone.utc)).timestamp())


def _place(value: Any) -> int:
    """The place number of a cube. Raises FrameError for anything that is not a whole number."""
    found = np.asarray(value)
    if found.size != 1 or found.dtype.kind not in "iu":
        raise FrameError("values", f"place: expected a whole number, found {found.dtype} {found.shape}")
    return int(found.reshape(()))
