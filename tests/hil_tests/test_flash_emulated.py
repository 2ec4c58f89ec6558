"""Flashing an emulated kit for real: ssh, aarch64 Python, installer, self-test, service. Half an hour.

sudo .venv/bin/python -m pytest tests/hil_tests/test_flash_emulated.py -s
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from swathpack.edge.install.manifest import Refused
from swathpack.edge.install.slots import Slots
from swathpack.export.bundle import contents as bundle_contents
from swathpack.export.bundle.archive import bundle_tar, compressed
from swathpack.export.bundle.coder import CoderMissing, cross_compiled
from swathpack.export.bundle.contents import DATA, Order, collect
from swathpack.export.bundle.signing import public_line, sign
from swathpack.export.bundle.wheels import WheelsMissing, wheel_files
from swathpack.hil_tests.boards import BoardError
from swathpack.hil_tests.boards.emulated import EmulatedMachine
from swathpack.hil_tests.simulation.small_bundle import KEY, public_key
from swathpack.tools.board.flash import Flash, load, told_line
from swathpack.tools.board.remote import Remote, RemoteError
from tests.hil_tests.cutting import CuttingRelay

pytestmark = pytest.mark.slow
PYTHON = "3.11"  # of the emulated root
NOW = int(time.time())
CRASH = b"raise SystemExit('this release cannot start')\n"
# Where the board's log says that it is when the connection is cut; four cuts more come before the log begins.
CUTS = [
    ("verify", "begin"),
    ("verify", "done"),
    ("unpack", "begin"),
    ("unpack", "done"),
    ("packages", "done"),
    ("self-test", "begin"),
    ("engine", "done"),
    ("switch", "done"),
]


@pytest.fixture(scope="module")
def machine() -> Iterator[EmulatedMachine]:
    try:
        made = EmulatedMachine()
    except BoardError as error:
        pytest.skip(str(error))
    mission = made.root / "etc/swathpack/mission.toml"
    mission.parent.mkdir()
    # The golden vectors take minutes here; the self-test runs them, the start of the service need not again.
    text = (DATA / "mission.toml").read_text().replace('"tensorrt,auto"', '"float32"')
    mission.write_text(text)
    yield made
    made.close()


def pack(
    folder: Path,
    name: str,
    release: int,
    key: Ed25519PrivateKey | None = KEY,
    board: str = "orin-agx",
    crash: bool = False,
) -> Path:
    """A whole bundle, as `swathpack bundle` makes it."""
    try:
        order = Order(board, 6, release, PYTHON, wheels=tuple(wheel_files(PYTHON)), library=cross_compiled())
    except (WheelsMissing, CoderMissing) as error:
        pytest.skip(str(error))
    made = collect(order)
    files, manifest = made.files, made.manifest
    if crash:
        files = {**files, "runtime/swathpack/edge/__main__.py": CRASH}
        manifest = bundle_contents.manifest_of(order, files)
    path = folder / f"{name}.tar.zst"
    path.write_bytes(compressed(bundle_tar(files, manifest, sign(key, manifest) if key else b"", release)))
    return path


def flash(machine: EmulatedMachine, bundle: Path, port: int = 0, said: list[str] | None = None, **options: Any) -> int:
    words = machine.ssh_options()
    words[1] = str(port or machine.port)

    def say(told: dict[str, Any]) -> None:
        if told["state"] != "progress":
            print(time.strftime("%H:%M:%S"), told_line(told), flush=True)
            if said is not None:
                said.append(told["step"])

    with Remote("root@127.0.0.1", tuple(words), connect_timeout_s=60) as remote:
        return Flash(remote, load(bundle), say, public_line(public_key()), **options).run()


def record(machine: EmulatedMachine) -> dict[str, Any]:
    return asdict(Slots(machine.root / "opt/swathpack").read())


def active(machine: EmulatedMachine) -> int:
    """The release that flies."""
    now = record(machine)
    return int(now["slots"][now["active"]]["release"])


class Cutter(threading.Thread):
    """Cuts the relay's connections at the places of CUTS, and four times before."""

    def __init__(self, machine: EmulatedMachine, relay: CuttingRelay) -> None:
        super().__init__(daemon=True)
        self.log, self.relay, self.places = machine.root / "opt/swathpack/log/install.jsonl", relay, list[str]()

    def run(self) -> None:
        for size in (2_000, 30_000, 10_000_000, 40_000_000):  # handshake, installer, twice in the bundle
            while self.relay.sent_bytes < size:
                time.sleep(0.02)
            self._cut(f"after {size} bytes")
        for step, state in CUTS:
            while f'"step": "{step}", "state": "{state}"' not in self._text():
                time.sleep(0.1)
            self._cut(f"{step} {state}")

    def _text(self) -> str:
        return self.log.read_text() if self.log.exists() else ""

    def _cut(self, place: str) -> None:
        if self.relay.cut():
            self.places.append(place)
            print(time.strftime("%H:%M:%S"), "cut:", place, flush=True)


def test_first_flash_with_the_connection_cut_at_ten_places(machine: EmulatedMachine, tmp_path: Path) -> None:
    relay = CuttingRelay(machine.port)
    cutter = Cutter(machine, relay)
    cutter.start()
    try:
        assert flash(machine, pack(tmp_path, "one", NOW - 3000), relay.port, retries=30, pause_s=0.5) == 0
    finally:
        relay.close()
    assert len(cutter.places) >= 10, cutter.places
    assert active(machine) == NOW - 3000 and record(machine)["slots"]["a"]["good"]


def test_upgrade(machine: EmulatedMachine, tmp_path: Path) -> None:
    assert flash(machine, pack(tmp_path, "two", NOW - 2000)) == 0
    assert active(machine) == NOW - 2000 and record(machine)["floor"] == NOW - 2000


@pytest.mark.parametrize("host_checks", [True, False])
def test_refusals(machine: EmulatedMachine, tmp_path: Path, host_checks: bool) -> None:
    """With host_checks off the board alone finds them."""
    good = load(pack(tmp_path, "good", NOW - 1000))
    tampered = tmp_path / "tampered.tar.zst"
    tampered.write_bytes(compressed(good.tar.replace(b"patience: int = 4", b"patience: int = 5")))
    bundles = {
        "tampered": tampered,
        "unsigned": pack(tmp_path, "unsigned", NOW - 900, key=None),
        "unknown-key": pack(tmp_path, "foreign", NOW - 900, Ed25519PrivateKey.from_private_bytes(bytes(32))),
        "wrong-board": pack(tmp_path, "nano", NOW - 900, board="orin-nano"),
        "too-old": pack(tmp_path, "old", NOW - 9000),
    }
    before = record(machine)
    for reason, path in bundles.items():
        with pytest.raises(Refused) as caught:
            flash(machine, path, host_checks=host_checks)
        assert caught.value.reason == reason
        print("refused:", reason, "--", caught.value)
    assert record(machine) == before


def test_a_failing_upgrade_comes_back(machine: EmulatedMachine, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="failed 3 starts in a row: back to slot"):
        flash(machine, pack(tmp_path, "crash", NOW - 500, crash=True))
    assert active(machine) == NOW - 2000
    words = tuple(machine.ssh_options())
    with Remote("root@127.0.0.1", words, connect_timeout_s=60) as remote:
        deadline = time.monotonic() + 900
        while remote.ask("status")["service"] != "active":
            assert time.monotonic() < deadline
            time.sleep(5)
    assert record(machine)["tries"] == 0
