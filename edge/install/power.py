"""Power modes (nvpmodel) and module power (tegrastats) of a Jetson.

tegrastats lines differ: JetPack 6 writes `GR3D_FREQ 10%@1300`, JetPack 7 `GR3D_FREQ 12%@[1300,1300]`, and the
names of temperatures changed their case; rails are `NAME 5139mW/5139mW` (now, mean) with a third figure (largest) on
newer ones. On Orin NX and Nano VDD_IN is the whole module; on AGX Orin its three rails are added.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import threading
from types import TracebackType

from swathpack.edge.install.manifest import Refused

_RAIL = re.compile(r"\b([A-Z][A-Z0-9_]*) (\d+)mW/\d+mW")
WHOLE_MODULE = "VDD_IN"
AGX_RAILS = ("VDD_GPU_SOC", "VDD_CPU_CV", "VIN_SYS_5V0")


def rails_mw(line: str) -> dict[str, int]:
    """Milliwatts now by rail in a line of tegrastats."""
    return {name: int(now) for name, now in _RAIL.findall(line)}


def module_mw(line: str) -> int | None:
    """Milliwatts of the module now, or None where the line does not tell."""
    rails = rails_mw(line)
    if WHOLE_MODULE in rails:
        return rails[WHOLE_MODULE]
    if all(name in rails for name in AGX_RAILS):
        return sum(rails[name] for name in AGX_RAILS)
    return None


class PowerMeter:
    """Reads tegrastats while something runs: `with PowerMeter() as meter: ...; meter.mean_w`."""

    def __init__(self, interval_ms: int = 200) -> None:
        self._interval, self._samples = interval_ms, list[int]()
        self._process: subprocess.Popen[str] | None = None
        self._reader: threading.Thread | None = None

    @property
    def mean_w(self) -> float | None:
        """Mean module power in watts, or None where it is not measured."""
        return sum(self._samples) / len(self._samples) / 1000 if self._samples else None

    def __enter__(self) -> PowerMeter:
        command = shutil.which("tegrastats")
        if command:
            self._process = subprocess.Popen(
                [command, "--interval", str(self._interval)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            self._reader = threading.Thread(target=self._read, daemon=True)
            self._reader.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._process is not None:
            self._process.terminate()
            self._process.wait()
        if self._reader is not None:
            self._reader.join(5.0)

    def _read(self) -> None:
        assert self._process is not None and self._process.stdout is not None
        for line in self._process.stdout:
            power = module_mw(line)
            if power is not None:
                self._samples.append(power)


def mode_number(name: str, modes: dict[str, int]) -> int:
    """The board's number of a power mode; "MODE_30W" and "30W" are the same. Raises Refused (`power-mode`)."""
    plain = {key.removeprefix("MODE_"): number for key, number in modes.items()}
    wanted = name.removeprefix("MODE_")
    if wanted not in plain:
        raise Refused("power-mode", f"nvpmodel has no mode {name}; it has {', '.join(modes) or 'none'}")
    return plain[wanted]


def set_power_mode(name: str, modes: dict[str, int]) -> str:
    """Make it the board's power mode; returns what happened, in words. Raises Refused (`power-mode`)."""
    number = mode_number(name, modes)
    command = shutil.which("nvpmodel")
    if command is None:
        raise Refused("power-mode", "nvpmodel is not installed")
    shown = subprocess.run([command, "-q"], capture_output=True, text=True, check=False).stdout
    if shown.split()[-1:] == [str(number)]:
        return f"power mode {name} (number {number}) was set already"
    # Some changes need a reboot and ask for it; the answer is no, a person decides that.
    done = subprocess.run([command, "-m", str(number)], input="no\n", capture_output=True, text=True, check=False)
    if "reboot" in (done.stdout + done.stderr).lower():
        return f"power mode {name} needs a reboot and is not set: sudo nvpmodel -m {number} on the board"
    if done.returncode:
        raise Refused("power-mode", f"nvpmodel -m {number}: {(done.stderr or done.stdout).strip()[:200]}")
    return f"power mode {name} (number {number})"
