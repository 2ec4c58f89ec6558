"""Whether a slot is whole: every file of its bundle and of its packages, and none besides."""

from __future__ import annotations

import os
import shutil
from pathlib import Path

from swathpack.edge.install.archive import check_files
from swathpack.edge.install.manifest import FOLDERS, MANIFEST, Manifest, Refused, parse_manifest
from swathpack.edge.install.packages import check_packages
from swathpack.edge.install.record import mark

BYTECODE = "__pycache__"


def check_slot(folder: Path, identity: str) -> Manifest:
    """The slot is what the bundle of that identity was; raises Refused (`damaged`)."""
    manifest = read_slot_manifest(folder, identity)
    check_contents(folder, manifest)
    if mark(folder, "packages") != identity:
        raise Refused("damaged", f"{folder}: its packages were never whole")
    check_packages(folder, manifest)
    return manifest


def read_slot_manifest(folder: Path, identity: str) -> Manifest:
    """The manifest in the slot; raises Refused (`damaged`)."""
    try:
        manifest = parse_manifest((folder / MANIFEST).read_bytes())
    except OSError as error:
        raise Refused("damaged", f"{folder / MANIFEST}: {error.strerror}") from error
    if manifest.identity != identity:
        raise Refused("damaged", f"{folder}: expected bundle {identity[:12]}, found {manifest.identity[:12]}")
    return manifest


def check_contents(folder: Path, manifest: Manifest) -> None:
    """Code, model, wheels and unit: every file of the manifest and no others; raises Refused (`damaged`)."""
    drop_bytecode(folder)
    for below in FOLDERS:
        check_files(folder, manifest, below)
    expected = {entry.path for entry in manifest.files}
    for below in FOLDERS:
        for path in (folder / below).rglob("*"):
            name = path.relative_to(folder).as_posix()
            if (path.is_symlink() or not path.is_dir()) and name not in expected:
                raise Refused("damaged", f"{name}: not of this bundle")


def drop_bytecode(folder: Path) -> None:
    """Remove what a Python left that was started by hand: it would be loaded in place of files that are checked."""
    for place, names, _ in os.walk(folder):
        if BYTECODE in names:
            shutil.rmtree(os.path.join(place, BYTECODE), ignore_errors=True)
            names.remove(BYTECODE)
