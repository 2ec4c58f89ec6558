"""Ways to fill a budget, of which the one with the least error stays.

Each tile's mode is chosen at the bytes that the learned codec takes there (`swathpack.edge.codec.modes`). What the choice costs
elsewhere it does not see: a date of one mode is no context for a later one of the other, and the learned codec's steps leave its
neighbours more or less than they need. Where few bytes are shared out that may outweigh what the better mode saves. So what is
mixed is weighed, as a whole, against the transform coder alone, and where tiles have few bytes against the learned codec alone.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np

from swathpack.edge.stream.quality import STEPS
from swathpack.tools.files.coders import Coders
from swathpack.tools.files.frame_coder import FrameCoder
from swathpack.tools.files.sharing import fill, level_fitting
from swathpack.tools.files.step_search import closer, finest_fitting, step_near
from swathpack.tools.files.trials import Trial

NEAR = 1.5  # levels by which the learned codec's step may miss the level of all others
ROUNDS = 4  # in which that is found, mostly in one or two
LEAP = 8  # levels, where the learned codec's tiles alone take more than there is
FEW_BYTES = 256  # of a tile, for which the learned codec alone is worth a search of its own


def frame_filled(coder: FrameCoder, room: int) -> Trial:
    """The trial of a frame that fills `room` bytes best, refined."""
    level = level_fitting([coder], room)
    coder.decide(step_near(level))
    mixed = _frame_mixed(coder, round(level), room)
    mixed = None if mixed is None else coder.refined(mixed)
    if mixed is not None and not coder.tries_both:
        return mixed
    error = np.inf if mixed is None else coder.error(mixed)
    coder.give_up()
    plain = coder.refined(fill([(coder, coder.trial(level))], room)[0])
    return plain if mixed is None or coder.error(plain) < error else mixed


def _frame_mixed(coder: FrameCoder, q: int, room: int) -> Trial | None:
    """With tiles of the learned codec; None where it has none in the end."""
    while not coder.free:
        q = finest_fitting(lambda q: coder.trial(q).size, room, q)
        if coder.reconsider(q):
            continue
        best = coder.trial(q)
        if best.size > room:  # even the coarsest step is too large
            return None
        return fill([(coder, best)], room)[0] if best.plain else _closer(best, coder.trial, q, room)
    return None


def series_filled(coders: Coders, level: float, room: int, share: int) -> list[Trial]:
    """Trials of all kept frames that fill `room` bytes best. level: at which the transform coder alone would; share: bytes of a
    tile, about.
    """
    first = coders.sequence(level)  # decides which tiles are the learned codec's
    if coders.free:
        return coders.filled(first, room)
    mixed = _series_mixed(coders, level, room)
    if mixed is not None and not coders.tries_both:
        return mixed
    found = [] if mixed is None else [(coders.error(mixed), mixed)]
    if mixed is not None and share <= FEW_BYTES and any(trial.plain for trial in mixed):
        coders.take_up()
        learned = _series_learned(coders, step_near(level), room)
        found += [] if learned is None else [(coders.error(learned), learned)]
    coders.give_up()
    coders.forget_plain()
    plain = coders.filled(coders.sequence(level), room)
    found += [(coders.error(plain), plain)] if found else [(0.0, plain)]
    return min(found, key=lambda way: way[0])[1]


def _series_mixed(coders: Coders, level: float, room: int) -> list[Trial] | None:
    """At one level that fits, about; plain tiles are cut to what the learned codec's leave. None where that has no tiles in the
    end.
    """
    q = step_near(level)
    while not coders.free:
        q = _step_fitting(coders, q, room)
        if coders.reconsider(q):
            continue
        trials = coders.sequence(q)
        if any(trial.plain for trial in trials):
            return coders.filled(trials, room) if coders.least(trials) <= room else None
        return closer(trials, coders.sequence, _size, q, room, 5) if _size(trials) <= room else None
    return None


def _series_learned(coders: Coders, q: int, room: int) -> list[Trial] | None:
    """By the learned codec alone; None where it cannot code a tile, or not in so few bytes."""
    q = finest_fitting(lambda q: _size(coders.sequence(q)), room, q)
    trials = coders.sequence(q)
    if _size(trials) > room or any(trial.plain for trial in trials):
        return None
    return closer(trials, coders.sequence, _size, q, room, 5)


def _step_fitting(coders: Coders, q: int, room: int) -> int:
    """A step of the learned codec at which its tiles leave the others room for about the same level; the finest that fits
    where there are no others.
    """
    for _ in range(ROUNDS):
        trials = coders.sequence(q)
        if not any(trial.plain for trial in trials):
            break
        level = coders.level_beside(trials, q, room)
        if level is not None and abs(level - q) <= NEAR:
            return q
        q = step_near(level) if level is not None else min(q + LEAP, STEPS - 1)
    return finest_fitting(lambda q: _size(coders.sequence(q)), room, q)


def _closer(best: Trial, code: Callable[[int, float], Trial], q: int, room: int) -> Trial:
    return closer(best, code, lambda t: t.size, q, room, 4)


def _size(trials: Sequence[Trial]) -> int:
    return sum(trial.size for trial in trials)
