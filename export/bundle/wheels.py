"""Pinned packages for the board's Python: downloaded once by pip with their digests checked, then from the cache.

python -m swathpack.export.bundle.wheels 3.10 numpy==2.2.6 onnxruntime==1.23.2     prints pins for data/wheels.toml
"""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from pathlib import Path

from swathpack.edge.toml_lite import loads

PINS = Path(__file__).with_name("data") / "wheels.toml"
CACHE = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "swathpack" / "wheels"
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux_2_17_aarch64", "manylinux2014_aarch64")


class WheelsMissing(Exception):  # noqa: N818
    """A package cannot be had; the message says why and what to do."""


@dataclass(frozen=True)
class Pin:
    """One line of the table."""

    python: str
    name: str
    version: str
    file: str
    sha256: str


def pins(python: str) -> list[Pin]:
    """The pinned packages for a version of Python ("3.10"). Raises WheelsMissing."""
    table = [Pin(**row) for row in loads(PINS.read_text(encoding="utf-8"))["wheel"]]
    found = [pin for pin in table if pin.python == python]
    if not found:
        raise WheelsMissing(
            f"no pins for Python {python}; there are some for {', '.join(sorted({p.python for p in table}))}"
        )
    return found


def wheel_files(python: str, cache: Path = CACHE) -> list[Path]:
    """The files of `pins(python)`, fetched where the cache lacks them. Raises WheelsMissing."""
    missing = [pin for pin in pins(python) if not _good(cache / pin.file, pin.sha256)]
    if missing:
        download(missing, python, cache)
    for pin in missing:
        if not _good(cache / pin.file, pin.sha256):
            raise WheelsMissing(f"{pin.file}: pip fetched no file with the pinned digest {pin.sha256[:16]}")
    return [cache / pin.file for pin in pins(python)]


def _good(path: Path, sha256: str) -> bool:
    return path.exists() and hashlib.sha256(path.read_bytes()).hexdigest() == sha256


def download(missing: list[Pin], python: str, cache: Path) -> None:
    """Fetch the files of the pins into the cache, by the digests that pip checks. Raises WheelsMissing."""
    cache.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        wanted = Path(folder, "requirements.txt")
        wanted.write_text("".join(f"{p.name}=={p.version} --hash=sha256:{p.sha256}\n" for p in missing))
        done = subprocess.run(
            [*_pip_download(python, cache), "--require-hashes", "--requirement", str(wanted)],
            capture_output=True,
            text=True,
            check=False,
        )
    if done.returncode:
        last = (done.stderr.strip().splitlines() or ["no message"])[-1]
        names = ", ".join(p.file for p in missing)
        raise WheelsMissing(f"cannot fetch {names}: {last[:200]}; go online once, or use --no-wheels")


def _pip_download(python: str, folder: Path) -> list[str]:
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    return [
        sys.executable,
        "-m",
        "pip",
        "download",
        "--quiet",
        "--no-deps",
        "--only-binary=:all:",
        "--python-version",
        python,
        "--dest",
        str(folder),
        *platforms,
    ]


def main() -> int:
    """Print pins for the named packages."""
    python, *packages = sys.argv[1:]
    with tempfile.TemporaryDirectory() as folder:
        subprocess.run([*_pip_download(python, Path(folder)), *packages], check=True)
        for path in sorted(Path(folder).iterdir()):
            name, version = path.name.split("-")[:2]
            digest = hashlib.sha256(path.read_bytes()).hexdigest()
            print(
                f'[[wheel]]\npython = "{python}"\nname = "{name}"\nversion = "{version}"\n'
                f'file = "{path.name}"\nsha256 = "{digest}"\n'
            )
    return 0


if __name__ == "__main__":
    sys.exit(main())
