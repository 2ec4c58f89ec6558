"""Errors of the system in words."""

import subprocess
import sys
from pathlib import Path

from swathpack.edge.spoken import reason


def caught(path: Path) -> OSError:
    try:
        path.read_bytes()
    except OSError as error:
        return error
    raise AssertionError("it is there")


def test_the_reason_without_its_number_and_a_name_only_once(tmp_path: Path) -> None:
    lost = caught(tmp_path / "a" / "b.toml")
    assert reason(lost, tmp_path / "a" / "b.toml") == "No such file or directory"
    assert reason(lost, tmp_path / "a") == "b.toml: No such file or directory"
    assert reason(lost, tmp_path / "c") == reason(lost) == f"{tmp_path}/a/b.toml: No such file or directory"
    assert reason(OSError(28, "No space left on device")) == "No space left on device"
    assert reason(ValueError("expected 3")) == "expected 3" and reason(EOFError()) == "EOFError"


def test_what_numpy_could_not_write_is_said(tmp_path: Path) -> None:
    code = "import resource, signal, numpy; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    code += "resource.setrlimit(resource.RLIMIT_FSIZE, (8000, 8000))\n"
    code += "from swathpack.edge.spoken import reason\n"
    code += "try: numpy.zeros(9000).tofile('x.bin')\nexcept OSError as error: print(reason(error))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout == "no room for 9000 samples (full disk, or a limit on file sizes)\n"
