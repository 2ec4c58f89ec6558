"""The product as a new user has it: an installed wheel, outside the checkout, beside folders called `tools` and `edge`.

The sdist is built from a copy of the checkout, the wheel from that sdist, so both hold what they need. Needs a package
index (or pip's cache) for numpy and onnxruntime; skipped where there is none.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tarfile
import venv
import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from swathpack.hil_tests.simulation.made_frames import values
from swathpack.tools.cli import COMMANDS

pytestmark = pytest.mark.long

ROOT = Path(__file__).resolve().parent.parent
LEFT_OUT = shutil.ignore_patterns(
    ".git",
    ".venv*",
    "build",
    "runs",
    "demo_out",
    "shared",
    "*.egg-info",
    "__pycache__",
    ".*_cache",
    "*.so",
    "docs",
    "tests",
)
NAMES_OF_ITS_OWN = {"swathpack"}


def run(command: Sequence[Any], cwd: Path, code: int | None = 0) -> subprocess.CompletedProcess[str]:
    """A command without anything of the checkout in its environment."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("PYTHON", "VIRTUAL_ENV"))}
    done = subprocess.run(
        [str(word) for word in command], cwd=cwd, env=environment, capture_output=True, text=True, check=False
    )
    assert code is None or done.returncode == code, f"{command}: {done.returncode}\n{done.stdout}\n{done.stderr}"
    return done


