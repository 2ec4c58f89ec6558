"""What entry points make of a request to end."""

from __future__ import annotations

import io
import os
import signal
import sys
from collections.abc import Iterator

import pytest

from swathpack.tools import guard
from swathpack.tools.errors import DONE, TERMINATED
from swathpack.tools.guard import Terminated, guarded


@pytest.fixture(autouse=True)
def _as_it_was() -> Iterator[None]:
    before = signal.getsignal(signal.SIGTERM)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    yield
    signal.signal(signal.SIGTERM, before)


def ask() -> None:
    os.kill(os.getpid(), signal.SIGTERM)


def test_work_is_told_once_and_the_code_says_so(capsys: pytest.CaptureFixture[str]) -> None:
    told = []

    def work() -> int:
        try:
            ask()
        except Terminated:
            told.append(1)
            ask()  # while it tidies up
            raise
        return DONE

    assert guarded("swathpack x", work) == TERMINATED and told == [1]
    assert capsys.readouterr().err == "swathpack x: ended; no output is half written\n"


def test_a_request_when_all_is_done_ends_it_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    def last(name: str, work: object) -> int:
        ask()
        return DONE

    monkeypatch.setattr(guard, "_guarded", last)
    assert guarded("swathpack x", lambda: DONE) == TERMINATED


def test_what_somebody_else_listens_for_is_left_to_them() -> None:
    heard = []
    signal.signal(signal.SIGTERM, lambda *_: heard.append(1))

    def work() -> int:
        ask()
        return DONE

    assert guarded("swathpack x", work) == DONE and heard == [1]


def test_nothing_is_left_behind() -> None:
    assert guarded("swathpack x", lambda: DONE) == DONE
    assert signal.getsignal(signal.SIGTERM) is signal.SIG_DFL


@pytest.mark.parametrize(("encoding", "printed"), [("ascii", b"\\xf6 \\udcff\n"), ("utf-8", b"\xc3\xb6 \\udcff\n")])
def test_names_that_a_terminal_has_no_letters_for_are_escaped(
    monkeypatch: pytest.MonkeyPatch, encoding: str, printed: bytes
) -> None:
    """When all is done a name is no reason for a traceback: letters of others, and bytes that are no text."""
    seen = io.BytesIO()
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(seen, encoding, errors="strict", write_through=True))

    def work() -> int:
        print("\xf6 \udcff")
        return DONE

    assert guarded("swathpack x", work) == DONE and seen.getvalue() == printed
