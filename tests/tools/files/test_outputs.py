"""Outputs never harm: inputs and what exists stay, a failure of any kind leaves the old result and nothing half-made."""

from __future__ import annotations

import os
import resource
import socket
import stat
import subprocess
import sys
from errno import ENOSPC
from pathlib import Path
from typing import Any

import pytest

from swathpack.tools.errors import REFUSED, RefusedError, UsageError, UserError
from swathpack.tools.files.outputs import Output, check_output, write_text


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


@pytest.fixture
def original(tmp_path: Path) -> Path:
    path = tmp_path / "in.npz"
    path.write_bytes(b"original")
    return path


def test_an_input_is_never_the_output(original: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "link").symlink_to(original)
    os.link(original, tmp_path / "hard")
    monkeypatch.chdir(tmp_path)
    for target in (original, tmp_path / "link", tmp_path / "hard", Path("in.npz"), tmp_path / "x" / ".." / "in.npz"):
        with pytest.raises(RefusedError, match="is an input"):
            check_output(target, [original], force=True)
    with pytest.raises(RefusedError, match="folder of the input"):
        check_output(tmp_path, [original], force=True)
    assert RefusedError("").exit_code == REFUSED


def test_the_standard_output_is_no_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match="-: expected a file's name"):
        Output(Path("-"))
    assert not names(tmp_path)