@pytest.fixture(scope="session")
def built(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """(sdist, wheel made of it). Nothing is written into the checkout."""
    folder = tmp_path_factory.mktemp("built")
    shutil.copytree(ROOT, folder / "checkout", symlinks=True, ignore=LEFT_OUT)
    script = "import setuptools.build_meta as b; b.build_sdist('..')"
    made = run([sys.executable, "-c", script], folder / "checkout", None)
    if "No module named" in made.stderr:
        pytest.skip("no setuptools here to build with")
    assert made.returncode == 0, made.stderr
    (sdist,) = folder.glob("swathpack-*.tar.gz")
    with tarfile.open(sdist) as archive:
        archive.extractall(folder, filter="data")
    source = folder / sdist.name.removesuffix(".tar.gz")
    script = "import setuptools.build_meta as b; b.build_wheel('..')"
    run([sys.executable, "-c", script], source)
    (wheel,) = folder.glob("swathpack-*.whl")
    return sdist, wheel


@pytest.fixture(scope="session")
def python(built: tuple[Path, Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The interpreter of a clean environment with the wheel and its base dependencies alone."""
    folder = tmp_path_factory.mktemp("clean") / "venv"
    venv.create(folder, with_pip=True)
    interpreter = folder / "bin" / "python"
    pip = [interpreter, "-m", "pip", "--disable-pip-version-check", "-q", "install", "--no-compile"]
    done = run([*pip, built[1]], folder, None)
    if "No matching distribution" in done.stderr or "Temporary failure" in done.stderr:
        pytest.skip("no package index to install numpy and onnxruntime from")
    assert done.returncode == 0, done.stderr
    return interpreter


@pytest.fixture(scope="session")
def desk(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A working folder with what used to hide the package, and a cube."""
    folder = tmp_path_factory.mktemp("desk")
    for name in ("tools", "edge", "codec"):
        (folder / name).mkdir()
        (folder / name / "__init__.py").write_text(
            "raise ImportError('a folder of the working directory was loaded')\n"
        )
    np.savez(folder / "cube.npz", data=values(64, 64, 2), dates=["2026-05-01", "2026-05-06"], level="L2A")
    return folder


def test_the_sdist_holds_the_sources(built: tuple[Path, Path]) -> None:
    with tarfile.open(built[0]) as archive:
        members = {m.name.partition("/")[2]: m for m in archive.getmembers()}
    for name in (
        "edge/loop.py",
        "tools/cli.py",
        "edge/codec/rangecoder/coder.h",
        "models/edge/manifest.json",
        "models/restoration/restoration.onnx",
        "py.typed",
    ):
        assert f"swathpack/{name}" in members, name
    assert not [n for n, m in members.items() if m.issym() or m.islnk()], "links are resolved"
    assert any(n.endswith(".c") for n in members) and {"setup.py", "pyproject.toml", "README.md"} <= set(members)


def test_the_wheel_holds_one_name_and_the_library(built: tuple[Path, Path]) -> None:
    with zipfile.ZipFile(built[1]) as wheel:
        names = wheel.namelist()
    assert {n.split("/")[0] for n in names if ".dist-info/" not in n} == NAMES_OF_ITS_OWN
    assert [n for n in names if n.endswith(".so")], "the C library"
    assert {f"swathpack/models/{part}/manifest.json" for part in ("edge", "restoration")} <= set(names)
    assert "swathpack/py.typed" in names
    shipped = {p.relative_to(ROOT).as_posix() for part in PARTS for p in (ROOT / part).rglob("*.py")}
    assert shipped <= {n.removeprefix("swathpack/") for n in names}
    assert "-py3-none-" in built[1].name and "any" not in built[1].name


PARTS = ("edge", "tools", "codec", "calibration", "export", "hil_tests")


def test_site_packages_gets_one_new_name(python: Path, desk: Path) -> None:
    script = "import importlib.metadata as m; print(*{f.parts[0] for f in m.files('swathpack')})"
    names = set(run([python, "-c", script], desk).stdout.split())
    assert {n for n in names if not n.endswith(".dist-info") and n != ".."} == NAMES_OF_ITS_OWN
    script = "import swathpack, sys; print(swathpack.__file__)"
    assert "site-packages" in run([python, "-c", script], desk).stdout


def test_importing_is_quick(python: Path, desk: Path) -> None:
    script = "import time; t = time.perf_counter(); import swathpack; print(time.perf_counter() - t)"
    assert min(float(run([python, "-c", script], desk).stdout) for _ in range(3)) < 0.3


def test_the_coder_is_the_native_one(python: Path, desk: Path) -> None:
    script = (
        "from swathpack.edge.codec.rangecoder import native; from swathpack.edge.codec import rangecoder as r;"
        "print(native.available(), native.__file__)"
    )
    assert run([python, "-c", script], desk).stdout.startswith("True")


def test_commands_from_any_folder(python: Path, desk: Path) -> None:
    command = python.with_name("swathpack")
    assert run([command, "--version"], desk).stdout.startswith("swathpack 0.")
    assert all(name in run([command, "--help"], desk).stdout for name in COMMANDS)
    assert "pass files" in run([command, "receive", "--help"], desk).stdout
    assert "--config" in run([python, "-m", "swathpack.edge", "--help"], desk).stdout
    for options in (["--bytes-per-frame", "3000"], ["--lossless"]):
        run([command, "compress", "cube.npz", "-o", "out.swp", *options, "--force"], desk)
        run([command, "decompress", "out.swp", "-o", "back.npz", "--force"], desk)
        run([command, "inspect", "out.swp"], desk)
    with np.load(desk / "cube.npz") as before, np.load(desk / "back.npz") as after:
        np.testing.assert_array_equal(before["data"], after["data"])


@pytest.mark.parametrize(
    ("words", "extra"),
    [
        (["plan", "s-band-cubesat"], "plan"),
        (["export", "--verify", "x"], "train"),
        (["calibrate", "x", "--out", "y"], "train"),
        (["import", "x.pt", "-o", "y.swt"], "train"),
        (["adapt", "x", "-o", "y"], "train"),
        (["bench", "x"], "bench"),
        (["bundle", "--new-key", "k"], "flash"),
        (["flash", "--bundle", "x", "--dry-run"], "flash"),
        (["decompress", "out.swp", "-o", "folder"], "geo"),
    ],
    ids=lambda v: v[0] if isinstance(v, list) else v,
)
def test_a_missing_extra_is_one_line(python: Path, desk: Path, words: list[str], extra: str) -> None:
    if not (desk / "out.swp").exists():
        run([python.with_name("swathpack"), "compress", "cube.npz", "-o", "out.swp"], desk)
    before = sorted(p.name for p in desk.iterdir())
    done = run([python.with_name("swathpack"), *words], desk, 1)
    assert f"swathpack[{extra}]" in done.stderr and done.stderr.count("\n") == 1, done.stderr
    assert sorted(p.name for p in desk.iterdir()) == before


def test_the_interface_from_any_folder(python: Path, desk: Path) -> None:
    script = """
import numpy as np, swathpack
data = np.load("cube.npz")["data"]
stream = swathpack.compress(data, lossless=True)
assert (swathpack.decompress(stream) == data).all() and (stream.read(1, ["B04"])[0] == data[1, 3]).all()
assert swathpack.Mission and swathpack.FlightLoop
try:
    swathpack.evaluate_plan("s-band-cubesat")
except swathpack.MissingPackageError as error:
    print(error)
"""
    assert "swathpack[plan]" in run([python, "-c", script], desk).stdout
