"""What a file is that a command cannot read, and which command does."""

from __future__ import annotations

import zipfile
from collections.abc import Callable
from pathlib import Path

from swathpack.edge.packets.deframer import Deframer
from swathpack.edge.packets.errors import PacketError
from swathpack.edge.stream.header import MAGIC

_BEGINNING = 1 << 16
A_STREAM = "a SwathPack stream"
STREAM = "it is a SwathPack stream: swathpack inspect, swathpack decompress"
FRAMES = "it is {}: swathpack compress reads it"


def what_is(path: Path) -> str:
    """A sentence part to put behind what was expected, `it is packets of a pass: swathpack receive`; empty where nothing is known."""
    if path.is_dir():
        return "it is a folder" + (
            ": swathpack compress reads products and folders of rasters" if _frames_in(path) else ""
        )
    try:
        with open(path, "rb") as file:
            data = file.read(_BEGINNING)
    except OSError:
        return ""
    if not data:
        return "it is empty"
    if data[257:262] == b"ustar":
        return "it is a tar archive, maybe a flight bundle for an image (.overlay.tar): tar -x into its rootfs"
    return next(
        (said(path, data) if callable(said) else said for begins, said in _KINDS if data.startswith(begins)), ""
    ) or ("it is packets of a pass: swathpack receive" if _is_pass(data) else "")


def instead(path: Path, expected: str) -> str:
    """`PATH: expected packets of a pass; it is an .npz cube: swathpack compress reads it`."""
    said = what_is(path)
    return f"{path}: expected {expected}" + (f"; {said}" if said else ", found something else")


def _frames_in(folder: Path) -> bool:
    return any(p.suffix.lower() in (".tif", ".tiff", ".jp2", ".safe", ".xml", ".zip") for p in folder.iterdir())


def _archive(path: Path, _: bytes) -> str:
    try:
        with zipfile.ZipFile(path) as archive:
            names = archive.namelist()
    except (OSError, zipfile.BadZipFile):
        return "it is a damaged zip archive or .npz"
    if any(name.startswith("data") and name.endswith(".npy") for name in names):
        return FRAMES.format("an .npz cube")
    if any(".SAFE/" in name for name in names):
        return FRAMES.format("a zipped product")
    return "it is an .npz without `data`" if all(n.endswith(".npy") for n in names) else "it is a zip archive"


def _is_pass(data: bytes) -> bool:
    try:
        return bool(Deframer(_BEGINNING).feed(data))
    except PacketError:
        return False


_KINDS: tuple[tuple[bytes, str | Callable[[Path, bytes], str]], ...] = (
    (MAGIC, STREAM),
    (b"PK\x03\x04", _archive),
    (b"\x93NUMPY", "it is one array: save it with `numpy.savez(FILE, data=array, bands=names)` as an .npz"),
    (b"SQLite format 3\0", "it is a database, maybe a ground store: swathpack receive --store FILE --list"),
    (b"II*\0", FRAMES.format("a TIFF")),
    (b"MM\0*", FRAMES.format("a TIFF")),
    (b"II+\0", FRAMES.format("a BigTIFF")),
    (b"\0\0\0\x0cjP  ", FRAMES.format("a JPEG2000 file")),
    (b"\x89HDF", "it is HDF5 or NetCDF: swathpack compress reads it where GDAL does"),
    (b"SWFR", "it is a frame on its way to the loop's inbox (.swf): python -m swathpack.edge"),
    (b"!<arch>\n", "it is a Debian package, maybe a flight bundle for an image: dpkg -i on the board"),
    (b"\x28\xb5\x2f\xfd", "it is an archive, maybe a flight bundle: swathpack flash --bundle"),
)
