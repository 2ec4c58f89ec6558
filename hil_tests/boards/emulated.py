"""The board `emulated-orin`: an aarch64 Debian under qemu with a real ssh server, made from the cached root.

Real: the ssh server, shell, Python and every library are aarch64 programs in a chroot; the installer, the flight
software, numpy and ONNX Runtime run their aarch64 code on an emulated Cortex-A76. Not real: see STAND_INS. Needs
root, binfmt_misc, qemu-user-static and `python -m swathpack.hil_tests.boards.emulated_root` once.

    python -m swathpack.hil_tests.boards.emulated        starts one, prints how to reach it, stays until Ctrl-C
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
import time
from pathlib import Path

import swathpack
from swathpack.hil_tests.boards import BoardError
from swathpack.hil_tests.boards.emulated_root import PROCESSOR, ROOT, WHEELS, EmulationMissing, place_coder, tool
from swathpack.hil_tests.boards.ssh import SshBoard

STAND_INS = (
    "processor: qemu, Cortex-A76 for Cortex-A78AE",
    "GPU and TensorRT: none, ONNX Runtime on the processor",
    "nvpmodel",
    "tegrastats (replayed lines)",
    "systemctl (runs the real unit, without limits and sandbox)",
    "device tree model, nv_tegra_release, nvpmodel.conf",
)
MODELS = {
    "orin-agx": "NVIDIA Jetson AGX Orin Developer Kit",
    "orin-nx": "NVIDIA Jetson Orin NX Engineering Reference Developer Kit",
    "orin-nano": "NVIDIA Jetson Orin Nano Engineering Reference Developer Kit Super",
}
RELEASES = {6: ("36", "4.3"), 7: ("39", "2.0")}
MODES = {
    "orin-agx": ("MAXN", "MODE_15W", "MODE_30W", "MODE_50W"),
    "orin-nx": ("MAXN", "10W", "15W", "25W"),
    "orin-nano": ("15W", "25W", "MAXN_SUPER", "7W"),
}
_HERE = Path(__file__).with_name("standins")
_PROGRAMS = {"nvpmodel": "usr/sbin", "tegrastats": "usr/bin", "systemctl": "usr/bin"}
# binfmt_misc: which bytes begin an aarch64 program, and with flag F which interpreter, opened now, runs it.
_MAGIC = r"\x7fELF\x02\x01\x01\x00\x00\x00\x00\x00\x00\x00\x00\x00\x02\x00\xb7\x00"
_MASK = r"\xff\xff\xff\xff\xff\xff\xff\x00\xff\xff\xff\xff\xff\xff\xff\xff\xfe\xff\xff\xff"
_BINFMT = Path("/proc/sys/fs/binfmt_misc")
_SERVER = """Port {port}
ListenAddress 127.0.0.1
HostKey /etc/ssh/host_key
PermitRootLogin prohibit-password
PasswordAuthentication no
StrictModes no
UsePAM no
PidFile none
MaxStartups 100
"""


def register_interpreter() -> None:
    """Let the kernel run aarch64 programs by qemu; raises BoardError."""
    try:
        if not (_BINFMT / "register").exists():
            subprocess.run(["mount", "-t", "binfmt_misc", "none", str(_BINFMT)], check=True, capture_output=True)
        known = [p for p in _BINFMT.iterdir() if "aarch64" in p.name and "flags: " in p.read_text()]
        if not any("F" in p.read_text().split("flags: ")[1].split("\n")[0] for p in known):
            line = f":swathpack-aarch64:M::{_MAGIC}:{_MASK}:{tool('qemu-aarch64-static')}:F"
            (_BINFMT / "register").write_text(line)
    except (OSError, subprocess.CalledProcessError, EmulationMissing) as error:
        needs = "needs root, binfmt_misc and qemu-user-static"
        raise BoardError(f"aarch64 programs cannot be run here ({error}): {needs}") from error


class EmulatedMachine:
    """The running root: a private copy of the cached one, with its ssh server on a port of this machine.

    kit: orin-agx, orin-nx or orin-nano; jetpack: 6 or 7. `folder` / "root" is its file system.
    """

    def __init__(self, kit: str = "orin-agx", jetpack: int = 6) -> None:
        if not (ROOT / WHEELS).exists():
            raise BoardError(f"{ROOT} is not there: python -m swathpack.hil_tests.boards.emulated_root")
        register_interpreter()
        self.folder = Path(tempfile.mkdtemp(prefix="swathpack-emulated-"))
        self.root, self.port = self.folder / "root", _free_port()
        self._server: subprocess.Popen[bytes] | None = None
        try:
            self._copy_root()
            self._stand_ins(kit, jetpack)
            self._keys()
            self.start()
        except BaseException:
            self.close()
            raise

    def ssh_options(self) -> list[str]:
        """Options of ssh that reach the board at root@127.0.0.1."""
        return [
            "-p",
            str(self.port),
            "-i",
            str(self.folder / "key"),
            "-o",
            "IdentitiesOnly=yes",
            "-o",
            f"UserKnownHostsFile={self.folder}/known",
            "-o",
            "StrictHostKeyChecking=accept-new",
            "-o",
            "LogLevel=ERROR",
        ]

    def start(self) -> None:
        """Switch on: the ssh server, and the service where it is enabled (as systemd would)."""
        shutil.rmtree(self.root / "run/swathpack-standin", ignore_errors=True)
        log = (self.folder / "sshd.log").open("ab")
        command = ["chroot", str(self.root), "/usr/sbin/sshd", "-D", "-e", "-f", "/etc/ssh/board_config"]
        self._server = subprocess.Popen(
            command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=self._environment(), start_new_session=True
        )
        log.close()
        self._await_server()

    def power_cut(self) -> None:
        """Every process of the board ends at once."""
        for number in self.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(number, signal.SIGKILL)
        if self._server is not None:
            self._server.wait()
            self._server = None

    def processes(self) -> list[int]:
        """Process ids whose root is this board's."""
        found = []
        for entry in Path("/proc").iterdir():
            if entry.name.isdecimal():
                with contextlib.suppress(OSError):
                    if os.readlink(entry / "root") == str(self.root):
                        found.append(int(entry.name))
        return found

    def close(self) -> None:
        """Switch off and remove."""
        self.power_cut()
        shutil.rmtree(self.folder, ignore_errors=True)

    def _environment(self) -> dict[str, str]:
        # One thread of BLAS: emulated threads only spin.
        return {"PATH": "/usr/sbin:/usr/bin:/sbin:/bin", "QEMU_CPU": PROCESSOR, "OPENBLAS_NUM_THREADS": "1"}

    def _copy_root(self) -> None:
        subprocess.run(["cp", "-a", "--reflink=auto", str(ROOT), str(self.root)], check=True)

    def _stand_ins(self, kit: str, jetpack: int) -> None:
        for name, place in _PROGRAMS.items():
            target = self.root / place / name
            target.unlink(missing_ok=True)
            shutil.copyfile(_HERE / name, target)
            target.chmod(0o755)
        shared = self.root / "usr/share/swathpack-standins"
        shared.mkdir(exist_ok=True)
        for path in _HERE.glob("*.txt"):
            shutil.copyfile(path, shared / path.name)
        major, minor = RELEASES[jetpack]
        modes = "\n".join(f"< POWER_MODEL ID={n} NAME={name} >" for n, name in enumerate(MODES[kit]))
        texts = {
            "proc/device-tree/model": MODELS[kit] + "\0",
            "etc/nvpmodel.conf": modes + "\n",
            "etc/nv_tegra_release": f"# R{major} (release), REVISION: {minor}, GCID: 0, BOARD: generic, "
            "EABI: aarch64, DATE: stand-in\n",
        }
        for name, text in texts.items():
            (self.root / name).parent.mkdir(parents=True, exist_ok=True)
            (self.root / name).write_text(text)

    def _keys(self) -> None:
        for path in (self.folder / "key", self.folder / "host_key"):
            subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path)], check=True)
        shutil.copy(self.folder / "host_key", self.root / "etc/ssh/host_key")
        (self.root / "etc/ssh/board_config").write_text(_SERVER.format(port=self.port))
        own = self.root / "root/.ssh/authorized_keys"
        own.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy(self.folder / "key.pub", own)
        # Programs of a session inherit nothing of the server's environment.
        (self.root / "root/.ssh/environment").write_text("".join(f"{k}={v}\n" for k, v in self._environment().items()))
        with (self.root / "etc/ssh/board_config").open("a") as out:
            out.write("PermitUserEnvironment yes\n")

    def _await_server(self) -> None:
        deadline = time.monotonic() + 60
        while time.monotonic() < deadline:
            assert self._server is not None
            if self._server.poll() is not None:
                break
            with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", self.port), 5) as probe:
                if probe.recv(4) == b"SSH-":
                    return
            time.sleep(0.2)
        raise BoardError("the emulated ssh server does not answer: " + (self.folder / "sshd.log").read_text()[-300:])


