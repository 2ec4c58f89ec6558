"""What every entry point does with an error: one line on stderr and an exit code, never a traceback for bad input."""

from __future__ import annotations

import sys
from collections.abc import Callable

from swathpack.tools.errors import BAD_INPUT, DONE, INTERRUPTED, UserError
from swathpack.tools.extras import missing_package


def guarded(name: str, work: Callable[[], int]) -> int:
    """The exit code of `work`, or that of the error it ended with; `name` leads the line."""
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
    except KeyboardInterrupt:
        return _say(name, "interrupted; outputs are as they were", INTERRUPTED)


def _say(name: str, message: str, code: int) -> int:
    print(f"{name}: {message}", file=sys.stderr)
    return code
