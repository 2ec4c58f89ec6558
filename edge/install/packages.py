"""Packages of a bundle: wheels unpacked into the slot's search path, and compared with it before every start.

A wheel is a zip archive of what goes into the search path; files of its `.data/platlib` and `purelib` belong there too
(PyPA, "Binary distribution format"). The wheels stay in the slot: their digests are those of the signed manifest, so
what was unpacked is compared with them and not with a list of its own.
"""

from __future__ import annotations

import shutil
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import IO

from swathpack.edge.install.manifest import Manifest, Refused

SITE = "site"
_BLOCK = 1 << 20
_ERRORS = (OSError, EOFError, NotImplementedError, RuntimeError, ValueError, zipfile.BadZipFile)


def wheels_of(folder: Path, manifest: Manifest) -> list[Path]:
    """The wheels of a slot, in the manifest's order."""
    return [folder / e.path for e in manifest.files if e.path.startswith("wheels/")]


def unpack_wheel(wheel: Path, site: Path) -> None:
    """Files of a wheel into the search path. Raises Refused (`tampered`) for a name that leads elsewhere."""
    for name, source in _members(wheel):
        target = site / name
        target.parent.mkdir(parents=True, exist_ok=True)
        if target.exists():
            _same(source, target, wheel, name)
            continue
        with target.open("wb") as out:
            shutil.copyfileobj(source, out, _BLOCK)


def check_packages(folder: Path, manifest: Manifest) -> None:
    """Compare the search path with the wheels: every file, and no others. Raises Refused (`damaged`)."""
    site, expected = folder / SITE, set[str]()
    for wheel in wheels_of(folder, manifest):
        for name, source in _members(wheel):
            expected.add(name)
            _same(source, site / name, wheel, name)
    for path in site.rglob("*"):
        known = path.is_dir() and not path.is_symlink()
        if not known and path.relative_to(site).as_posix() not in expected:
            raise Refused("damaged", f"{SITE}/{path.relative_to(site)}: no wheel of this bundle holds it")


def safe_name(name: str) -> bool:
    """Whether a path of an archive stays below the folder into which it is unpacked."""
    return not any(part in ("", ".", "..") for part in name.split("/")) and "\\" not in name and "\0" not in name


def _members(wheel: Path) -> Iterator[tuple[str, IO[bytes]]]:
    """(path in the search path, bytes) of every file; raises Refused."""
    try:
        with zipfile.ZipFile(wheel) as archive:
            for info in archive.infolist():
                name = _place_of(info.filename, wheel)
                if name:
                    with archive.open(info) as source:
                        yield name, source
    except _ERRORS as error:
        raise Refused("damaged", f"{wheel.name}: {type(error).__name__}: {error}") from error


def _place_of(name: str, wheel: Path) -> str:
    """Where a member goes, "" for nowhere."""
    if not safe_name(name.removesuffix("/")):
        raise Refused("tampered", f"{wheel.name}: expected a path within the packages, found {name!r}")
    first, _, rest = name.partition("/")
    if first.endswith(".data"):
        kind, _, name = rest.partition("/")
        if kind not in ("platlib", "purelib"):
            return ""
    return "" if name.endswith("/") else name


def _same(source: IO[bytes], target: Path, wheel: Path, name: str) -> None:
    try:
        with target.open("rb") as found:
            while block := source.read(_BLOCK):
                if found.read(len(block)) != block:
                    raise Refused("damaged", f"{SITE}/{name}: not as in {wheel.name}")
            if found.read(1):
                raise Refused("damaged", f"{SITE}/{name}: longer than in {wheel.name}")
    except OSError as error:
        raise Refused("damaged", f"{SITE}/{name}: {error.strerror}") from error
