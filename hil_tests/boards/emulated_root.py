"""Processors that are not here: x86 ones by qemu alone, aarch64 in a small Debian root made once.

    apt-get install qemu-user-static debootstrap
    python -m swathpack.hil_tests.boards.emulated_root     fetches Debian 12 for arm64 with numpy and onnxruntime (a minute or two)

The root is kept in ~/.cache/swathpack/aarch64. Nothing is installed into this machine's own system; the root
is unpacked, not booted, and its programs run under qemu's user-mode emulation: one at a time by
`python_under`, or all of them in a chroot where binfmt_misc can be used (`swathpack.hil_tests.boards.emulated`).
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from swathpack.codec.atomic import replaced
from swathpack.edge.clibrary import FOLDER

ROOT = Path(os.environ.get("XDG_CACHE_HOME", Path.home() / ".cache")) / "swathpack" / "aarch64"
PACKAGES = ("numpy<2.3", "onnxruntime>=1.18,<2")
SUITE = "bookworm"
# ssh server, zstd and the shell tools that a JetPack image also has: the emulated board is flashed like a kit.
INCLUDED = "python3,libstdc++6,openssh-server,zstd,ca-certificates"
MERGED = ("bin", "sbin", "lib")
X86 = {"haswell": "Haswell", "nehalem": "Nehalem"}  # AVX2 without VNNI; SSE4.2 without AVX
WHEELS = "opt/wheels"
PLATFORMS = ("manylinux_2_28_aarch64", "manylinux_2_27_aarch64", "manylinux2014_aarch64")
# The Orin's Cortex-A78AE is an ARMv8.2 core with dot products and without SVE; this is the nearest that qemu 7 has.
PROCESSOR = "cortex-a76"
FEATURES = "fp asimd evtstrm aes pmull sha1 sha2 crc32 atomics fphp asimdhp cpuid asimdrdm lrcpc dcpop asimddp"
CORE = (
    "processor\t: {}\nFeatures\t: "
    + FEATURES
    + """
CPU implementer\t: 0x41\nCPU architecture: 8\nCPU variant\t: 0x0\nCPU part\t: 0xd42\nCPU revision\t: 1\n\n"""
)
# Stand-ins for two folders of the kernel: ONNX Runtime reads them to choose its code, and crashes when it finds
# an x86 processor described there.
KERNEL_FILES = {
    "proc/cpuinfo": CORE.format(0) + CORE.format(1),
    "sys/devices/system/cpu/possible": "0-1\n",
    "sys/devices/system/cpu/present": "0-1\n",
    "sys/devices/system/cpu/kernel_max": "1\n",
}
# What the second stage would write; user 100 is the unprivileged half of the ssh server.
USERS = {
    "etc/passwd": "root:x:0:0:root:/root:/bin/bash\nsshd:x:100:65534::/run/sshd:/usr/sbin/nologin\n"
    "nobody:x:65534:65534:nobody:/nonexistent:/usr/sbin/nologin\n",
    "etc/group": "root:x:0:\nnogroup:x:65534:\n",
    "etc/shadow": "root:*:19000:0:99999:7:::\nsshd:!:19000:0:99999:7:::\n",
}


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
        raise EmulationMissing(f"{ROOT} is not there: python -m swathpack.hil_tests.boards.emulated_root")
    # -L gives the loader its libraries; files outside the root stay visible under their own names.
    return [
        "env",
        "OMP_NUM_THREADS=1",
        "OPENBLAS_NUM_THREADS=1",
        f"QEMU_CPU={PROCESSOR}",
        f"PYTHONHOME={ROOT}/usr",
        f"PYTHONPATH={ROOT / WHEELS}",
        tool("qemu-aarch64-static"),
        "-L",
        str(ROOT),
        str(ROOT / "usr/bin/python3"),
    ]


def place_coder(package: Path = FOLDER) -> str:
    """The C library for aarch64 into the codec of `package`, the edge/ that will run there; "", or why it is not there: the slow twin in
    Python runs then.
    """
    try:
        from swathpack.export.bundle.coder import LIBRARY, CoderMissing, cross_compiled

        with replaced(package / "codec" / "rangecoder" / LIBRARY) as part:
            part.write_bytes(cross_compiled())
    except (ImportError, CoderMissing, OSError) as error:
        return f"no C library there: {error}"
    return ""


def build(root: Path, mirror: str) -> None:
    """Make the root beside its place and move it there when it is complete; raises EmulationMissing.

    An interrupted build leaves only `<root>.part`, which the next one begins anew.
    """
    part = root.with_name(root.name + ".part")
    shutil.rmtree(part, ignore_errors=True)
    part.mkdir(parents=True)
    try:
        _fetch(part, mirror)
        _unpack(part)
        _settle(part)
        install_wheels(part / WHEELS)
    except subprocess.CalledProcessError as error:
        command = " ".join(map(str, error.cmd[:3]))
        raise EmulationMissing(f"{command} ... ended with status {error.returncode}; see its output above") from error
    if root.exists():
        shutil.rmtree(root)
    part.rename(root)


def _fetch(root: Path, mirror: str) -> None:
    stage = ["--arch=arm64", "--foreign", "--variant=minbase", f"--include={INCLUDED}"]
    subprocess.run([tool("debootstrap"), *stage, SUITE, str(root), mirror], check=True)


def _unpack(root: Path) -> None:
    """The packages' files (first stage only: nothing of them has to run)."""
    for name in MERGED:  # packages still say /bin and /lib; without these links tar makes folders of their own
        if not (root / name).exists():
            (root / name).symlink_to(f"usr/{name}")
    for package in sorted((root / "var/cache/apt/archives").glob("*.deb")):
        with subprocess.Popen([tool("dpkg-deb"), "--fsys-tarfile", str(package)], stdout=subprocess.PIPE) as files:
            unpack = ["tar", "--extract", "--keep-directory-symlink", "--directory", str(root)]
            subprocess.run(unpack, stdin=files.stdout, check=True)
        if files.returncode:
            raise subprocess.CalledProcessError(files.returncode, ["dpkg-deb", str(package)])
        package.unlink()


def _settle(root: Path) -> None:
    """Users and mount points, as the packages' own scripts would leave them."""
    if (root / "proc").is_symlink():  # debootstrap's help for a stage that never runs here
        (root / "proc").unlink()
    for name in ("proc", "run/sshd", "tmp", "root", "opt"):
        (root / name).mkdir(parents=True, exist_ok=True)
    for name, text in {**USERS, **KERNEL_FILES}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    (root / "etc/shadow").chmod(0o640)
    shutil.rmtree(root / "debootstrap", ignore_errors=True)


def install_wheels(target: Path, packages: Sequence[str] = PACKAGES) -> None:
    """Into a folder that is there only when all of them are. Raises EmulationMissing."""
    platforms = [word for name in PLATFORMS for word in ("--platform", name)]
    where = ["--only-binary=:all:", "--python-version", "3.11"]
    target.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=target.parent) as folder:
        install = [sys.executable, "-m", "pip", "install", "--target", str(Path(folder, "all")), *where, *platforms]
        try:
            subprocess.run([*install, *packages], check=True)
        except subprocess.CalledProcessError as error:
            raise EmulationMissing(f"pip ended with status {error.returncode}; see its output above") from error
        Path(folder, "all").rename(target)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--mirror", default="http://deb.debian.org/debian")
    parser.add_argument("--root", type=Path, default=ROOT)
    args = parser.parse_args()
    try:
        build(args.root, args.mirror)
    except EmulationMissing as error:
        sys.exit(f"error: {error}")
    print(f"ready: {args.root}")


if __name__ == "__main__":
    main()