class EmulatedBoard(SshBoard):
    """`swathpack.hil_tests.boards.Board` on an EmulatedMachine, with this repository's edge/ and models/ put on it."""

    stand_ins = STAND_INS

    def __init__(self, machine: EmulatedMachine) -> None:
        self.machine = machine
        software = "/opt/hil"
        super().__init__(
            "root@127.0.0.1",
            machine.ssh_options(),
            "emulated-orin",
            environment={"PYTHONPATH": f"{software}:/{WHEELS}"},
        )
        package = Path(swathpack.__file__).resolve().parent
        for name in ("__init__.py", "edge", "models/edge"):
            target = machine.root / software.lstrip("/") / "swathpack" / name
            if (package / name).is_file():
                target.parent.mkdir(parents=True)
                shutil.copyfile(package / name, target)
            else:
                shutil.copytree(package / name, target, ignore=shutil.ignore_patterns("__pycache__", "*.so"))
        place_coder(machine.root / software.lstrip("/") / "swathpack/edge")

    def close(self) -> None:
        super().close()
        self.machine.close()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def open_here(_: str) -> EmulatedBoard:
    """The board `emulated-orin`."""
    machine = EmulatedMachine()
    try:
        return EmulatedBoard(machine)
    except BaseException:
        machine.close()
        raise


def main() -> None:
    """Start a board for a person to try things on."""
    import shlex
    import sys

    kit, jetpack = (sys.argv[1:] + ["orin-agx", "6"])[:2] if len(sys.argv) != 2 else (sys.argv[1], "6")
    try:
        machine = EmulatedMachine(kit, int(jetpack))
    except (BoardError, KeyError) as error:
        sys.exit(f"error: {error}")
    try:
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job would ignore it
        print(f"emulated {kit}, JetPack {jetpack}; stand-ins: {'; '.join(STAND_INS)}")
        print(f"--target root@127.0.0.1 --ssh-options {shlex.quote(shlex.join(machine.ssh_options()))}", flush=True)
        signal.pause()
    except KeyboardInterrupt:
        pass
    finally:
        machine.close()


if __name__ == "__main__":
    main()
