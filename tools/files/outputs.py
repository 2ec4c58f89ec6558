"""Outputs that never harm: not over an input, not over what exists without --force, whole or not there at all.

    with Output(args.output, inputs=args.input, force=args.force) as place:
        write(place)                   a file or a folder of that suffix, beside the target

On leaving without an error everything is synced and renamed into place; on any error, Ctrl-C included, the old result
stays as it was and no half file is left. A link is kept: what it points to is replaced. What a killed run left beside the target is
taken away by the next one (`swathpack.codec.stages`).
"""

from __future__ import annotations

import argparse
import os
from collections.abc import Iterable
from pathlib import Path
from types import TracebackType

from swathpack.codec.stages import OLD, Stage, is_special
from swathpack.tools.errors import RefusedError, UsageError, UserError
from swathpack.tools.files.sidecars import sidecars


def add_force(parser: argparse.ArgumentParser) -> None:
    """The option of every command that writes."""
    parser.add_argument("--force", action="store_true", help="replace outputs that exist (never an input)")


def same_file(a: Path, b: Path) -> bool:
    """Whether two paths name one file or folder: through links, hard links and relative names."""
    try:
        return os.path.samefile(a, b)
    except OSError:
        return os.path.realpath(a) == os.path.realpath(b)


def check_output(target: Path, inputs: Iterable[Path] = (), force: bool = False) -> None:
    """Refuse a target that is an input, lies in the place of one, or exists without `force`; a device, a pipe or a socket with it,
    too. Raises RefusedError, and UsageError for `-`, which elsewhere is the standard output.
    """
    if str(target) == "-":
        raise UsageError("-: expected a file's name: nothing is written to the standard output")
    if is_special(target):
        raise RefusedError(f"{target} is a device, a pipe or a socket: expected a file")
    for source in inputs:
        if same_file(target, source):
            raise RefusedError(f"{target} is an input: give another output")
        if any(same_file(target, beside) for beside in sidecars(source)):
            raise RefusedError(f"{target} belongs to the input {source.name}: give another output")
        if target.is_dir() and source.is_file() and Path(os.path.realpath(source)).parent == target.resolve():
            raise RefusedError(f"{target} is the folder of the input {source.name}: give another output folder")
        if target.is_file() and source.is_dir() and source.resolve() in Path(os.path.realpath(target)).parents:
            raise RefusedError(f"{target} lies in the input folder {source}: give another output")
    if force or not os.path.lexists(target):
        return
    if target.is_dir() and not any(target.iterdir()):
        return
    raise RefusedError(f"{target} exists: give another output, or --force to replace it")


def check_outputs(targets: Iterable[Path | None], inputs: Iterable[Path], force: bool = False) -> None:
    """`check_output` of each (None: none), which must also be different files. Raises RefusedError."""
    inputs, seen = list(inputs), list[Path]()
    for target in filter(None, targets):
        check_output(target, inputs, force)
        if any(same_file(target, other) for other in seen):
            raise RefusedError(f"{target} is given for two outputs: give another for one of them")
        if not os.access(target.resolve().parent, os.W_OK) and target.resolve().parent.exists():
            raise UserError(f"cannot write {target}: no permission: {target.resolve().parent}")
        seen.append(target)


