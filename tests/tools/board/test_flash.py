"""`swathpack flash` against a folder that looks like a kit, through a program that stands where ssh would."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from swathpack.edge.install.manifest import Refused, key_id
from swathpack.edge.install.slots import Slots
from swathpack.edge.packets.link_keys import read_link_keys
from swathpack.export.bundle.archive import ArchiveError, compressed
from swathpack.export.bundle.signing import public_line
from swathpack.hil_tests.simulation.small_bundle import FAILS, bundle, files, kit, kit_environment, public_key
from swathpack.tools.board.flash import Flash, load
from swathpack.tools.board.remote import ConnectionLost, Remote, RemoteError
from swathpack.tools.cli import main

pytestmark = pytest.mark.long

# Stands in for ssh: runs the command here, in the kit's folder. A number in `cut` lets that many commands pass and
# then ends one in its middle with ssh's status for a lost connection.
SSH = f"""#!{sys.executable}
import os, subprocess, sys
root, words = os.environ["KIT_ROOT"], sys.argv[1:]
if "-O" in words:
    sys.exit(0)
command = words[-1].replace("python3 -m swathpack.edge.install", f"{sys.executable} -S -m swathpack.edge.install --root {{root}}")
command = command.replace("/opt/swathpack", root + "/opt/swathpack")
if command.startswith("id -u"):
    command = "echo 0"
cut = os.path.join(root, "cut")
left = int(open(cut).read()) if os.path.exists(cut) else -1
if left >= 0:
    open(cut, "w").write(str(left - 1))
