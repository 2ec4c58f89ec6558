"""The boards that need nothing: a process here, the relay that cuts, the stand-ins' lines."""

from __future__ import annotations

import signal
import socket
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from swathpack.hil_tests.boards import BoardError, open_board
from swathpack.hil_tests.boards.emulated import MODELS, MODES, STAND_INS
from swathpack.hil_tests.campaigns.cross_coding import main as cross_coding
from swathpack.hil_tests.campaigns.cross_worker import CODECS
from tests.hil_tests.cutting import CuttingRelay

STANDINS = Path(__file__).resolve().parents[2] / "hil_tests/boards/standins"


def test_files_and_programs_on_the_local_board(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a/one.txt").write_text("1")
    with open_board("local") as board:
        home = Path(board.home)
        board.put(tmp_path / "a", "in/folder")
        board.put(tmp_path / "a/one.txt", "single.txt")
        done = board.run(
            ["sh", "-c", "cat single.txt in/folder/one.txt; echo $WORD > out.txt; exit 3"], 30, {"WORD": "yes"}
        )
        assert (done.returncode, done.stdout) == (3, "11")
        board.get("out.txt", tmp_path / "back/out.txt")
        assert (tmp_path / "back/out.txt").read_text() == "yes\n"
        assert board.run([board.python, "-c", "import swathpack.edge.loop"], 60).returncode == 0
        with pytest.raises(BoardError):
            board.get("none", tmp_path / "x")
        with pytest.raises(subprocess.TimeoutExpired):
            board.run(["sleep", "30"], 0.2)
    assert not home.exists()


def test_a_process_and_what_it_started_are_killed() -> None:
    with open_board("local") as board:
        process = board.start(["sh", "-c", "echo begun; sleep 60 & echo $!; wait"])
        while len(process.output().split()) < 2:
            time.sleep(0.02)
        child = int(process.output().split()[1])
        assert process.poll() is None
        process.kill(signal.SIGKILL)
        assert process.wait(10) == -signal.SIGKILL
        process.kill(signal.SIGTERM)  # nothing happens to what has ended
        for _ in range(100):
            if not Path(f"/proc/{child}").exists() or " Z " in Path(f"/proc/{child}/stat").read_text():
                break
            time.sleep(0.02)
        else:
            pytest.fail("the child lives on")


@pytest.mark.parametrize("name", ["", "ssh", "ssh:", "local:x", "jetson"])
def test_names_of_no_board(name: str) -> None:
    with pytest.raises(BoardError, match="expected a board"):
        open_board(name)


def test_the_relay_relays_until_it_cuts() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        threading.Thread(target=_echo, args=(server,), daemon=True).start()
        relay = CuttingRelay(server.getsockname()[1])
        with socket.create_connection(("127.0.0.1", relay.port), 5) as near:
            near.sendall(b"hello")
            assert near.recv(5) == b"hello" and relay.sent_bytes == 5
            assert relay.cut()
            with pytest.raises(OSError):
                if near.recv(5) == b"":
                    raise OSError
        assert relay.cuts == 1 and not relay.cut(0.1)
        relay.close()


def _echo(server: socket.socket) -> None:
    with server.accept()[0] as far:
        while data := far.recv(100):
            far.sendall(data)


def test_every_stand_in_is_named() -> None:
    text, named = (STANDINS / "README.md").read_text(), " ".join(STAND_INS)
    for program in ("nvpmodel", "tegrastats", "systemctl"):
        assert (
            STANDINS / program
        ).exists() and f"`/usr/{'sbin' if program == 'nvpmodel' else 'bin'}/{program}`" in text
        assert program in named
    assert set(MODELS) == set(MODES)


def test_the_stand_in_of_tegrastats_writes_lines_that_the_meter_reads(tmp_path: Path) -> None:
    from swathpack.edge.install.power import module_mw

    script = (STANDINS / "tegrastats").read_text().replace("/usr/share/swathpack-standins", str(STANDINS))
    release = tmp_path / "nv_tegra_release"
    release.write_text("# R39 (release), REVISION: 2.0")
    script = script.replace("/etc/nv_tegra_release", str(release))
    with subprocess.Popen(
        [sys.executable, "-c", script, "--interval", "10"], stdout=subprocess.PIPE, text=True
    ) as process:
        assert process.stdout is not None
        lines = [process.stdout.readline() for _ in range(3)]
        process.kill()
    assert all(module_mw(line) for line in lines) and "GR3D_FREQ" in lines[0]


@pytest.mark.long
def test_cross_coding_here(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["cross_coding", "--board", "local", "--tiles", "1", "--dates", "2"])
    assert cross_coding() == 0
    said = capsys.readouterr().out
    assert [said.count(f"local -> local: {codec}, 2 tile-dates of 64x64") for codec in CODECS] == [2, 2, 2]


@pytest.mark.slow
def test_cross_coding_with_the_emulated_board(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sys, "argv", ["cross_coding", "--tiles", "20", "--dates", "3"])
    try:
        open_board("emulated-orin").close()
    except BoardError as error:
        pytest.skip(str(error))
    assert cross_coding() == 0
    assert capsys.readouterr().out.count("60 tile-dates of 64x64") == 2 * len(CODECS)
