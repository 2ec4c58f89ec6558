"""One family of errors for those who call from Python."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import contextmanager

from swathpack.edge.bands import BandError
from swathpack.edge.codec.model import ModelError
from swathpack.edge.codec.plain import PlainError
from swathpack.edge.frame import FrameError
from swathpack.edge.stream import StreamError as FormatError
from swathpack.tools.errors import MissingPackageError, UserError
from swathpack.tools.extras import missing_package


@contextmanager
def public_errors() -> Iterator[None]:
    """Errors of the parts as the public ones, with keywords where the command line has options."""
    try:
        yield
    except (FrameError, BandError, PlainError, FormatError, ModelError) as error:
        raise UserError(str(error)) from error
    except MissingPackageError:
        raise
    except ModuleNotFoundError as error:
        raise missing_package(error) or error from error
    except UserError as error:
        text = re.sub(r"--([a-z]+(?:-[a-z]+)*)", lambda found: found[1].replace("-", "_"), str(error))
        error.args = (text, *error.args[1:])
        raise
