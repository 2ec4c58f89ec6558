"""Frames back to GeoTIFFs: each file as it was read, in its type, with its nodata, mask, names and georeference."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.frame import Frame
from swathpack.edge.radiometry import Radiometry
from swathpack.tools.errors import UserError
from swathpack.tools.files.limits import check_files
from swathpack.tools.files.rasters import large_rows
from swathpack.tools.files.rasters.records import FileRecord
from swathpack.tools.files.rasters.series import Series
from swathpack.tools.files.rasters.tiff import SUFFIXES, tifffile
from swathpack.tools.files.rasters.tiff_layout import (
    file_radiometry,
    layout_of,
    new_records,
    resolution_in,
    tags_with,
    write_mask,
    write_sidecar,
)
from swathpack.tools.files.rasters.tiff_tags import without_resolution


def find_geotiffs(folder: Path) -> list[Path]:
    """The GeoTIFFs of a folder by name."""
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in SUFFIXES)


def write_geotiffs(series: Series, folder: Path) -> list[Path]:
    """One file per file that was read (or per date) with all that its record holds; returns the paths. Raises UserError."""
    check_files(len(series.frames))
    folder.mkdir(parents=True, exist_ok=True)
    described = series.metadata.get("files") or [None] * len(series.frames)
    if len(described) != len(series.frames):
        raise UserError(f"metadata describes {len(described)} dates, the series has {len(series.frames)}")
    written: list[Path] = []
    synthesis = str(series.metadata.get("synthesis", ""))
    for index, files in enumerate(described):
        if large_rows.wanted(series.frames):
            written += large_rows.write_date(series.frames, index, files, folder, synthesis)
            continue
        frame = series.frames[index]
        records = [FileRecord.from_json(f) for f in files] if files else new_records(frame, index, [frame])
        native = NativeBands.of(frame)
        for record in records:
            if any(b.frame in native.counts for b in record.bands):
                written.append(_write_file(folder / Path(record.name).name, native, record, synthesis))
    return written


@dataclass(frozen=True)
class NativeBands:
    """Counts and validity of a frame's bands, each on its own grid."""

    radiometry: Radiometry
    counts: dict[str, NDArray[np.uint16]]
    valid: dict[str, NDArray[np.bool_]]

    @classmethod
    def of(cls, frame: Frame) -> NativeBands:
        """Of a frame."""
        return cls(frame.radiometry, frame.to_native(), frame.native_valid())


def _write_file(path: Path, native: NativeBands, record: FileRecord, synthesis: str) -> Path:
    kept = [i for i, b in enumerate(record.bands) if b.frame in native.counts]
    data, held = _values(native, record, kept)
    layout = layout_of(record, len(data), len(kept) == len(record.bands))
    options = {"metadata": None, "software": False, **resolution_in(record)}
    with tifffile().TiffWriter(path, bigtiff=bool(record.layout.get("bigtiff"))) as writer:
        tags = tags_with(record, kept, synthesis)
        writer.write(_arranged(data, layout), extratags=tags, **options, **layout)
        write_mask(writer, record, held, layout)
    without_resolution(path, keep_first="resolution" in options)
    write_sidecar(path, record, held)
    return path


def _values(native: NativeBands, record: FileRecord, kept: Sequence[int]) -> tuple[NDArray[Any], NDArray[np.bool_]]:
    """The file's samples (C, h, w) in its type, alpha among them, and where any band has data (h, w)."""
    names = [record.bands[i].frame for i in kept]
    height, width = record.shape if all(record.shape) else native.counts[names[0]].shape
    held = np.stack([native.valid[n][:height, :width] for n in names])
    counts = np.stack([native.counts[n][:height, :width] for n in names])
    data: NDArray[Any] = file_radiometry(native.radiometry, record).to_values(counts, held)
    any_held: NDArray[np.bool_] = np.asarray(held.any(axis=0))
    if record.alpha is not None:
        at, _, value = record.alpha
        data = np.insert(data, min(at, len(data)), np.where(any_held, value, 0).astype(data.dtype), axis=0)
    return data, any_held


def _arranged(data: NDArray[Any], layout: dict[str, Any]) -> NDArray[Any]:
    """(C, h, w) as tifffile takes it."""
    if len(data) == 1:
        return np.ascontiguousarray(data[0])
    return np.ascontiguousarray(data if layout["planarconfig"] == "separate" else np.moveaxis(data, 0, -1))