def test_a_file_of_a_folder_is_no_way_to_an_input(original: Path, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    folder.mkdir()
    (folder / "b.tif").symlink_to(original)
    with (
        pytest.raises(RefusedError, match="is an input"),
        Output(folder, [original], force=True, folder=True) as place,
    ):
        (place / "a.tif").write_bytes(b"new")
        (place / "b.tif").write_bytes(b"new")
    assert original.read_bytes() == b"original" and names(folder) == ["b.tif"], "nothing is replaced before"


def test_a_folder_that_goes_as_a_whole_holds_no_input(original: Path, tmp_path: Path) -> None:
    (tmp_path / "group/band").mkdir(parents=True)
    inside = original.rename(tmp_path / "group/band/in.npz")
    with pytest.raises(RefusedError, match="holds the input"):
        Output(tmp_path / "group", [inside], force=True, folder=True, whole=True)


@pytest.mark.parametrize("kind", ["pipe", "socket"])
@pytest.mark.parametrize("way", ["itself", "link", "in a folder"])
def test_nothing_takes_the_place_of_what_is_no_file(tmp_path: Path, kind: str, way: str) -> None:
    """A rename would: of /dev/null, for whoever may write there, a plain file for everybody."""
    folder = tmp_path / "out"
    folder.mkdir()
    special = folder / "a.tif"
    if kind == "pipe":
        os.mkfifo(special)
    else:
        held = socket.socket(socket.AF_UNIX)
        held.bind(str(special))
        held.close()
    (tmp_path / "link").symlink_to(special)
    with pytest.raises(RefusedError, match="a.tif|link") as refused:
        if way == "in a folder":
            with Output(folder, force=True, folder=True) as place:
                (place / "a.tif").write_bytes(b"new")
        else:
            write_text(special if way == "itself" else tmp_path / "link", "new", force=True)
    assert "is a device, a pipe or a socket: expected a file" in str(refused.value)
    assert not special.is_file() and special.exists() and names(folder) == ["a.tif"]


@pytest.mark.parametrize("name", ["in.npz.msk", "in.npz.aux.xml", "in.tfw"])
def test_what_is_read_beside_an_input_is_never_the_output(original: Path, tmp_path: Path, name: str) -> None:
    check_output(tmp_path / name, [original], force=True)
    (tmp_path / name).write_bytes(b"mask")
    with pytest.raises(RefusedError, match="belongs to the input in.npz"):
        check_output(tmp_path / name, [original], force=True)


def test_what_exists_needs_force(tmp_path: Path) -> None:
    target = tmp_path / "out.swp"
    write_text(target, "one", force=False)
    with pytest.raises(RefusedError, match="--force"):
        write_text(target, "two", force=False)
    assert target.read_text() == "one"
    write_text(target, "two", force=True)
    assert target.read_text() == "two" and names(tmp_path) == ["out.swp"]
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    with pytest.raises(RefusedError, match="exists"):
        check_output(tmp_path / "dangling")
    (tmp_path / "empty").mkdir()
    check_output(tmp_path / "empty")


def test_what_came_while_a_run_lasted_needs_force_too(tmp_path: Path) -> None:
    for force, kept in ((False, b"theirs"), (True, b"ours")):
        target = tmp_path / f"out-{force}"
        try:
            with Output(target, force=force) as place:
                place.write_bytes(b"ours")
                target.write_bytes(b"theirs")
        except RefusedError as error:
            assert not force and "exists" in str(error)
        assert target.read_bytes() == kept
    assert names(tmp_path) == ["out-False", "out-True"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "far").mkdir()
    real, link = tmp_path / "far/real.swp", tmp_path / "link.swp"
    real.write_text("old")
    link.symlink_to(real)
    write_text(link, "new")
    assert link.is_symlink() and real.read_text() == "new" and names(tmp_path / "far") == ["real.swp"]


@pytest.mark.parametrize("error", [KeyboardInterrupt, ValueError])
def test_a_failure_leaves_the_old_result(tmp_path: Path, error: type[BaseException]) -> None:
    target = tmp_path / "out.npz"
    target.write_text("old")
    with pytest.raises(error), Output(target, force=True) as place:
        place.write_text("half")
        raise error
    assert target.read_text() == "old" and names(tmp_path) == ["out.npz"]


def test_a_failing_folder_leaves_the_old_one(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "a.tif").write_text("old")
    (target / "mine.txt").write_text("mine")
    with pytest.raises(KeyboardInterrupt), Output(target, force=True, folder=True) as place:
        (place / "a.tif").write_text("half")
        raise KeyboardInterrupt
    assert (target / "a.tif").read_text() == "old" and names(tmp_path) == ["out"]
    with Output(target, force=True, folder=True) as place:
        (place / "sub").mkdir()
        (place / "a.tif").write_text("new")
        (place / "sub/b.tif").write_text("b")
    assert (target / "a.tif").read_text() == "new" and (target / "mine.txt").read_text() == "mine"
    assert (target / "sub/b.tif").read_text() == "b" and names(tmp_path) == ["out"]


def test_a_new_folder_comes_in_one_step(tmp_path: Path) -> None:
    target = tmp_path / "deep/out"
    with Output(target, folder=True) as place:
        (place / "a.tif").write_text("a")
        assert not target.exists()
    assert names(target) == ["a.tif"] and names(target.parent) == ["out"]


def test_a_signal_between_two_steps_brings_an_old_folder_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The old one has stepped aside, the new one is not there yet."""
    target, replace = tmp_path / "a.zarr", os.replace
    target.mkdir()
    (target / "old").touch()

    def interrupted(source: Path, goal: Path) -> None:
        replace(source, goal)
        if goal.name.endswith(".old"):
            raise KeyboardInterrupt

    monkeypatch.setattr(os, "replace", interrupted)
    with pytest.raises(KeyboardInterrupt), Output(target, force=True, folder=True, whole=True) as place:
        (place / "new").touch()
    assert names(target) == ["old"] and names(tmp_path) == ["a.zarr"]


def test_a_file_is_no_folder(tmp_path: Path) -> None:
    (tmp_path / "out").write_text("file")
    with pytest.raises(RefusedError, match="expected a folder"):
        Output(tmp_path / "out", force=True, folder=True)
    (tmp_path / "dir").mkdir()
    with pytest.raises(RefusedError, match="expected a file"):
        Output(tmp_path / "dir", force=True)
    with pytest.raises(RefusedError, match="root of all folders"):
        Output(Path("/"), force=True, folder=True)


def test_a_place_that_cannot_be_made_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    made = Path.mkdir

    def full(path: Path, *args: Any, **named: Any) -> None:
        if path.name == "out":
            raise OSError(ENOSPC, "No space left on device")
        made(path, *args, **named)

    output = Output(tmp_path / "out", folder=True)
    monkeypatch.setattr(Path, "mkdir", full)
    with pytest.raises(UserError, match=f"cannot write {tmp_path}/out: No space left"):
        output.__enter__()
    assert not names(tmp_path)


def test_modes_are_as_a_plain_open_gives_them(tmp_path: Path) -> None:
    write_text(tmp_path / "new", "")
    (tmp_path / "plain").write_text("")
    assert (tmp_path / "new").stat().st_mode == (tmp_path / "plain").stat().st_mode
    (tmp_path / "plain").chmod(0o640)
    write_text(tmp_path / "plain", "again")
    assert stat.S_IMODE((tmp_path / "plain").stat().st_mode) == 0o640


CHILD = """
import resource, sys
from pathlib import Path
from swathpack.tools.errors import UserError
from swathpack.tools.files.outputs import Output
resource.setrlimit(resource.RLIMIT_FSIZE, (4096, 4096))
try:
    with Output(Path(sys.argv[1]), force=True) as place:
        place.write_bytes(bytes(8192))
except UserError as error:
    print(error)
"""


def test_a_full_disk_leaves_the_old_result(tmp_path: Path) -> None:
    assert resource.RLIMIT_FSIZE is not None
    target = tmp_path / "out"
    target.write_text("old")
    done = subprocess.run([sys.executable, "-c", CHILD, target], capture_output=True, text=True, check=False)
    assert done.returncode == 0 and f"cannot write {target}" in done.stdout, done.stderr
    assert target.read_text() == "old" and names(tmp_path) == ["out"]


def test_a_folder_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(UserError, match="no such folder"):
        Output(tmp_path / "no/such/out.swp")


def test_nobody_is_told_of_the_place_beside_the_target(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match="^a.tif: one date; ./notes$"), Output(Path("a.tif")) as place:  # noqa: PT012
        raise UserError(f"{place}: one date; {place.parent}/notes")
    assert not names(tmp_path)
