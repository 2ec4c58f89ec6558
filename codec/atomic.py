"""Files of training, calibration and export: whole or not there, whatever happens while they are written.

    with replaced(path) as part:          a file beside it, of the same suffix
        np.savez(part, ...)
    with staged(folder) as place:         a copy of the folder beside it, to be written to and read from
        write(place)

On leaving without an error what was written is synced and renamed into place, a folder's files one by one and those named
in `last` after all others; on any error, Ctrl-C included, what was there stays. What a killed run left beside the target is taken
away by the next one (`swathpack.codec.stages`). Commands write through `swathpack.tools.files.outputs`, which also guards inputs.
"""

from __future__ import annotations

import errno
import os
import shutil
from collections.abc import Iterator, Sequence
from contextlib import closing, contextmanager
from pathlib import Path

from swathpack.codec.stages import Stage, is_special
from swathpack.edge.storage.durable import make_folder, replace_durably, sync_tree


@contextmanager
def replaced(path: Path) -> Iterator[Path]:
    """A place to write the file to that will be at `path`. Raises OSError."""
    _check(path)
    make_folder(path.parent)
    with closing(Stage(path)) as stage:
        part = stage.path / path.name
        yield part
        _move(part, path)


@contextmanager
def staged(folder: Path, last: Sequence[str] = ("manifest.json",)) -> Iterator[Path]:
    """A folder to write to and read from in the place of `folder`, with the files that are there. Raises OSError."""
    make_folder(folder)
    with closing(Stage(folder)) as stage:
        place = stage.path / folder.name
        shutil.copytree(folder, place)
        before = {p: (p.stat().st_mtime_ns, p.stat().st_size) for p in _files(place)}
        yield place
        changed = [p for p in _files(place) if before.get(p) != (p.stat().st_mtime_ns, p.stat().st_size)]
        sync_tree(place)
        for path in sorted(changed, key=lambda p: (p.name in last, p)):
            target = folder / path.relative_to(place)
            _check(target)
            make_folder(target.parent)
            _move(path, target)


def _check(path: Path) -> None:
    if is_special(path):
        raise FileExistsError(errno.EEXIST, "expected a file, found a device, a pipe or a socket", str(path))


def _files(folder: Path) -> list[Path]:
    return sorted(p for p in folder.rglob("*") if p.is_file())


def _move(part: Path, path: Path) -> None:
    """Sync and rename, with the mode that a plain open would have given; what a link points to is replaced."""
    with part.open("rb") as file:
        os.fsync(file.fileno())
    target = Path(os.path.realpath(path))
    if target.exists():
        part.chmod(target.stat().st_mode & 0o7777)
    replace_durably(part, target)
