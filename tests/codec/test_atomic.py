"""Files of training and export: whole or not there, and a folder's other files stay."""

from __future__ import annotations

import ast
import os
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from swathpack.codec.atomic import replaced, staged

ROOT = Path(__file__).resolve().parents[2]
# Calls that write a file, and what the names must be inside of where a script of these parts makes them.
WRITES = ("savez", "savez_compressed", "save", "write_text", "write_bytes")
GUARDS = ("replaced", "staged", "Output")
PARTS = ("codec", "calibration", "export")
# Written into a folder that a caller has staged, or no output of a user.
INSIDE = {
    "export/manifest.py": {"write_engine_files"},
    "export/bundle/wheels.py": {"download"},
}


def test_a_file_is_the_old_one_or_the_new_one(tmp_path: Path) -> None:
    path = tmp_path / "deep" / "a.npz"
    with replaced(path) as part:
        np.savez(part, a=1)
    with pytest.raises(KeyboardInterrupt), replaced(path) as part:
        part.write_text("half")
        raise KeyboardInterrupt
    with np.load(path) as found:
        assert int(found["a"]) == 1
    assert [p.name for p in path.parent.iterdir()] == ["a.npz"]


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    (tmp_path / "real").write_text("old")
    (tmp_path / "link").symlink_to("real")
    with replaced(tmp_path / "link") as part:
        part.write_text("new")
    assert (tmp_path / "link").is_symlink() and (tmp_path / "real").read_text() == "new"


def test_a_folder_keeps_its_other_files_and_gets_all_or_none(tmp_path: Path) -> None:
    folder = tmp_path / "model"
    folder.mkdir()
    for name in ("kept", "a", "manifest.json"):
        (folder / name).write_text("old")
    before = (folder / "kept").stat().st_ino
    with pytest.raises(ValueError, match="bad"), staged(folder) as place:
        (place / "a").write_text("new")
        raise ValueError("bad")
    assert {p.name: p.read_text() for p in folder.iterdir()} == {"kept": "old", "a": "old", "manifest.json": "old"}
    with staged(folder) as place:
        assert (place / "kept").read_text() == "old"
        (place / "a").write_text("newer")
        (place / "b").write_text("new")
    assert {p.name: p.read_text() for p in folder.iterdir()} == {
        "kept": "old",
        "a": "newer",
        "b": "new",
        "manifest.json": "old",
    }
    assert (folder / "kept").stat().st_ino == before and [p.name for p in tmp_path.iterdir()] == ["model"]


def test_a_full_disk_leaves_what_was_there(tmp_path: Path) -> None:
    (tmp_path / "prior.npz").write_bytes(b"old")
    script = (
        "import resource, signal, sys\nfrom pathlib import Path\nimport numpy as np\n"
        "from swathpack.codec.atomic import replaced\nsignal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (5000, 5000))\n"
        f"with replaced(Path({str(tmp_path / 'prior.npz')!r})) as part:\n    np.savez(part, a=np.arange(9999))\n"
    )
    done = subprocess.run([sys.executable, "-c", script], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode and "File too large" in done.stderr, done.stderr
    assert [(p.name, p.read_bytes()) for p in tmp_path.iterdir()] == [("prior.npz", b"old")]


_KILLED = """
import os, signal, sys
from pathlib import Path
from swathpack.codec.atomic import replaced, staged
with (replaced if sys.argv[2] == "file" else staged)(Path(sys.argv[1])) as place:
    (place if sys.argv[2] == "file" else place / "a").write_text("half")
    os.kill(os.getpid(), signal.SIGTERM)
"""


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_what_a_killed_run_left_goes_with_the_next_run(tmp_path: Path, kind: str) -> None:
    target = tmp_path / "model"
    done = subprocess.run([sys.executable, "-c", _KILLED, str(target), kind], cwd=ROOT, check=False)
    assert done.returncode == -15
    (left,) = [p for p in tmp_path.iterdir() if p != target]
    os.utime(left, (time.time() - 3600,) * 2)
    with (replaced if kind == "file" else staged)(target) as place:
        (place if kind == "file" else place / "a").write_text("new")
    assert [p.name for p in tmp_path.iterdir()] == ["model"]
    assert (target if kind == "file" else target / "a").read_text() == "new"


@pytest.mark.parametrize("kind", ["file", "folder"])
def test_nothing_takes_the_place_of_a_pipe(tmp_path: Path, kind: str) -> None:
    (tmp_path / "model").mkdir()
    pipe = tmp_path / "model/a"
    os.mkfifo(pipe)
    with pytest.raises(OSError, match="pipe"):
        if kind == "file":
            with replaced(pipe) as part:
                part.write_text("new")
        else:
            with staged(tmp_path / "model") as place:
                (place / "a").write_text("new")
    assert pipe.is_fifo() and [p.name for p in tmp_path.iterdir()] == ["model"]


def _unguarded(path: Path) -> list[str]:
    """Functions of a file that write outside of `with replaced(...)` and its like."""
    found = []

    def visit(node: ast.AST, function: str, guarded: bool) -> None:
        if isinstance(node, ast.FunctionDef):
            function, guarded = node.name, False
        if isinstance(node, ast.With):
            guarded = guarded or any(g in ast.unparse(i.context_expr) for i in node.items for g in GUARDS)
        if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in WRITES:
            to_memory = node.args and ast.unparse(node.args[0]) in ("stream", "buffer", "out", "data")
            if not guarded and not to_memory:
                found.append(function)
        for child in ast.iter_child_nodes(node):
            visit(child, function, guarded)

    visit(ast.parse(path.read_text("utf-8")), "", False)
    return found


def test_every_script_writes_through_a_guard() -> None:
    loose = {}
    for part in PARTS:
        for path in sorted((ROOT / part).rglob("*.py")):
            name = path.relative_to(ROOT).as_posix()
            rest = [f for f in _unguarded(path) if f not in INSIDE.get(name, set())]
            if rest and name != "codec/atomic.py":
                loose[name] = rest
    assert loose == {}
