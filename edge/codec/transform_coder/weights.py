"""Weights of bands: in some an error counts more than in others.

Visible bands are dark, so a squared error that is equal over all bands starves the picture that people look at, and the more
so the darker they are beside the others. So their weights follow the pixels: at low rates blue, green and red get about as
much spread as the other bands have, and more than half as much again, all tiles of a frame alike
(`swathpack.edge.codec.frame_weights`). What that wins and costs is measured in docs/pictures.md. At high rates every band is
good, and equal weights are worth more.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import water
from swathpack.edge.codec.transform_coder.header import BitReader, BitWriter

# Where weights fall, green is the last and blue the first: eyes see most of it, and least of blue.
RANKS = {"B03": 0, "green": 0, "B04": 1, "red": 1, "B02": 2, "blue": 2}
VISIBLE = frozenset(RANKS)
LEVEL_BITS, OWN_LEVEL_BITS = 2, 3
# 2^(k/2) and its inverse, written out so that no library's rounding is in them.
_ROOT, _INVERSE_ROOT = 1.41421356237309505, 0.70710678118654752
_FACTORS = (1.0, _ROOT, 2.0, 2 * _ROOT, 4.0, 4 * _ROOT, 8.0, 8 * _ROOT)
_INVERSES = (1.0, _INVERSE_ROOT, 0.5, _INVERSE_ROOT / 2, 0.25, _INVERSE_ROOT / 4, 0.125, _INVERSE_ROOT / 8)
EQUAL = "equal"
CHOICES = ("auto", EQUAL, "visible")
# Bits a sample up to which weights are as the pixels ask for, and from which on they are equal. Between, they fall band by band: all at
# once, and twice the bytes would draw a picture as good as before.
FULL_BPPB, EQUAL_BPPB = 0.25, 1.0

# Of weights that follow the tile: the visible bands get about GAIN times the spread of the others, in half octaves between 2
# and 4. Fitted on first dates of 36 training cubes (docs/pictures.md).
GAIN = 1.6
LEAST, MOST = 2, 4
# Water masks hang on infrared where it is not far above green in more than WATERY of the pixels, if the visible bands weigh more than
# 2, and where more than EDGED lie by the edge of the mask, with any: it then weighs 1.41.
NEAR, WATERY, EDGED = 1.25, 0.01, 0.04
SOME = 0.01  # by the edge: of payloads that draw a tile alike, files then keep the one with the truest mask
ALL = 1e9  # squared weight that flat visible bands ask for beside others that are not
THIN = 2  # every other row and column tells enough


@dataclass(frozen=True)
class Weights:
    """`levels`: of a tile's bands, 0 to 7; a band weighs 2^(level/2) in amplitude. seen: which bands it is done for, encoders know."""

    levels: tuple[int, ...]
    seen: tuple[bool, ...] = field(default=(), compare=False)

    @classmethod
    def equal(cls, count: int) -> Weights:
        """Of `count` bands, none before the others."""
        return cls((0,) * count)

    @classmethod
    def visible(cls, names: Sequence[str], level: int) -> Weights:
        """Blue, green and red before the others; equal where there are no others."""
        return cls.falling(names, 3 * level)

    @classmethod
    def falling(cls, names: Sequence[str], thirds: int) -> Weights:
        """Green, red and blue before the others: in turn a level more for every third of one."""
        seen = tuple(name in VISIBLE for name in names)
        if not thirds or not any(seen) or all(seen):
            return cls.equal(len(names))
        return cls(tuple((thirds + 2 - RANKS[name]) // 3 if name in RANKS else 0 for name in names), seen)

    @property
    def level(self) -> int:
        """The heaviest; 0: all the same."""
        return max(self.levels, default=0)

    @property
    def heaviest(self) -> tuple[bool, ...]:
        """The bands that weigh most, or for which it is done; all where they are the same."""
        return self.seen if self.level and self.seen else tuple(level == self.level for level in self.levels)

    @property
    def balance(self) -> float:
        """What squared errors by these weights are multiplied by before tiles are weighed against each other: more weight
        than the usual 2 decides where a tile's bits go, not how many it gets (they stay where the geometric mean of the
        weights does)."""
        more = max(sum(self.levels) - LEAST * sum(self.heaviest), 0)
        return float(2.0 ** (-more / max(len(self.levels), 1)))

    @property
    def factors(self) -> NDArray[np.float32]:
        """(C, 1, 1) float32: what samples are multiplied by before they are coded."""
        return self._of(_FACTORS)

    @property
    def inverses(self) -> NDArray[np.float32]:
        """(C, 1, 1) float32: the way back."""
        return self._of(_INVERSES)

    def _of(self, table: tuple[float, ...]) -> NDArray[np.float32]:
        return np.array([table[level] for level in self.levels], np.float32)[:, None, None]


def follow_pixels(choice: str, names: Sequence[str], bppb: float) -> bool:
    """Whether an option lets weights of bands of these names follow the pixels at so many bits a sample."""
    visible = sum(name in VISIBLE for name in names)
    return choice == "auto" and bppb < EQUAL_BPPB and 0 < 2 * visible < len(names)  # of few bands none can pay for more


def weights_for(
    choice: str,
    names: Sequence[str],
    bppb: float,
    samples: NDArray[np.generic],
    valid: NDArray[np.bool_],
    frame: float | None = None,
) -> Weights:
    """What an option says of a tile (C, H, W) of bands of these names, whose payload is aimed at so many bits a sample.
    equal; visible: blue, green and red at 2; auto: as the pixels ask for at low rates, less and less of it up to EQUAL_BPPB. frame:
    the `asked` of all the frame, the tile's own if that is not said. Raises ValueError.
    """
    if choice not in CHOICES:
        raise ValueError(f"weights: expected one of {', '.join(CHOICES)}, found {choice!r}")
    if choice == "auto" and bppb < EQUAL_BPPB:
        full = _weights_of(names, thinned(samples, valid), frame)
        return full if bppb <= FULL_BPPB else Weights.falling(names, _thirds_left(full.level, bppb))
    return Weights.visible(names, 2 * (choice == "visible"))


def _thirds_left(level: int, bppb: float) -> int:
    """Thirds of levels that are left of a level between FULL_BPPB and EQUAL_BPPB; none is at the second one."""
    share = math.log2(EQUAL_BPPB / bppb) / math.log2(EQUAL_BPPB / FULL_BPPB)
    return math.ceil(3 * level * share)


def thinned(samples: NDArray[np.generic], valid: NDArray[np.bool_]) -> NDArray[np.int64]:
    """(C, H, W) and (H, W) -> (C, N) counts of every other valid pixel each way."""
    return samples[:, ::THIN, ::THIN][:, valid[::THIN, ::THIN]].astype(np.int64)


def asked(names: Sequence[str], inside: NDArray[np.int64]) -> float:
    """Squared weight that visible bands ask for beside others, by (C, N) counts of at least one pixel: then they have GAIN times the
    spread of the others. Sums are of integers, so that every machine finds the same.
    """
    count, seen = inside.shape[1], np.array([name in VISIBLE for name in names])
    spreads = (inside * inside).sum(axis=1) / count - (inside.sum(axis=1) / count) ** 2
    wanted, found = GAIN**2 * float(spreads[~seen].mean()), float(spreads[seen].mean())
    return wanted / found if found > 0 else ALL if wanted > 0 else 0.0


def _weights_of(names: Sequence[str], inside: NDArray[np.int64], frame: float | None) -> Weights:
    usual = Weights.visible(names, LEAST)
    if not inside.shape[1] or not follow_pixels("auto", names, 0.0):
        return usual
    wanted = asked(names, inside) if frame is None else frame
    level = LEAST + sum(wanted > 2 ** (level + 0.5) for level in range(LEAST, MOST))
    raised = int(_masks_hang_on_infrared(water.pair_of(names, inside), level))
    full = Weights.visible(names, level)
    infrared = (raised * (name in water.INFRARED) for name in names)
    return replace(full, levels=tuple(map(max, full.levels, infrared)))


def _masks_hang_on_infrared(pair: tuple[NDArray[np.int64], NDArray[np.int64]] | None, level: int) -> bool:
    """Of green and infrared, (N,) counts each, beside visible bands of that level."""
    if pair is None:
        return False
    green, infrared = pair
    watery = (infrared < NEAR * green).mean() > WATERY
    return bool((watery and level > LEAST) or water.edge_share(pair) > EDGED)


def masks_count(
    choice: str, names: Sequence[str], bppb: float, samples: NDArray[np.generic], valid: NDArray[np.bool_]
) -> bool:
    """Whether the water mask decides between payloads of about the same error, of a tile as in `weights_for`: at low rates, where
    enough of it lies by the mask's edge and least error is not asked for.
    """
    if choice != "auto" or bppb > FULL_BPPB:
        return False
    return water.edge_share(water.pair_of(names, samples[:, valid])) > SOME


def _alike(levels: Sequence[int]) -> bool:
    """Whether all bands that weigh more than others weigh the same, at most what LEVEL_BITS say."""
    return len(set(levels) - {0}) == 1 and max(levels) < 1 << LEVEL_BITS


def write_weights(weights: Weights, out: BitWriter) -> None:
    """Of weights that are not equal: the level and a bit a band; where that does not tell all, level 0, and per band a bit
    that is 0 or its own level behind it."""
    alike = _alike(weights.levels)
    out.put(weights.level if alike else 0, LEVEL_BITS)
    for level in weights.levels:
        out.put(level > 0, 1)
        if level and not alike:
            out.put(level, OWN_LEVEL_BITS)


def read_weights(count: int, bits: BitReader) -> Weights:
    """As write_weights. Raises ValueError for what no encoder writes."""
    level, levels, raised = bits.get(LEVEL_BITS), [], 0
    for _ in range(count):
        heavy = bits.get(1)
        raised += heavy
        levels.append((level or bits.get(OWN_LEVEL_BITS)) if heavy else 0)
    if not 0 < raised < count or sum(map(bool, levels)) != raised or _alike(levels) != (level > 0):
        raise ValueError(f"weights of level {level} for {raised} of {count} bands")
    return Weights(tuple(levels))


def weighted_errors(
    errors: NDArray[np.float64], samples: NDArray[np.generic], valid: NDArray[np.bool_], weights: Weights
) -> NDArray[np.float64]:
    """Squared errors over all bands of a tile (C, H, W), coded without weights -> what they are by weights, about, balanced:
    every band is
    taken to err by the same, at most its own spread (reverse water-filling; Cover and Thomas, "Elements of Information
    Theory", section 10.3.3).
    """
    if not weights.level:
        return errors
    inside = samples[:, valid]
    spreads = inside.var(axis=1, dtype=np.float64) * inside.shape[1] if inside.size else np.zeros(len(samples))
    levels = np.concatenate([[0.0], np.sort(spreads)])[:, None]
    parts = np.minimum(levels, spreads)
    plain, heavy = parts.sum(axis=1), (parts * weights.factors.ravel().astype(np.float64) ** 2).sum(axis=1)
    beyond = np.maximum(errors - plain[-1], 0) * (heavy[-1] / plain[-1] if plain[-1] else 1.0)
    return np.asarray(np.interp(errors, plain, heavy) + beyond) * weights.balance
