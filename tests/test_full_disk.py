"""A disk that is full, or a Ctrl-C, at any moment of any command that writes: the old results stay, no half file is left.

The disk is a limit on the size of files (RLIMIT_FSIZE), below what the command would write.
"""

from __future__ import annotations

import os
import resource
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.errors import BAD_INPUT, INTERRUPTED
from tests.input_table import digests, lay

ROOT = Path(__file__).resolve().parent.parent
SLOW = pytest.mark.slow
Names = tuple[str, ...]


def command(words: str) -> list[str]:
    """A command of swathpack, or `python -m` where the first word is a module."""
    first, *rest = words.split()
    own = ["swathpack.tools.cli", first] if not first.startswith("swathpack.") else [first]
    return [sys.executable, "-m", *own, *rest]


def limited(limit: int) -> Callable[[], None]:
    """What makes files of more than `limit` bytes impossible."""

    def apply() -> None:
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, limit))

    return apply


def environment() -> dict[str, str]:
    """The checkout first, nothing written beside the modules."""
    return os.environ | {"PYTHONPATH": str(ROOT), "PYTHONDONTWRITEBYTECODE": "1", "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The files of the table of inputs, and old results under the names that the commands write."""
    folder = tmp_path_factory.mktemp("desk")
    lay(folder)
    for name in (
        "out/plan.html",
        "out/bench.json",
        "out/manifest.json",
        "out/000_2026-05-01.tif",
        "out/analysis_int8.onnx",
    ):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text("an old result\n")
    (folder / "cubes").mkdir()
    for seed, place in enumerate("abc"):
        np.savez(folder / f"cubes/{place}.npz", data=values(64, 64, 2, seed), dates=["2026-05-01", "2026-05-06"])
    return folder


CASES = [
    ("compress cube.npz -o old.swp --lossless --force", 2000, "old.swp", ""),
    ("compress cube.npz -o link.swp --lossless --force", 2000, "link.swp", ""),
    ("compress cube.npz -o new.swp --lossless", 2000, "new.swp", ""),
    ("decompress cube.swp -o old.npz --force", 2000, "old.npz", ""),
    ("decompress cube.swp -o out --force", 2000, "out", "tifffile"),
    ("decompress cube.swp -o new/images", 2000, "new/images", "tifffile"),
    ("decompress cube.swp -o old.nc --force", 5000, "old.nc", "h5netcdf"),
    ("decompress cube.swp -o new.zarr", 500, "new.zarr", ""),
    ("decompress cube.swp -o out --force --cog", 14000, "out", "rasterio"),
    ("inpaint cube.npz --method regression --mask clouds.npz -o old.npz --force", 2000, "old.npz", ""),
    ("plan s-band-cubesat --days 1 --out out --force", 2000, "out", "skyfield"),
    ("plan --init new.toml", 500, "new.toml", ""),
    ("mission --init new.toml", 500, "new.toml", ""),
    ("bundle --new-key key", 60, "key", "cryptography"),
    ("engines list --engines float32 --json notes.txt --force", 100, "notes.txt", ""),
    ("receive pass.bin --store ground.db", 2000, "ground.db", ""),
    ("swathpack.tools.demo --offline --out demo", 2000, "demo", ""),
    pytest.param("export --out out --force", 20000, "out", "torch", marks=SLOW),
    pytest.param("bench cubes --codecs j2k --out out --no-cache", 2000, "out", "imagecodecs", marks=SLOW),
    pytest.param(
        "calibrate cubes --out out --force --no-peer --tiles 1 --judge-tiles 1", 2000, "out", "onnx", marks=SLOW
    ),
    pytest.param("adapt cubes -o adapted --minutes 0.02 --holdout 0", 20000, "adapted", "torch", marks=SLOW),
]
LEFT = (
    "ground.db",
    "ground.db-wal",
    "ground.db-shm",
    "ground.db.lock",
    "new",
    "demo",
)  # an empty store, folders above the output


@pytest.mark.long
@pytest.mark.parametrize(("words", "limit", "said", "needs"), CASES)
def test_a_full_disk_leaves_what_was_there(words: str, limit: int, said: str, needs: str, desk: Path) -> None:
    if needs:
        pytest.importorskip(needs)
    before = digests(desk)
    done = subprocess.run(
        command(words),
        cwd=desk,
        env=environment(),
        preexec_fn=limited(limit),
        capture_output=True,
        text=True,
        check=False,
    )
    after = digests(desk)
    assert done.returncode == BAD_INPUT, done.stderr
    told = [line for line in done.stderr.splitlines() if "[###" not in line]  # without progress
    assert len(told) == 1 and said in told[0], done.stderr
    assert {name: after.get(name) for name in before} == before
    assert [n for n in after if n not in before and n.split("/")[0] not in LEFT] == []
    assert [n for n in after if n.endswith(".part") or n.startswith(".")] == []


@pytest.mark.long
@pytest.mark.parametrize(
    "words", ["compress big.npz -o old.swp --bytes 9000 --force", "inpaint big.npz -o old.npz --force"]
)
def test_an_interruption_leaves_what_was_there(words: str, desk: Path) -> None:
    if not (desk / "big.npz").exists():
        rng = np.random.default_rng(2)
        np.savez(desk / "big.npz", data=rng.integers(1, 9000, (3, 12, 512, 512), np.uint16))
    before, kept = digests(desk), {path: path.read_bytes() for path in desk.glob("old.*") if path.is_file()}
    for delay in (3.0, 1.5, 1.0, 0.7):  # a fast machine is done before a slow one has begun
        child = subprocess.Popen(command(words), cwd=desk, env=environment(), stderr=subprocess.PIPE, text=True)
        time.sleep(delay)
        if child.poll() is None:
            break
        for path in [path for path in desk.glob("old.*") if path.is_file() and path not in kept]:
            path.unlink()
        for path, data in kept.items():
            path.write_bytes(data)
    assert child.poll() is None, "it must be at work when it is interrupted"
    child.send_signal(signal.SIGINT)
    _, told = child.communicate(timeout=60)
    assert (
        child.returncode == INTERRUPTED and "interrupted; no output is half written" in told and "Traceback" not in told
    )
    assert digests(desk) == before
