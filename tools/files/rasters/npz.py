"""Series in one `.npz`: keys data (T, C, H, W), bands, dates, level, boa_offset_1000; other keys are carried.

Bands on their native grids come as data_10m, data_20m, data_60m with bands_10m, ... instead of data and
bands.
"""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.bands import BANDS, BandError, normalise_names
from swathpack.edge.frame import Frame, FrameError
from swathpack.tools.errors import UserError
from swathpack.tools.files.frame_store import FrameStore, strips
from swathpack.tools.files.rasters.npz_stream import NpzWriter
from swathpack.tools.files.rasters.series import Series, array_from_json, array_to_json

GRIDS = ("10m", "20m", "60m")
_PIXELS = {"data", "bands", "dates"} | {f"{kind}_{grid}" for kind in ("data", "bands") for grid in GRIDS}
Archive = dict[str, NDArray[Any]]


def read_npz(path: Path, bands: Sequence[str] | None = None) -> Series:
    """Reads a series; `bands` names the planes of a file without names, or picks some of those it has.

    Raises UserError that names the file and the key at fault.
    """
    archive = _load(path)
    try:
        frames, fields = _frames(archive, bands)
    except (FrameError, BandError) as error:
        raise UserError(f"{path}: {error}") from error
    except UserError as error:
        raise UserError(f"{path}: {error}") from None
    extra = {k: array_to_json(v) for k, v in archive.items() if k not in _PIXELS}
    return Series(frames, {"format": "npz", "extra": extra} | fields)


