"""Reading a bundle's tar archive without trusting it: signature first, then every file against the manifest."""

from __future__ import annotations

import hashlib
import tarfile
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import IO

from swathpack.edge.install.manifest import (
    MANIFEST,
    MAX_MANIFEST_BYTES,
    SIGNATURE,
    FileEntry,
    Manifest,
    Refused,
    check_signature,
    parse_manifest,
)
from swathpack.edge.storage.durable import sync_tree

_BLOCK = 1 << 20
Progress = Callable[[int, int], None]


def read_head(archive: tarfile.TarFile, keys: dict[str, bytes] | None) -> Manifest:
    """The manifest of a bundle signed by one of `keys`, by whomever for None; raises Refused."""
    try:
        data = _small(archive, MANIFEST)
        signature = _small(archive, SIGNATURE)
    except (tarfile.TarError, EOFError) as error:
        raise Refused("damaged", f"not a whole bundle: {error}") from error
    signer = "" if keys is None else check_signature(data, signature, keys)
    return replace(parse_manifest(data), signer=signer)


def open_bundle(stream: IO[bytes]) -> tarfile.TarFile:
    """A tar stream, read forwards; raises Refused (`damaged`)."""
    try:
        return tarfile.open(fileobj=stream, mode="r|")
    except tarfile.TarError as error:
        raise Refused("damaged", f"not a bundle: {error}") from error


def unpack(path: Path, target: Path, keys: dict[str, bytes], progress: Progress) -> Manifest:
    """Write the files of the bundle at `path` into `target`; the manifest goes there too. Raises Refused.

    Nothing is written before the signature holds; a file is in place only with the digest that the manifest
    names, and all of them, manifest and folders too, are synced to the disk before this returns.
    """
    try:
        with path.open("rb") as stream, open_bundle(stream) as archive:
            manifest = read_head(archive, keys)
            total, done = sum(e.size for e in manifest.files), 0
            for entry, source in _entries(archive, manifest):
                _write(source, target / entry.path, entry)
                done += entry.size
                progress(done, total)
            if archive.next() is not None:
                raise Refused("tampered", "the archive holds more files than its manifest")
        (target / MANIFEST).write_bytes(_manifest_bytes(path))
        sync_tree(target)
        return manifest
    except (tarfile.TarError, EOFError) as error:
        raise Refused("damaged", f"{path.name}: {error}") from error


def check_all(stream: IO[bytes], keys: dict[str, bytes] | None) -> Manifest:
    """As unpack, but writes nothing: every digest is compared. keys: see `read_head`. Raises Refused."""
    try:
        with open_bundle(stream) as archive:
            manifest = read_head(archive, keys)
            for entry, source in _entries(archive, manifest):
                _copy(source, None, entry)
            if archive.next() is not None:
                raise Refused("tampered", "the archive holds more files than its manifest")
            return manifest
    except (tarfile.TarError, EOFError) as error:
        raise Refused("damaged", f"not a whole bundle: {error}") from error


def check_files(folder: Path, manifest: Manifest, below: str) -> None:
    """Compare installed files under `below` with the manifest; raises Refused (`damaged`)."""
    for entry in manifest.files:
        if entry.path.startswith(below):
            try:
                with (folder / entry.path).open("rb") as source:
                    _copy(source, None, entry)
            except OSError as error:
                raise Refused("damaged", f"{entry.path}: {error.strerror}") from error


def _manifest_bytes(path: Path) -> bytes:
    with path.open("rb") as stream, open_bundle(stream) as archive:
        return _small(archive, MANIFEST)


def _entries(archive: tarfile.TarFile, manifest: Manifest) -> Iterator[tuple[FileEntry, IO[bytes]]]:
    for entry in manifest.files:
        member = archive.next()
        if member is None or member.name != entry.path or not member.isreg() or member.size != entry.size:
            found = "its end" if member is None else f"{member.name} ({member.size} bytes)"
            raise Refused("tampered", f"expected {entry.path} ({entry.size} bytes), found {found}")
        source = archive.extractfile(member)
        if source is None:
            raise Refused("damaged", f"{entry.path} cannot be read")
        yield entry, source


def _small(archive: tarfile.TarFile, name: str) -> bytes:
    member = archive.next()
    if member is None or member.name != name or not member.isreg() or member.size > MAX_MANIFEST_BYTES:
        found = "its end" if member is None else member.name
        raise Refused("damaged", f"not a bundle: expected {name}, found {found}")
    source = archive.extractfile(member)
    return b"" if source is None else source.read()


def _write(source: IO[bytes], target: Path, entry: FileEntry) -> None:
    target.parent.mkdir(parents=True, exist_ok=True)
    with target.open("wb") as out:
        _copy(source, out, entry)


def _copy(source: IO[bytes], out: IO[bytes] | None, entry: FileEntry) -> None:
    digest, size = hashlib.sha256(), 0
    while block := source.read(_BLOCK):
        digest.update(block)
        size += len(block)
        if out is not None:
            out.write(block)
    if size != entry.size or digest.hexdigest() != entry.sha256:
        found = f"{size} bytes, {digest.hexdigest()[:16]}"
        raise Refused("tampered", f"{entry.path}: expected {entry.size} bytes, {entry.sha256[:16]}, found {found}")
