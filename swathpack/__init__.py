"""SwathPack: onboard learned compression of multispectral satellite image time series.

    import swathpack

    stream = swathpack.compress(array, bands=["B02", "B03", "B04"], bytes_per_frame=20_000)
    image = stream.read(0, window=np.s_[0:256, 0:256])

Importing this package loads nothing: every name below is loaded when it is first used, so that a board has what it flies
and no more. docs/python.md shows all of them at work.

In a checkout the parts (`edge`, `codec`, ...) are links to the folders of the same name beside this one, so that a
checkout, an editable install, type checkers and the wheel see the same modules.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from swathpack.api import Inpainted as Inpainted
    from swathpack.api import compress as compress
    from swathpack.api import decompress as decompress
    from swathpack.api import evaluate_plan as evaluate_plan
    from swathpack.api import inpaint as inpaint
    from swathpack.api import inspect as inspect
    from swathpack.api import open as open
    from swathpack.edge.board import Board as Board
    from swathpack.edge.board import open_board as open_board
    from swathpack.edge.config import Mission as Mission
    from swathpack.edge.config import parse_mission as parse_mission
    from swathpack.edge.config import read_mission as read_mission
    from swathpack.edge.downlink.budget import Budget as Budget
    from swathpack.edge.downlink.budget import Pass as Pass
    from swathpack.edge.downlink.budget import read_budget as read_budget
    from swathpack.edge.frame import Frame as Frame
    from swathpack.edge.loop import FlightLoop as FlightLoop
    from swathpack.tools.errors import MissingPackageError as MissingPackageError
    from swathpack.tools.errors import RefusedError as RefusedError
    from swathpack.tools.errors import StreamError as StreamError
    from swathpack.tools.errors import UserError as Error  # noqa: F401
    from swathpack.tools.files.lazy import FrameInfo as FrameInfo
    from swathpack.tools.files.lazy import Stream as Stream
    from swathpack.tools.plan.inputs import Plan as Plan
    from swathpack.tools.plan.inputs import read_plan as read_plan
    from swathpack.tools.plan.model import Outcome as Outcome

__version__ = "0.2.0"

# Public name -> the module it is in, and its name there where that differs.
_NAMES = {
    "Board": "swathpack.edge.board",
    "Budget": "swathpack.edge.downlink.budget",
    "Error": "swathpack.tools.errors:UserError",
    "FlightLoop": "swathpack.edge.loop",
    "Frame": "swathpack.edge.frame",
    "FrameInfo": "swathpack.tools.files.lazy",
    "Inpainted": "swathpack.api",
    "MissingPackageError": "swathpack.tools.errors",
    "Mission": "swathpack.edge.config",
    "Outcome": "swathpack.tools.plan.model",
    "Pass": "swathpack.edge.downlink.budget",
    "Plan": "swathpack.tools.plan.inputs",
    "RefusedError": "swathpack.tools.errors",
    "Stream": "swathpack.tools.files.lazy",
    "StreamError": "swathpack.tools.errors",
    "compress": "swathpack.api",
    "decompress": "swathpack.api",
    "evaluate_plan": "swathpack.api",
    "inpaint": "swathpack.api",
    "inspect": "swathpack.api",
    "open": "swathpack.api",
    "open_board": "swathpack.edge.board",
    "parse_mission": "swathpack.edge.config",
    "read_budget": "swathpack.edge.downlink.budget",
    "read_mission": "swathpack.edge.config",
    "read_plan": "swathpack.tools.plan.inputs",
}

__all__ = ["__version__", *_NAMES]


def __getattr__(name: str) -> object:
    """A public name, loaded at its first use (PEP 562)."""
    if name not in _NAMES:
        raise AttributeError(f"module 'swathpack' has no attribute {name!r}")
    import importlib

    module, _, own = _NAMES[name].partition(":")
    try:
        value = getattr(importlib.import_module(module), own or name)
    except ModuleNotFoundError as error:
        raise _missing(name, error) from error
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_NAMES})


def _missing(name: str, error: ModuleNotFoundError) -> Exception:
    """An extra that is not installed, or a board's install, which has `swathpack.edge` alone."""
    if (error.name or "").startswith("swathpack"):
        return AttributeError(f"swathpack.{name} is not part of this install: no {error.name}")
    from swathpack.tools.extras import missing_package

    return missing_package(error) or error
