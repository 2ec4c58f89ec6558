"""The progress bar, with a clock of its own."""

import io

import pytest

from swathpack.tools.progress import Progress, progress


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_bar_shows_share_and_time_left():
    bar = Progress(10, "encode", Terminal(), clock=lambda: 0.0)
    bar.done = 5
    line = bar.line(60.0)
    assert line == "encode [############............] 5/10 1:00 left 1:00"


def test_redraws_on_a_terminal_only_after_two_seconds():
    now = [0.0]
    terminal = Terminal()
    with Progress(3, "x", terminal, clock=lambda: now[0]) as bar:
        bar.step()
        assert terminal.getvalue() == ""
        now[0] = 3.0
        bar.step(note="cube")
        assert "2/3" in terminal.getvalue() and "cube" in terminal.getvalue()
    assert terminal.getvalue().endswith("\n")


def test_a_log_gets_one_line_and_quick_work_none():
    now, log = [0.0], io.StringIO()
    with Progress(2, "x", log, clock=lambda: now[0]) as bar:
        bar.step(2)
    assert log.getvalue() == ""
    with Progress(2, "x", log, clock=lambda: now[0]) as bar:
        now[0] = 9.0
        bar.step(2)
    assert log.getvalue().count("\n") == 1 and "2/2" in log.getvalue()


def test_work_that_ends_early_is_done_unless_it_failed():
    """The last line stood at 2/4 where a search took fewer steps than foreseen."""
    now, log = [0.0], io.StringIO()
    with Progress(4, "x", log, clock=lambda: now[0]) as bar:
        now[0] = 9.0
        bar.step(2)
    assert "4/4" in log.getvalue()
    log.truncate(0)
    with pytest.raises(ValueError, match="broken"), Progress(4, "x", log, clock=lambda: now[0]) as bar:
        now[0] = 19.0
        bar.step(2)
        raise ValueError("broken")
    assert "2/4" in log.getvalue()


def test_items_pass_through():
    assert list(progress([3, 4], "x")) == [3, 4]
    assert list(progress(iter("ab"), "x", total=2)) == ["a", "b"]
    assert Progress(0, "none", io.StringIO()).line(0).startswith("none [####")
