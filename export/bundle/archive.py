"""A bundle as bytes: tar with nothing of this machine in it, then one zstd frame; and the way back."""

from __future__ import annotations

import io
import tarfile
from collections.abc import Iterable
from pathlib import Path

import zstandard

from swathpack.edge.install.manifest import MANIFEST, SIGNATURE
from swathpack.edge.spoken import reason

LEVEL = 12
MAX_TAR_BYTES = 2 << 30
_FRAME_HEAD = 18  # bytes of a frame's header, at most
ZSTD_MAGIC = b"\x28\xb5\x2f\xfd"


class ArchiveError(Exception):
    """Not a bundle, or a damaged one."""


def tar_bytes(files: Iterable[tuple[str, bytes]], time: int, folders: bool = False) -> bytes:
    """A tar archive of files in the given order: owner root, mode 644 (755 for programs), one time for all."""
    out = io.BytesIO()
    with tarfile.open(fileobj=out, mode="w", format=tarfile.GNU_FORMAT) as archive:
        made: set[str] = set()
        for path, data in files:
            for folder in _parents(path) if folders else ():
                if folder not in made:
                    made.add(folder)
                    archive.addfile(_entry(folder + "/", 0, time, tarfile.DIRTYPE, 0o755))
            archive.addfile(_entry(path, len(data), time, tarfile.REGTYPE, 0o644), io.BytesIO(data))
    return out.getvalue()


def bundle_tar(files: dict[str, bytes], manifest: bytes, signature: bytes, time: int) -> bytes:
    """The archive inside a bundle: manifest and signature first."""
    return tar_bytes([(MANIFEST, manifest), (SIGNATURE, signature), *files.items()], time)


def compressed(tar: bytes) -> bytes:
    """One zstd frame; the same bytes for the same input and version of the library."""
    return zstandard.ZstdCompressor(level=LEVEL, write_checksum=True, threads=0).compress(tar)


def read_tar(path: Path) -> bytes:
    """The archive in a bundle; raises ArchiveError."""
    try:
        with path.open("rb") as source:
            size = zstandard.frame_content_size(source.read(_FRAME_HEAD))
            source.seek(0)
            with zstandard.ZstdDecompressor().stream_reader(source) as reader:
                data = reader.read(MAX_TAR_BYTES + 1)
    except (OSError, zstandard.ZstdError) as error:
        raise ArchiveError(f"{path}: {reason(error, path)}") from error
    if len(data) > MAX_TAR_BYTES:
        raise ArchiveError(f"{path}: more than {MAX_TAR_BYTES >> 20} MB inside")
    if size > len(data):  # the library tells of no frame that ends early
        raise ArchiveError(f"{path}: not a whole bundle: expected {size:,} bytes inside, found {len(data):,}")
    return data


def _parents(path: str) -> list[str]:
    parts = path.split("/")[:-1]
    return ["/".join(parts[: n + 1]) for n in range(len(parts))]


def _entry(path: str, size: int, time: int, kind: bytes, mode: int) -> tarfile.TarInfo:
    entry = tarfile.TarInfo(path)
    entry.size, entry.mtime, entry.type, entry.mode = size, time, kind, mode
    entry.uname = entry.gname = "root"
    return entry
