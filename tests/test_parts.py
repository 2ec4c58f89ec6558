"""The parts of `make test`: together they are all tests, one that fails is seen, and what each says stays in one piece."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests import parts
from tests.parts import PARTS, ROOT, Ended, commands, run

GOOD, BAD = (
    [sys.executable, "-c", "print('one', flush=True); print('2 passed')"],
    [sys.executable, "-c", "print('FAILED a.py::b'); exit(1)"],
)


def test_every_test_is_in_one_part() -> None:
    given = {name: command[5:] for name, command in commands([]).items()}
    assert set(given) == set(PARTS)
    for path in (ROOT / "tests").rglob("test_*.py"):
        within = [path.relative_to(ROOT), *path.relative_to(ROOT).parents]
        names = {str(p) for p in within}
        taken = [
            name
            for name, words in given.items()
            if names & set(words) and not names & {w.removeprefix("--ignore=") for w in words if w.startswith("--")}
        ]
        assert len(taken) == 1, f"{path}: {taken}"


def test_the_folders_are_there() -> None:
    assert all((ROOT / path).is_dir() for paths in PARTS.values() for path in paths)


def test_arguments_reach_every_part_and_a_path_stands_for_all() -> None:
    assert all(command[-2:] == ["-k", "edge"] for command in commands(["-k", "edge"]).values())
    assert list(commands(["-x", "tests/edge/test_clock.py::test_a"])) == ["chosen"]
    caches = [command[4] for command in commands([]).values()]
    assert len(set(caches)) == len(PARTS)


@pytest.mark.parametrize("jobs", [1, 2])
def test_a_part_that_fails_stops_no_other(jobs: int) -> None:
    ends = {end.name: end for end in run({"bad": BAD, "good": GOOD, "more": GOOD}, jobs)}
    assert {name: end.code for name, end in ends.items()} == {"bad": 1, "good": 0, "more": 0}
    assert ends["good"].text == "one\n2 passed\n" and ends["bad"].complaints == ["FAILED a.py::b"]
    assert ends["good"].memory_mb > 1 and ends["bad"].line.endswith("exit code 1: FAILED a.py::b")
    assert [end.name for end in run({"bad": BAD, "good": GOOD}, 1, stop=True)] == ["bad"]


def test_what_a_part_compiles_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTHONDONTWRITEBYTECODE", "1")
    (end,) = run({"part": [sys.executable, "-c", "import sys; print(sys.dont_write_bytecode)"]}, 1)
    assert end.text == "False\n"


def test_a_part_that_crashes_is_a_failure() -> None:
    (end,) = run({"crash": [sys.executable, "-c", "import os; os.abort()"]}, 1)
    assert end.code == -signal.SIGABRT and end.failed


@pytest.mark.parametrize(
    ("codes", "wanted"), [((0, 0), 0), ((0, 5), 0), ((5, 5), 1), ((1, 0), 1), ((0, 2), 1), ((-9, 0), 1)]
)
def test_exit_codes(codes: tuple[int, int], wanted: int, monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    given = {str(n): [sys.executable, "-c", f"print('said {n}')"] for n in range(2)}
    monkeypatch.setattr(parts, "commands", lambda arguments: given)
    monkeypatch.setattr(
        parts, "run", lambda *rest: (e for e in [Ended(str(n), c, f"said {n}", 1, 1, 9) for n, c in enumerate(codes)])
    )
    assert parts.main(["-k", "x"]) == wanted
    *_, first, second = capsys.readouterr().out.splitlines()
    assert first.endswith("said 0") and second.endswith("said 1"), "both summaries stand at the end"


def test_what_runs_beside_counts_too(monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(parts, "commands", lambda arguments: {"good": GOOD})
    python = f"{sys.executable} -c"
    assert parts.main([f"--also=lint={python} 'print(1)'"]) == 0
    assert parts.main([f"--also=lint={python} 'exit(2)'"]) == 1
    assert "lint" in capsys.readouterr().out.splitlines()[-2]


@pytest.mark.parametrize(
    "words",
    [["--jobs", "0"], ["--jobs", "-1"], ["--also", "lint"], ["--also", "a='b"], ["--also", "a=no-such-program"]],
)
def test_options_that_mean_nothing_are_refused(words: list[str], monkeypatch: pytest.MonkeyPatch, capsys) -> None:
    monkeypatch.setattr(parts, "commands", lambda arguments: pytest.fail("begun"))
    with pytest.raises(SystemExit) as ended:
        parts.main(words)
    assert ended.value.code == 2 and words[1].partition("=")[2] in capsys.readouterr().err


def test_a_part_that_does_not_end_when_asked_is_killed(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(parts, "WAIT_S", 0.1)
    deaf = (
        "import signal, time; signal.signal(signal.SIGINT, signal.SIG_IGN); print('deaf', flush=True); time.sleep(60)"
    )
    running = run(
        {"deaf": [sys.executable, "-c", deaf], "good": [sys.executable, "-c", "import time; time.sleep(2)"]}, 2
    )
    begun = time.monotonic()
    assert next(running).name == "good"
    running.close()
    assert time.monotonic() - begun < 30


def test_nobody_outlives_a_run_that_is_ended(tmp_path: Path) -> None:
    child = f"import os, time; print('begun', flush=True); open({str(tmp_path / 'pid')!r}, 'w').write(str(os.getpid())); time.sleep(60)"
    alone = f"parts.commands = lambda a: {{'long': [{sys.executable!r}, '-c', {child!r}]}}"
    script = f"from tests import parts; {alone}; raise SystemExit(parts.main([]))"
    with subprocess.Popen([sys.executable, "-c", script], cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        while not (tmp_path / "pid").exists() or not (tmp_path / "pid").read_text():
            assert process.poll() is None
            time.sleep(0.05)
        process.terminate()
        said, _ = process.communicate(timeout=30)
        assert process.returncode == 128 + signal.SIGTERM
    assert "===== long, not ended\nbegun\n" in said
    with pytest.raises(ProcessLookupError):
        os.kill(int((tmp_path / "pid").read_text()), 0)
