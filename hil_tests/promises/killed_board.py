"""Processes of the flight runtime in one folder that are started, watched, killed and stopped, with their sensor."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path
from types import SimpleNamespace

import swathpack.edge.__main__ as process
from swathpack.hil_tests.promises.marks import Marks
from swathpack.hil_tests.promises.watcher import Watcher, codecs
from swathpack.hil_tests.simulation.two_ends import write_key_file

SENSOR_S = 0.1
LOOK_S = 0.1  # without rest for a step that is aimed at, before the sensor and the ground have their turn


class Board:
    """Processes of the runtime in one folder, and their sensor."""

    def __init__(self, folder: Path, codec: str, marks: Marks, watcher: Watcher) -> None:
        self.folder, self.codec, self.marks, self.watcher = folder, codec, marks, watcher
        self.frames = 0
        self._next_frame = 0.0
        for name in ("inbox", "uplink", "outbox"):
            (folder / name).mkdir(parents=True)
        write_key_file(folder / "key")
        self._notify = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self._address = f"@swathpack-kill-{os.getpid()}"
        self._notify.bind("\0" + self._address[1:])
        self._child = 0

    def start(self, config: Path, cold: bool) -> None:
        """A new process with a configuration; cold: `python -m swathpack.edge`, else forked from here."""
        self._drain()
        errors = open(self.folder / "stderr.log", "ab")  # noqa: SIM115 - inherited by the process
        if cold:
            environment = os.environ | {"NOTIFY_SOCKET": self._address}
            command = [sys.executable, "-m", "swathpack.edge", "--config", str(config)]
            self._child = subprocess.Popen(command, stderr=errors, env=environment).pid
            return
        self._child = os.fork()
        if self._child == 0:
            os.dup2(errors.fileno(), 2)
            os.environ["NOTIFY_SOCKET"] = self._address
            self._life(config)

    def _life(self, config: Path) -> None:
        """The forked process; never returns."""
        code = 70
        try:
            self.marks.install()
            codec, model = codecs(self.codec)[0], codecs(self.codec)[2]
            process.open_model = lambda mission: model
            if self.codec == "fake":
                setattr(process, "FlightCodec", SimpleNamespace(configured=lambda *_: codec))  # noqa: B010
                setattr(process, "watch_model", lambda *_: 0)  # noqa: B010
            code = process.main(["--config", str(config)])
        finally:
            os._exit(code)

    def run(
        self,
        seconds: float,
        stop_when_ready: bool = False,
        sensor: bool = True,
        steps: int = 1 << 40,
        until: str = "",
    ) -> bool:
        """Let it work so long, or until it has done so many steps, or is within one of that name; the sensor delivers, the
        ground hears finished passes. False when it ended or got ready.
        """
        end, target = time.monotonic() + seconds, self.marks.total() + steps
        while (left := end - time.monotonic()) > 0 and self.marks.total() < target:
            if sensor:
                self._deliver()
            self.watcher.hear_finished()
            if until and self._caught(until, min(left, LOOK_S)):
                return True
            self._notify.settimeout(0.001 if until else min(left, 0.02))
            try:
                ready = b"READY=1" in self._notify.recv(256)
            except TimeoutError:
                ready = False
            if self._over() or (ready and stop_when_ready):
                return False
        return True

    def _caught(self, step: str, seconds: float) -> bool:
        """Look without rest whether the process is within a step: many are over in less than a millisecond."""
        end = time.monotonic() + seconds
        while not (found := self.marks.within(step)) and time.monotonic() < end:
            pass
        return found

    def kill(self) -> bool:
        """SIGKILL; False when it had ended before."""
        over = self._over()
        if not over:
            os.kill(self._child, signal.SIGKILL)
            os.waitpid(self._child, 0)
        return not over

    def stop(self, wait_s: float = 120.0) -> int | None:
        """SIGTERM; the exit code, None when it does not end."""
        os.kill(self._child, signal.SIGTERM)
        end = time.monotonic() + wait_s
        while time.monotonic() < end:
            found, status = os.waitpid(self._child, os.WNOHANG)
            if found:
                return os.waitstatus_to_exitcode(status)
            time.sleep(0.05)
        os.kill(self._child, signal.SIGKILL)
        os.waitpid(self._child, 0)
        return None

    def close(self) -> None:
        """Stops listening for READY; the last process has been waited for by `stop`."""
        self._notify.close()

    def _over(self) -> bool:
        """Ended of itself; does not reap, so that the pid stays ours."""
        return os.waitid(os.P_PID, self._child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None

    def _deliver(self) -> None:
        inbox = self.folder / "inbox"
        if time.monotonic() < self._next_frame or sum(1 for _ in inbox.glob("*.swf")) >= 3:
            return
        self._next_frame = time.monotonic() + SENSOR_S
        acquisition = self.watcher.acquisition(self.frames)
        part = inbox / f"{acquisition.name}.part"
        part.write_bytes(acquisition.pack())
        part.replace(part.with_suffix(".swf"))
        self.frames += 1

    def _drain(self) -> None:
        self._notify.settimeout(0.001)
        try:
            while True:
                self._notify.recv(256)
        except TimeoutError:
            return