if left == 0:
    data = sys.stdin.buffer.read(3000) if "receive" in command else b""
    subprocess.run(["sh", "-c", command], input=data, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    print("Connection closed by remote host", file=sys.stderr)
    sys.exit(255)
sys.exit(subprocess.run(["sh", "-c", command], cwd=root).returncode)
"""


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    made = tmp_path / "root"
    kit(made)
    (made / "opt/swathpack/trusted/mission.pub").unlink()
    (tmp_path / "ssh").write_text(SSH)
    (tmp_path / "ssh").chmod(0o755)
    for name in ("PATH", "KIT_ROOT"):
        monkeypatch.setenv(name, kit_environment(made)[name])
    monkeypatch.setenv("SWATHPACK_SSH", str(tmp_path / "ssh"))
    yield made


def packed(folder: Path, **changes: Any) -> Path:
    note = changes.pop("note", "")
    selftest = {"selftest": changes.pop("selftest")} if "selftest" in changes else {}
    tar = bundle(folder, files(note=note, **selftest), **changes)
    path = tar.with_suffix(".tar.zst")
    path.write_bytes(compressed(tar.read_bytes()))
    return path


class Ready:
    """Lets the slot prove itself as soon as it is switched to, as the service would."""

    def __init__(self, root: Path) -> None:
        self.slots, self.said = Slots(root / "opt/swathpack"), list[dict[str, Any]]()

    def __call__(self, told: dict[str, Any]) -> None:
        self.said.append(told)
        if told["step"] == "switch" and self.slots.read().active:
            self.slots.begin_start()
            self.slots.confirm()


def flash(root: Path, path: Path, trust: bool = True, **options: Any) -> list[dict[str, Any]]:
    ready = Ready(root)
    given = public_line(public_key()) if trust else ""
    with Remote("kit") as remote:
        assert Flash(remote, load(path), ready, given, pause_s=0.0, ready_s=5.0, **options).run() == 0
    return ready.said


def test_a_new_board(root: Path, tmp_path: Path) -> None:
    steps = [told["step"] for told in flash(root, packed(tmp_path)) if told["state"] == "done"]
    assert steps == [
        "installer",
        "trust",
        "board",
        "receive",
        "verify",
        "unpack",
        "packages",
        "power mode",
        "engine",
        "self-test",
        "switch",
        "start",
    ]
    assert Slots(root / "opt/swathpack").read().active == "a"


def test_a_dry_run_shows_every_step_of_a_flashing(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """The steps are those that a new board goes through, and nothing is asked of ssh."""
    path, key = packed(tmp_path), tmp_path / "mission.pub"
    key.write_text(public_line(public_key()))
    (tmp_path / "ssh").write_text("#!/bin/sh\necho called >> $KIT_ROOT/called\nexit 255\n")
    assert main(["flash", "--bundle", str(path), "--trust", str(key), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    (tmp_path / "ssh").write_text(SSH)
    real = [told["step"] for told in flash(root, path) if told["state"] == "done"]
    steps = [line[4:16].strip() for line in shown.splitlines() if line[:4] in ("    ", "ok  ")]
    assert [step for step in steps if step != "command"] == real
    assert not (root / "called").exists()
    for command in ("cat > /opt/swathpack/trusted/", "receive --sha256", "install --sha256", "wait --seconds 900.0"):
        assert command in shown


def test_a_dry_run_checks_the_bundle(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    key = tmp_path / "mission.pub"
    key.write_text(public_line(public_key()))
    unsigned, later = packed(tmp_path, key=None), packed(tmp_path, release=4_000_000_000)
    assert main(["flash", "--bundle", str(unsigned), "--trust", str(key), "--dry-run"]) == 1
    assert capsys.readouterr().err == "swathpack flash: the bundle carries no signature\n"
    assert main(["flash", "--bundle", str(later), "--dry-run"]) == 0
    shown = capsys.readouterr().out
    assert (
        "signature   not checked" in shown
        and "release 4000000000" in shown
        and "trusted/" not in shown.split("receive")[1]
    )
    assert main(["flash", "--bundle", str(later)]) == 2
    assert "--target: expected USER@HOST, or --dry-run" in capsys.readouterr().err


def test_a_file_that_is_no_bundle_is_named(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It was "zstd decompress error: Unknown frame descriptor"."""
    path = tmp_path / "x.deb"
    for data, said in (
        (b"!<arch>\n", "it is a Debian package"),
        (b"key", "found something else"),
        (b"", "it is empty"),
    ):
        path.write_bytes(data)
        assert main(["flash", "--bundle", str(path), "--dry-run"]) == 1
        told = capsys.readouterr().err
        assert told.startswith(f"swathpack flash: {path}: expected a flight bundle (.tar.zst)") and said in told


@pytest.mark.parametrize("trust", [True, False])
def test_a_cut_or_changed_bundle_gives_nothing_to_a_board(root: Path, tmp_path: Path, trust: bool) -> None:
    """With a key of its own the board had installer and key before the bundle was looked at; without, all of it was sent."""
    path = packed(tmp_path)
    whole = path.read_bytes()
    tar = bytearray(path.with_suffix("").read_bytes())
    tar[-11_000] ^= 1
    for data, said in ((whole[: len(whole) // 2], "not a whole bundle"), (compressed(bytes(tar)), "expected .* found")):
        path.write_bytes(data)
        with pytest.raises((Refused, ArchiveError), match=said):
            flash(root, path, trust=trust)
        assert not (root / "opt/swathpack/agent").exists() and not list((root / "opt/swathpack/trusted").glob("*.pub"))


def test_what_the_key_may_not_sign_is_refused_before_anything_is_sent(
    root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    key, own = tmp_path / "mission.pub", key_id(public_key())
    for words, changes, said in (
        ("expires=2020-12-31", {}, "signs releases up to 2020-12-31"),
        ("role=release", {"keys": {"revoke": ["0123456789abcdef"]}}, "is a release key"),
        ("", {"keys": {"revoke": [own]}}, "would leave the board without a mission key"),
    ):
        key.write_text(f"{public_line(public_key()).strip()} {words}")
        path = packed(tmp_path, release=1_700_000_000, **changes)
        assert main(["flash", "--bundle", str(path), "--trust", str(key), "--dry-run"]) == 1
        told = capsys.readouterr()
        assert said in told.err and "receive" not in told.out


def test_a_board_that_trusts_nobody_needs_a_key(root: Path, tmp_path: Path) -> None:
    with pytest.raises(Refused, match="--trust"):
        flash(root, packed(tmp_path), trust=False)


def test_later_bundles_need_no_trust_and_foreign_ones_are_refused_by_the_board(root: Path, tmp_path: Path) -> None:
    flash(root, packed(tmp_path))
    flash(root, packed(tmp_path, note="two"), trust=False)
    with pytest.raises(Refused, match="the board refused: the bundle carries no signature"):
        flash(root, packed(tmp_path, note="three", key=None), trust=False)
    with pytest.raises(Refused, match="bundle for orin-nx"):
        flash(root, packed(tmp_path, board="orin-nx"))


def test_the_same_again_sends_nothing(root: Path, tmp_path: Path) -> None:
    path = packed(tmp_path)
    flash(root, path)
    assert not {"receive", "unpack", "switch"} & {told["step"] for told in flash(root, path)}


@pytest.mark.parametrize("passed", [0, 5, pytest.param(7, marks=pytest.mark.slow)])
def test_a_cut_connection_is_made_again(root: Path, tmp_path: Path, passed: int) -> None:
    (root / "cut").write_text(str(passed))
    ready = Slots(root / "opt/swathpack")
    told = flash_until_ready(root, packed(tmp_path), ready)
    assert any(t["step"] == "connection" for t in told)
    assert ready.read().active == "a" and list((root / "opt/swathpack/incoming").iterdir()) == []


def flash_until_ready(root: Path, path: Path, slots: Slots) -> list[dict[str, Any]]:
    """As flash; the slot also proves itself when the switch was told to a connection that was gone."""
    said: list[dict[str, Any]] = []

    def say(told: dict[str, Any]) -> None:
        said.append(told)
        if slots.read().active and not slots.read().slots["a"].good:
            slots.begin_start()
            slots.confirm()

    with Remote("kit") as remote:
        assert Flash(remote, load(path), say, public_line(public_key()), pause_s=0.0, ready_s=5.0).run() == 0
    return said


def test_a_board_out_of_reach(root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").write_text("#!/bin/sh\necho 'ssh: Could not resolve hostname kit' >&2\nexit 255\n")
    with pytest.raises(ConnectionLost, match="resolve"):
        flash(root, packed(tmp_path), retries=1)


def test_a_failed_self_test_is_told_with_its_reason(root: Path, tmp_path: Path) -> None:
    with pytest.raises(RemoteError, match="no such engine"):
        flash(root, packed(tmp_path, selftest=FAILS))


def test_what_is_no_bundle(tmp_path: Path) -> None:
    path = tmp_path / "x.tar.zst"
    for data in (b"", b"hello", compressed(b""), compressed(b"hello"), compressed(b"\0" * 10240)):
        path.write_bytes(data)
        with pytest.raises(ArchiveError):
            load(path)


def test_the_commands(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["board", "status", "--target", "kit"]) == 1
    assert "swathpack flash puts it there" in capsys.readouterr().err
    flash(root, packed(tmp_path, note="one"))
    flash(root, packed(tmp_path, note="two"))
    assert main(["board", "rollback", "--target", "kit"]) == 0
    assert "slot a flies" in capsys.readouterr().out
    assert main(["board", "status", "--target", "kit"]) == 0
    shown = capsys.readouterr().out
    assert "AGX Orin" in shown and "rolled back by command" in shown
    assert main(["board", "logs", "--target", "kit", "--lines", "3"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 3
    assert Slots(root / "opt/swathpack").read().active == "a"


def test_link_keys_are_fetched_into_a_file_of_ones_own(root: Path, tmp_path: Path) -> None:
    flash(root, packed(tmp_path))
    out = tmp_path / "link.keys"
    (root / "bin/cat").write_text(f'#!/bin/sh\nexec /bin/cat {root}"$1"\n')
    (root / "bin/cat").chmod(0o755)
    assert main(["board", "keys", "--target", "kit", "-o", str(out)]) == 0
    assert read_link_keys(out) == read_link_keys(root / "etc/swathpack/link.keys")
    assert main(["board", "keys", "--target", "kit", "-o", str(out)]) == 4


@pytest.mark.parametrize("target", ["-oProxyCommand=touch x", "--", "-E/tmp/x"])
def test_a_target_is_never_an_option_of_ssh(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, target: str) -> None:
    (tmp_path / "ssh").write_text(f'#!/bin/sh\necho "$@" >> {tmp_path}/words\nexit 255\n')
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("SWATHPACK_SSH", str(tmp_path / "ssh"))
    with pytest.raises(ConnectionLost), Remote(target) as remote:
        remote.run("true")
    said = (tmp_path / "words").read_text().splitlines()
    assert len(said) == 2 and all(f" -- {target}" in line for line in said)


def test_flash_reports_one_line(root: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    path = packed(tmp_path, key=None)
    key = tmp_path / "mission.pub"
    key.write_text(public_line(public_key()))
    words = ["flash", "--bundle", str(path), "--target", "kit", "--trust", str(key)]
    assert main(words) == 1
    assert capsys.readouterr().err == "swathpack flash: the bundle carries no signature\n"
    assert main([*words, "--no-host-checks"]) == 1
    assert "the board refused: the bundle carries no signature" in capsys.readouterr().err
