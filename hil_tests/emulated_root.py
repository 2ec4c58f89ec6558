"""Processors that are not here: x86 ones by qemu alone, aarch64 in a small Debian root made once.

    apt-get install qemu-user-static debootstrap
    python -m hil_tests.emulated_root     fetches Debian 12 for arm64 with numpy and onnxruntime

The root is kept in ~/.cache/swathpack/aarch64. Nothing is installed into this machine's own system; the root
is unpacked, not booted, and its programs run under qemu's user-mode emulation.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from pathlib import Path

ROOT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "swathpack" / "aarch64"
PACKAGES = ("numpy<2.3", "onnxruntime>=1.18,<2")
SUITE = "bookworm"
X86 = {"haswell": "Haswell", "nehalem": "Nehalem"}  # AVX2 without VNNI; SSE4.2 without AVX
WHEELS = "opt/wheels"


class EmulationMissing(RuntimeError):  # noqa: N818
    """A tool or the root is not here; the message says which command brings it."""


def tool(name: str) -> str:
    """Path of a program; raises EmulationMissing."""
    found = shutil.which(name)
    if found is None:
        raise EmulationMissing(f"{name} is not installed: apt-get install qemu-user-static debootstrap")
    return found


def python_under(machine: str) -> list[str]:
    """Command that starts Python on `machine`: haswell, nehalem or aarch64."""
    if machine in X86:
        # One thread of BLAS: emulated threads only spin.
        return [
            "env",
            "OMP_NUM_THREADS=1",
            "OPENBLAS_NUM_THREADS=1",
            tool("qemu-x86_64-static"),
            "-cpu",
            X86[machine],
            sys.executable,
        ]
    if machine != "aarch64":
        raise EmulationMissing(f"expected one of {', '.join((*X86, 'aarch64'))}, found {machine}")
    if not (ROOT / WHEELS).exists():
        raise EmulationMissing(f"{ROOT} is not there: python -m hil_tests.emulated_root")
    # -L gives the loader its libraries; files outside the root stay visible under their own names.
    return [
        "env",
        "OMP_NUM_THREADS=1",
        "OPENBLAS_NUM_THREADS=1",
        f"PYTHONHOME={ROOT}/usr",
        f"PYTHONPATH={ROOT / WHEELS}",
        tool("qemu-aarch64-static"),
        "-L",
        str(ROOT),
        str(ROOT / "usr/bin/python3"),
    ]


def build(root: Path, mirror: str) -> None:
    """Fetch and unpack the packages (first stage only: nothing of them has to run), then the wheels."""
    root.mkdir(parents=True, exist_ok=True)
    subprocess.run(
        [
            tool("debootstrap"),
            "--arch=arm64",
            "--foreign",
            "--variant=minbase",
            "--include=python3,libstdc++6",
            SUITE,
            str(root),
            mirror,
        ],
        check=True,
    )
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        subprocess.run([tool("dpkg-deb"), "--extract", str(package), str(root)], check=True)
    subprocess.run(
        [
            sys.executable,
            "-m",
            "pip",
            "install",
            "--target",
            str(root / WHEELS),
            "--only-binary=:all:",
            "--platform",
            "manylinux_2_28_aarch64",
            "--platform",
            "manylinux_2_27_aarch64",
            "--platform",
            "manylinux2014_aarch64",
            "--python-version",
            "3.11",
            *PACKAGES,
        ],
        check=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    parser.add_argument("--root", type=Path, default=ROOT)
    args = parser.parse_args()
    build(args.root, args.mirror)
    print(f"ready: {args.root}")


if __name__ == "__main__":
    main()
