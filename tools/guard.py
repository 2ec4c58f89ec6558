"""What every entry point does with an error: one line on stderr and an exit code, never a traceback for bad input. A
request to end (SIGTERM, as of a scheduler) ends it as Ctrl-C does: no output is half written.
"""

from __future__ import annotations

import io
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

from swathpack.tools.errors import BAD_INPUT, DONE, INTERRUPTED, TERMINATED, UserError
from swathpack.tools.extras import missing_package


class Terminated(KeyboardInterrupt):
    """SIGTERM came."""


def guarded(name: str, work: Callable[[], int]) -> int:
    """The exit code of `work`, or that of the error it ended with; `name` leads the line."""
    _print_anything()
    try:
        with _termination_heard():
            return _guarded(name, work)
    except Terminated:  # when all was done
        return _say(name, "ended; no output is half written", TERMINATED)


def _print_anything() -> None:
    """Names of files and bands may hold letters that a terminal's encoding lacks, or bytes that are no text: they are printed as
    escapes, as stderr does, and no reason to fail when all is done.
    """
    if isinstance(sys.stdout, io.TextIOWrapper) and sys.stdout.errors == "strict":
        sys.stdout.reconfigure(errors="backslashreplace")


def _guarded(name: str, work: Callable[[], int]) -> int:
    try:
        return work()
    except UserError as error:
        return _say(name, str(error), error.exit_code)
    except ModuleNotFoundError as error:
        missing = missing_package(error)
        if missing is None:
            raise
        return _say(name, str(missing), missing.exit_code)
    except MemoryError as error:
        return _say(name, f"not enough memory: {error or 'less than this input needs is free'}", BAD_INPUT)
    except BrokenPipeError:
        return DONE
    except OSError as error:
        what = f"{error.filename}: " if error.filename else ""
        return _say(name, f"{what}{error.strerror or error}", BAD_INPUT)
    except Terminated:
        return _say(name, "ended; no output is half written", TERMINATED)
    except KeyboardInterrupt:
        return _say(name, "interrupted; no output is half written", INTERRUPTED)


@contextmanager
def _termination_heard() -> Iterator[None]:
    """SIGTERM raises Terminated meanwhile, once, where nobody else listens for it. Another one finds a process that is ending."""
    own = threading.current_thread() is threading.main_thread()
    if not own or signal.getsignal(signal.SIGTERM) is not signal.SIG_DFL:
        yield
        return
    signal.signal(signal.SIGTERM, _terminate)
    try:
        yield
    finally:
        if signal.getsignal(signal.SIGTERM) is _terminate:
            signal.signal(signal.SIGTERM, signal.SIG_DFL)


def _terminate(number: int, frame: FrameType | None) -> None:
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    raise Terminated


def _say(name: str, message: str, code: int) -> int:
    print(f"{name}: {message}", file=sys.stderr)
    return code
