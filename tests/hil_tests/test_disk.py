"""The simulated disk: a real process with the library preloaded is killed, cut off or filled up, and we look."""

import random
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from swathpack.hil_tests.simulation import disk

ROOT = Path(__file__).resolve().parents[2]
WRITER = """
import os, sqlite3, sys
from pathlib import Path
from swathpack.hil_tests.simulation.disk import Disk
root = Path(sys.argv[1])
disk = Disk(root)
db = sqlite3.connect(root / "db", isolation_level=None)
db.execute("PRAGMA journal_mode=WAL")
db.execute("PRAGMA synchronous=FULL")
db.execute("CREATE TABLE t (n INTEGER, data BLOB)")
{body}
"""
COMMITS = """
disk.arm(int(sys.argv[2]), True, Path(sys.argv[3]))
for n in range(200):
    with open(root / f"file{n}.part", "wb") as file:
        file.write(bytes([n]) * 3000)
        file.flush()
        os.fsync(file.fileno())
    os.replace(root / f"file{n}.part", root / f"file{n}")
    folder = os.open(root, os.O_RDONLY)
    os.fsync(folder)
    os.close(folder)
    db.execute("BEGIN IMMEDIATE")
    db.execute("INSERT INTO t VALUES (?, ?)", (n, bytes([n]) * 5000))
    db.execute("COMMIT")
    os.write(1, b"%d\\n" % n)
"""
FULL = """
disk.limit(20_000)
try:
    for n in range(100):
        db.execute("INSERT INTO t VALUES (?, ?)", (n, bytes(2000)))
except sqlite3.OperationalError as error:
    print("sqlite:", error)
try:
    (root / "big").write_bytes(bytes(100_000))
except OSError as error:
    print("file:", error.strerror)
state = os.statvfs(root)
print("free:", state.f_bavail * state.f_frsize < 20_000)
disk.limit(-1)
(root / "big").write_bytes(bytes(100_000))
print("again:", (root / "big").stat().st_size)
"""


@pytest.fixture(scope="module")
def library(tmp_path_factory):
    built = disk.build(tmp_path_factory.mktemp("disk"))
    if built is None:
        pytest.skip("no C compiler here")
    return built


