"""What is done to one tile, as functions of what they are given alone: so any process may do it, and does it alike.

perform(model, "decode", (part, layers, outline, valid))    a tile's counts; see `swathpack.tools.files.decoder`
perform(model, "transform", (tile, most, aim, weighing))    a tile coded; see `swathpack.tools.files.coding_jobs`
perform(model, "nothing", ())                               for a tile that is done: it keeps its place in the order
perform(model, "failed", (message,))                        for one that cannot be read: the same
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from swathpack.edge.codec.model import EdgeModel
from swathpack.tools.errors import UserError
from swathpack.tools.files import coding_jobs, inherited
from swathpack.tools.files.part_decoder import decode_part


def _nothing(_: EdgeModel) -> None:
    """What there is to do of a tile that is done."""


def _failed(_: EdgeModel, message: str) -> None:
    """What became of a tile before anything was done to it."""
    raise UserError(message)


_JOBS: dict[str, Callable[..., Any]] = {
    "nothing": _nothing,
    "failed": _failed,
    "decode": decode_part,
    "transform": coding_jobs.transform,
    "dated": coding_jobs.dated,
    "refined": coding_jobs.refined,
    "image": coding_jobs.image,
    "plain cost": coding_jobs.plain_cost,
    "analyse": coding_jobs.analyse,
    "learned": coding_jobs.learned,
    "exact": coding_jobs.exact,
    "worth": inherited.worth,
}


def perform(model: EdgeModel, name: str, arguments: tuple[Any, ...]) -> Any:
    """The result of a job."""
    return _JOBS[name](model, *arguments)