class Output:
    """One output, a file or (folder=True) a folder; enter to get the place to write to, beside the target. What else is
    written beside that place (a mask's sidecar) comes along.

    inputs: paths that must stay as they are. A folder that exists keeps its other files: new ones take the place of those
    of the same name, each in one step; whole: it goes as a whole, for one whose files mean nothing without each other.
    Raises RefusedError, and UserError when the disk refuses.
    """

    def __init__(
        self,
        target: Path,
        inputs: Iterable[Path] = (),
        force: bool = False,
        folder: bool = False,
        whole: bool = False,
    ) -> None:
        self.inputs = tuple(inputs)
        check_output(target, self.inputs, force)
        self.given, self.folder, self.force, self.whole = target, folder, force, whole
        self.target = Path(os.path.realpath(target))
        if whole:
            self._check_inside()
        if self.target.exists() and self.target.is_dir() != folder:
            kind = "a folder" if self.target.is_dir() else "a file"
            raise RefusedError(f"{target} is {kind}: expected {'a folder' if folder else 'a file'}")
        if not self.target.name:
            raise RefusedError(f"{target} is the root of all folders: give another output")
        self._check_place()
        self._stage: Stage | None = None

    def _check_place(self) -> None:
        """That something can be written beside the target, whose own folder is made where the target is one, too."""
        place = self.target.parent
        while self.folder and not place.exists():
            place = place.parent
        if not (place.is_dir() and os.access(place, os.W_OK)):
            reason = "no permission" if place.is_dir() else "no folder" if place.exists() else "no such folder"
            raise UserError(f"cannot write {self.given}: {reason}: {place}")

    def _check_part(self, place: Path) -> None:
        """A file of a folder may be there from an earlier run, in a folder of inputs too, but not as a link to what is read."""
        inputs = self.inputs if place.is_symlink() else [source for source in self.inputs if not source.is_dir()]
        check_output(place, inputs, force=True)

    def _check_inside(self) -> None:
        """A folder that goes as a whole takes with it whatever lies in it."""
        for source in self.inputs:
            if self.target in Path(os.path.realpath(source)).parents:
                raise RefusedError(f"{self.given} holds the input {source}: give another output")

    def __enter__(self) -> Path:
        try:
            if self.folder:
                self.target.parent.mkdir(parents=True, exist_ok=True)
            self._stage = Stage(self.target)
            place = self._stage.path / self.target.name
            if self.folder:
                place.mkdir()
        except OSError as error:
            if self._stage is not None:
                self._stage.close()
            raise self._failed(error) from error
        return place

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, _: TracebackType | None) -> None:
        assert self._stage is not None
        try:
            if kind is None:
                self._settle(self._stage.path / self.target.name)
            elif isinstance(error, OSError):
                raise self._failed(error) from error
            elif isinstance(error, UserError):
                self._rename(error)
        except OSError as failure:
            raise self._failed(failure) from failure
        finally:
            self._stage.close()

    def _rename(self, error: UserError) -> None:
        """Nobody who is told of an error knows the place beside the target."""
        assert self._stage is not None
        stage = self._stage.path
        if error.args and str(stage) in str(error.args[0]):
            said = str(error.args[0]).replace(str(stage / self.target.name), str(self.given))
            error.args = (said.replace(str(stage), str(self.given.parent)), *error.args[1:])

    def _settle(self, place: Path) -> None:
        if self.folder and self.whole and self.target.exists():
            self._exchange(place)
            return
        if self.folder and self.target.exists():
            parts = sorted(p.relative_to(place) for p in place.rglob("*") if p.is_file())
            for part in parts:
                self._check_part(self.target / part)
            for part in parts:
                path, goal = place / part, Path(os.path.realpath(self.target / part))
                goal.parent.mkdir(parents=True, exist_ok=True)
                _replace(path, goal)
            return
        if not self.folder:
            check_output(self.given, self.inputs, self.force)  # another run may have come first
        for path in place.rglob("*") if self.folder else ():
            _sync(path)
        for path in sorted(place.parent.iterdir()):  # sidecars first: the file itself is what tells that all is there
            if path != place:
                check_output(self.target.parent / path.name, self.inputs, self.force)
                _replace(path, self.target.parent / path.name)
        _replace(place, self.target)

    def _exchange(self, place: Path) -> None:
        """Put a folder in the place of another: the old one steps aside, and back where the new one cannot follow."""
        for path in place.rglob("*"):
            _sync(path)
        old = place.with_name(place.name + OLD)
        try:  # a signal may come between any two steps
            os.replace(self.target, old)
            _replace(place, self.target)
        except BaseException:
            if old.exists() and not self.target.exists():
                os.replace(old, self.target)
            raise

    def _failed(self, error: OSError) -> UserError:
        return UserError(f"cannot write {self.given}: {error.strerror or error}")


def write_bytes(target: Path, data: bytes, inputs: Iterable[Path] = (), force: bool = True) -> None:
    """A whole file in one step. Raises RefusedError, UserError."""
    with Output(target, inputs, force) as place:
        place.write_bytes(data)


def write_text(target: Path, text: str, inputs: Iterable[Path] = (), force: bool = True) -> None:
    """As `write_bytes`, UTF-8."""
    write_bytes(target, text.encode(), inputs, force)


def _replace(place: Path, target: Path) -> None:
    """Move into place, with the mode that the target has or that a plain open would have given."""
    if place.is_file():
        mode = target.stat().st_mode & 0o7777 if target.exists() else 0o666 & ~_umask()
        place.chmod(mode)
    _sync(place)
    os.replace(place, target)
    _sync(target.parent)


def _umask() -> int:
    value = os.umask(0)
    os.umask(value)
    return value


def _sync(path: Path) -> None:
    handle = os.open(path, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)