def board(library, body, *arguments):
    return subprocess.run(
        [sys.executable, "-c", WRITER.format(body=body), *map(str, arguments)],
        capture_output=True,
        text=True,
        cwd=ROOT,
        env={"LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
        timeout=60,
    )


@pytest.mark.parametrize("operation", [3, 17, 58, 91])
def test_what_was_synced_survives_a_loss_of_power(tmp_path, library, operation):
    import sqlite3

    root = tmp_path / "state"
    root.mkdir()
    done = board(library, COMMITS, root, operation, tmp_path / "journal")
    assert done.returncode == -signal.SIGKILL, done.stderr
    committed = [int(line) for line in done.stdout.split()]
    disk.lose_power(tmp_path / "journal", random.Random(operation))
    assert not (tmp_path / "journal").exists()
    for n in committed:
        assert (root / f"file{n}").read_bytes() == bytes([n]) * 3000
    rows = sqlite3.connect(root / "db").execute("SELECT n, data FROM t ORDER BY n").fetchall()
    assert [n for n, _ in rows][: len(committed)] == committed, "a commit that was told of is there"
    assert all(data == bytes([n]) * 5000 for n, data in rows)


def test_unsynced_writes_are_lost(tmp_path, library):
    root = tmp_path / "state"
    root.mkdir()
    body = """
(root / "old").write_bytes(b"a" * 2000)
disk.arm(6, False, Path(sys.argv[2]))
with open(root / "old", "r+b") as file:
    file.write(b"b" * 2000)
    file.flush()
    for n in range(9):
        (root / f"new{n}").write_bytes(b"c")
"""
    lost = {"old": 0, "new0": 0}
    for seed in range(12):
        for path in root.iterdir():
            path.unlink()
        assert board(library, body, root, tmp_path / "journal").returncode == -signal.SIGKILL
        assert (root / "old").read_bytes() == b"b" * 2000, "a kill alone loses nothing"
        disk.lose_power(tmp_path / "journal", random.Random(seed))
        lost["old"] += (root / "old").read_bytes() != b"b" * 2000
        lost["new0"] += not (root / "new0").exists()
    assert 0 < lost["old"] < 12 and 0 < lost["new0"] < 12


def test_a_full_disk_refuses_and_recovers(tmp_path, library):
    done = board(library, FULL, tmp_path)
    assert done.stdout.split("\n")[:4] == [
        "sqlite: database or disk is full",
        "file: No space left on device",
        "free: True",
        "again: 100000",
    ], done.stdout + done.stderr


def test_without_the_library_nothing_is_simulated(tmp_path):
    handle = disk.Disk(tmp_path)
    assert not handle.there and handle.syncs == 0
    handle.limit(0)
    handle.tick()
    with pytest.raises(OSError, match="LD_PRELOAD"):
        handle.arm(1, False, None)


CASES = {
    # What is done, and what may be there after a loss of power: texts of `name`, None for no file.
    "rename of what was never synced": ("write('part', b'new'); os.replace(at('part'), at('name'))", {b"old", b"new", b"", b"\0\0\0"}),
    "synced, renamed": ("write('part', b'new', True); os.replace(at('part'), at('name'))", {b"old", b"new"}),
    "synced, renamed, folder synced": (
        "write('part', b'new', True); os.replace(at('part'), at('name')); sync(root)",
        {b"new"},
    ),
    "overwritten in place": ("write('name', b'new')", {b"old", b"new", b"", b"\0\0\0", b"ne\0"}),
    "removed": ("os.unlink(at('name'))", {b"old", None}),
    "removed, folder synced": ("os.unlink(at('name')); sync(root)", {None}),
    "all synced": ("write('name', b'new'); os.sync()", {b"new"}),
    "in a folder that is renamed": (
        "os.mkdir(at('d')); sync(root); write('d/name', b'new'); os.unlink(at('name')); sync(root); "
        "os.rename(at('d'), at('e')); sync(root); sync(root / 'e'); os.rename(at('e/name'), at('name')); sync(root)",
        {b"new", b"", b"\0\0\0"},
    ),
    "copied by the kernel": ("shutil.copyfile(source, at('name'))", {b"old", b"new", b"", b"\0\0\0"}),
    "linked": ("write('part', b'new', True); os.unlink(at('name')); sync(root); os.link(at('part'), at('name'))", {b"new", None}),
    "a tree removed": ("os.unlink(at('name')); os.mkdir(at('t')); write('t/x', b'1', True); shutil.rmtree(at('t'))", {b"old", None}),
}  # fmt: skip
DOER = """
import os, shutil, sys
from pathlib import Path
from swathpack.hil_tests.simulation.disk import Disk
root, source = Path(sys.argv[1]), sys.argv[3]
disk = Disk(root)
def at(name): return str(root / name)
def sync(folder):
    handle = os.open(folder, os.O_RDONLY)
    os.fsync(handle)
    os.close(handle)
def write(name, data, synced=False):
    with open(at(name), "wb") as out:
        out.write(data)
        out.flush()
        if synced:
            os.fsync(out.fileno())
disk.arm(1 << 30, False, Path(sys.argv[2]))
{body}
os.kill(os.getpid(), 9)
"""


@pytest.mark.parametrize("case", CASES)
def test_what_may_be_there_after_a_loss_of_power_and_nothing_else(tmp_path, library, case):
    body, allowed = CASES[case]
    (tmp_path / "source").write_bytes(b"new")
    found = set()
    for seed in range(24):
        root, journal = tmp_path / f"root{seed}", tmp_path / "journal"
        root.mkdir()
        (root / "name").write_bytes(b"old")
        if seed == 0:
            done = subprocess.run(
                [sys.executable, "-c", DOER.format(body=body), root, journal, tmp_path / "source"],
                env={"LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"},
                capture_output=True, text=True, cwd=ROOT, timeout=60,
            )  # fmt: skip
            assert done.returncode == -signal.SIGKILL, done.stderr
            shutil.copytree(root, tmp_path / "before", symlinks=True)
            shutil.copyfile(journal, tmp_path / "kept")
            shutil.copytree(f"{journal}.kept", tmp_path / "kept.kept")
        else:
            shutil.rmtree(root)
            root = tmp_path / "root0"
            shutil.rmtree(root)
            shutil.copytree(tmp_path / "before", root, symlinks=True)
            shutil.copyfile(tmp_path / "kept", journal)
            shutil.copytree(tmp_path / "kept.kept", f"{journal}.kept")
        disk.lose_power(journal, random.Random(seed), (0.0, 0.5, None)[seed % 3])
        found.add((root / "name").read_bytes() if (root / "name").exists() else None)
    assert found <= allowed, (case, found)
    if len(allowed) > 1:
        assert len(found) > 1, "something can be lost here"


def test_a_synced_file_is_lost_with_a_folder_whose_name_is_not(tmp_path, library):
    (tmp_path / "root").mkdir()
    for body, there in (("", False), ("sync(root)", True)):
        subprocess.run(
            [sys.executable, "-c", DOER.format(body=f"os.mkdir(at('d')); write('d/f', b'1', True); sync(root / 'd'); {body}"),
             tmp_path / "root", tmp_path / "journal", "-"],
            env={"LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, cwd=ROOT, timeout=60,
        )  # fmt: skip
        assert (tmp_path / "root/d/f").exists()
        disk.lose_power(tmp_path / "journal", random.Random(1), 0.0)
        assert (tmp_path / "root/d/f").exists() == there


def test_with_the_power_on_a_kill_takes_nothing_back(tmp_path, library):
    (tmp_path / "root").mkdir()
    body = "write('a', b'1'); os.replace(at('a'), at('b')); os.mkdir(at('d')); write('d/c', b'2')"
    subprocess.run(
        [sys.executable, "-c", DOER.format(body=body), tmp_path / "root", tmp_path / "journal", "-"],
        env={"LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, cwd=ROOT, timeout=60,
    )  # fmt: skip
    assert disk.lose_power(tmp_path / "journal", random.Random(1), 1.0) == 0
    assert (tmp_path / "root/b").read_bytes() == b"1" and (tmp_path / "root/d/c").read_bytes() == b"2"


START = """
import sys
from pathlib import Path
from swathpack.edge.board import open_board
from swathpack.edge.clock import ManualClock
from swathpack.edge.config import parse_mission
from swathpack.hil_tests.simulation.disk import Disk
from swathpack.hil_tests.simulation.flight import MISSION
root = Path(sys.argv[1])
disk, mission = Disk(root), parse_mission(MISSION, root)
for free in (-1, 20_000, -1):
    disk.limit(free)
    board = open_board(mission, ManualClock(), bytes(8))
    print("open", board.ballast.intact)
    board.close()
"""


def test_a_board_starts_on_a_full_disk(library, tmp_path):
    """Others have filled it while the board was down: the ballast gives the room that a start takes."""
    done = subprocess.run(
        [sys.executable, "-c", START, str(tmp_path)],
        env={"LD_PRELOAD": str(library), "PYTHONPATH": str(ROOT), "PATH": "/usr/bin:/bin"}, cwd=ROOT, timeout=60,
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[:3] == ["open True", "open False", "open True"]