def _load(path: Path) -> Archive:
    try:
        with np.load(path, allow_pickle=False) as archive:
            return {key: _member(path, archive, key) for key in archive.files}
    except (OSError, ValueError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: not a readable .npz ({error})") from error


def _member(path: Path, archive: Any, key: str) -> NDArray[Any]:
    try:
        return np.asarray(archive[key])
    except (ValueError, OSError, EOFError, zipfile.BadZipFile) as error:
        raise UserError(f"{path}: key {key!r} cannot be read ({error})") from error


def _frames(archive: Archive, bands: Sequence[str] | None) -> tuple[list[Frame], dict[str, Any]]:
    native = [g for g in GRIDS if f"data_{g}" in archive]
    if "data" not in archive and not native:
        raise UserError(f"expected a key 'data' (T, C, H, W); found {', '.join(sorted(archive)) or 'no keys'}")
    level, offset = _text(archive, "level"), _offset(archive)
    if native:
        planes = {g: _cube(archive, f"data_{g}", f"bands_{g}", None) for g in native}
        count = len(next(iter(planes.values()))[0])
        if any(len(data) != count for data, _ in planes.values()):
            raise UserError(
                "the native grids hold different numbers of dates: "
                + ", ".join(f"data_{g} {len(d)}" for g, (d, _) in planes.items())
            )
        stacks: list[Any] = [
            {n: d[t, i] for d, names in planes.values() for i, n in enumerate(names)} for t in range(count)
        ]
        dates = _dates(archive, count)
        frames = [Frame.from_native(s, time=d, level=level, boa_offset=offset) for s, d in zip(stacks, dates)]
        fields: dict[str, Any] = {"native": {g: list(names) for g, (_, names) in planes.items()}}
        return _select(frames, bands), fields
    data, names = _cube(archive, "data", "bands", bands)
    dates = _dates(archive, len(data))
    frames = [Frame.from_array(d, names, time=t, level=level, boa_offset=offset) for d, t in zip(data, dates)]
    return _select(frames, bands), {"rank": archive["data"].ndim, "has_dates": "dates" in archive}


def _cube(
    archive: Archive, key: str, bands_key: str, given: Sequence[str] | None
) -> tuple[NDArray[Any], tuple[str, ...]]:
    data = archive[key]
    data = data[None] if data.ndim == 3 else data
    if data.ndim != 4 or data.size == 0:
        raise UserError(f"key {key!r}: expected (T, C, H, W), found {archive[key].shape}")
    if data.dtype.kind not in "iuf":
        raise UserError(f"key {key!r}: expected numbers, found {data.dtype}")
    if bands_key in archive:
        raw: Sequence[str] = [str(b) for b in archive[bands_key].ravel()]
    elif given is not None:
        raw = given
    elif data.shape[1] == len(BANDS):
        raw = BANDS
    else:
        raise UserError(f"no key {bands_key!r} and {data.shape[1]} planes: name them with --bands B02,B03,...")
    if len(raw) != data.shape[1]:
        raise UserError(f"{bands_key!r} names {len(raw)} bands, {key!r} has {data.shape[1]} planes")
    return data, normalise_names(raw)


def _select(frames: list[Frame], bands: Sequence[str] | None) -> list[Frame]:
    return frames if bands is None else [f.select(normalise_names(bands)) for f in frames]


def _text(archive: Archive, key: str) -> str:
    return str(archive[key]) if key in archive and archive[key].size == 1 else "unknown"


def _offset(archive: Archive) -> bool:
    if "boa_offset_1000" not in archive:
        return False
    value = archive["boa_offset_1000"]
    if value.size != 1:
        raise UserError(f"key 'boa_offset_1000': expected one value, found shape {value.shape}")
    item = value.reshape(())[()]
    return str(item).lower().startswith(("yes", "true", "1"))


def _dates(archive: Archive, count: int) -> list[str | None]:
    if "dates" not in archive:
        return [None] * count
    dates = [str(d) for d in archive["dates"].ravel()]
    if len(dates) != count:
        raise UserError(f"'dates' has {len(dates)} entries, 'data' has {count} dates")
    return list(dates)


def write_npz(series: Series, path: Path) -> None:
    """Writes the keys that the series was read with; data are uint16. Pixels go through memory in strips."""
    arrays: Archive = {k: array_from_json(v) for k, v in series.metadata.get("extra", {}).items()}
    frames, first = series.frames, _outline(series.frames, 0)
    groups = _grids(series.metadata.get("native") or {}, first) or {"": list(first.bands)}
    for suffix, names in groups.items():
        arrays[f"bands{suffix}"] = np.array(names)
    times = [_outline(frames, i).time for i in range(len(frames))]
    if series.metadata.get("has_dates", True) and all(t is not None for t in times):
        arrays["dates"] = np.array(times)
    arrays.setdefault("level", np.array(first.level))
    arrays.setdefault("boa_offset_1000", np.array("yes" if first.boa_offset else "no"))
    with NpzWriter(path) as archive:
        for suffix, names in groups.items():
            _write_pixels(archive, f"data{suffix}", series, names, native=bool(suffix))
        for key, array in arrays.items():
            if key not in {f"data{suffix}" for suffix in groups}:
                archive.array(key, array)


def _grids(native: dict[str, list[str]], first: Frame) -> dict[str, list[str]]:
    """Per suffix of the key `data` the bands that are there. Raises UserError when they are not on one grid."""
    groups = {f"_{grid}": [n for n in names if n in first.bands] for grid, names in native.items()}
    for suffix, names in groups.items():
        if len({first.grid[first.bands.index(n)] for n in names}) > 1:
            raise UserError(f"metadata: the bands of data{suffix} are on different grids")
    return {suffix: names for suffix, names in groups.items() if names}


def _outline(frames: Sequence[Frame], index: int) -> Frame:
    return frames.outline(index) if isinstance(frames, FrameStore) else frames[index]


def _write_pixels(archive: NpzWriter, key: str, series: Series, names: list[str], native: bool) -> None:
    frames, first = series.frames, _outline(series.frames, 0)
    size = (frames.height, frames.width) if isinstance(frames, FrameStore) else (first.height, first.width)
    factor = first.grid[first.bands.index(names[0])] if native else 1
    shape = (len(frames), len(names), *(-(-side // factor) for side in size))
    shape = shape[1:] if not native and len(frames) == 1 and series.metadata.get("rank") == 3 else shape
    every = (s for i in range(len(frames)) for name in names for s in strips(frames, i, name))
    pieces = (strip.to_native()[strip.bands[0]] if native else strip.data[0] for strip in every)
    archive.stream(key, shape, np.dtype("<u2"), pieces)
