"""Which contexts a tile is coded with: those that save bits, or none.

The entropy network pays for a context that is nothing like the tile, and what the base costs tells little of the refinement
when the two are close. So the choice is by coded bytes of both passes wherever it is not clear from the base alone, and a
context must save more than its reference costs. Files and flights choose by the same function.

Judged on 21 tiles of training series at q 20, 32 and 44: wherever a context won before optimised quantisation it won after
it; beyond LOSES none saved more than 1 %; one context alone was at best 0.5 % better than two.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from swathpack.edge.codec.latents import LAYERS, Latent
from swathpack.edge.codec.layers import CodedBase, encode_layers, make_base
from swathpack.edge.codec.model import EdgeModel
from swathpack.edge.codec.prediction import CodingContext, Prediction, predict
from swathpack.edge.stream.quality import step_of

WINS, LOSES = 0.9, 1.05  # ratios of first-pass bytes with contexts to those without, from which on the base decides
REF_BYTES = 6  # of a context's reference in a segment

Kept = tuple[int, ...]  # numbers of the contexts that are used, in their order


@dataclass(frozen=True, eq=False)
class Pass:
    """Entropy passes that are done: over the base, where the quality has one, and over the latent given its base, unless
    that is still to do.
    """

    base: CodedBase | None
    prediction: Prediction | None

    @classmethod
    def first(cls, model: EdgeModel, latent: Latent, contexts: Sequence[CodingContext], quality: int) -> Pass:
        """The pass over the base of a latent (512, h, w), or over the latent when it has none."""
        base = make_base(model.engine, latent, contexts, quality)
        return cls(base, None if base else predict(model.engine, latent, contexts, step_of(quality)))

    def whole(self, model: EdgeModel, latent: Latent, contexts: Sequence[CodingContext], quality: int) -> Prediction:
        """What the pass over the latent says, made now where it is still to do."""
        if self.prediction is not None:
            return self.prediction
        base = None if self.base is None else self.base.base
        return predict(model.engine, latent, contexts, step_of(quality), base)

    def size(self, model: EdgeModel, latent: Latent) -> int:
        """Bytes of the layers that the passes tell: the base alone, or all."""
        stop = LAYERS if self.prediction is not None else 1
        return int(encode_layers(model.tables, self.prediction, latent, 0, stop, base=self.base).sizes[-1])


class _Contest:
    """Costs of one latent with some of its contexts, every pass made at most once."""

    def __init__(self, model: EdgeModel, latent: Latent, quality: int, contexts: Sequence[CodingContext]) -> None:
        self.model, self.latent, self.quality, self.contexts = model, latent, quality, contexts
        self._first: dict[Kept, tuple[Pass, int]] = {}
        self._predictions: dict[Kept, Prediction] = {}

    def _given(self, kept: Kept) -> list[CodingContext]:
        return [self.contexts[i] for i in kept]

    def first(self, kept: Kept) -> tuple[Pass, int]:
        """The first pass and its bytes."""
        if kept not in self._first:
            done = Pass.first(self.model, self.latent, self._given(kept), self.quality)
            self._first[kept] = done, done.size(self.model, self.latent)
        return self._first[kept]

    def whole(self, kept: Kept) -> tuple[Pass, int]:
        """All passes, and what the tile costs with them."""
        done, size = self.first(kept)
        if done.prediction is None:
            # The base takes the second context's place, so that this pass is the same for all with one first context.
            if kept[:1] not in self._predictions:
                found = done.whole(self.model, self.latent, self._given(kept), self.quality)
                self._predictions[kept[:1]] = found
            done = Pass(done.base, self._predictions[kept[:1]])
            size = done.size(self.model, self.latent)
        return done, size + REF_BYTES * len(kept)


def choose_contexts(
    model: EdgeModel, latent: Latent, quality: int, contexts: Sequence[CodingContext]
) -> tuple[Kept, Pass]:
    """Which of at most two contexts, best first, a latent (512, h, w) of that quality byte is to be coded with: both, one
    of them or none. Also the passes that are done by then, which `swathpack.edge.codec.tile_coder.encode_tile` takes.
    """
    contest = _Contest(model, latent, quality, contexts)
    every: Kept = tuple(range(len(contexts)))
    if not contexts:
        return (), contest.first(())[0]
    given, nothing = contest.first(every)[1], contest.first(())[1]
    if given < WINS * nothing:
        return every, contest.first(every)[0]
    if given > LOSES * nothing and contest.first((0,))[1] >= nothing:  # the second one may have spoilt it
        return (), contest.first(())[0]
    contenders = dict.fromkeys([(), every, (0,)])
    if len(contexts) > 1 and contest.first((1,))[1] < min(given, contest.first((0,))[1]):
        contenders[(1,)] = None
    cheapest = min(contenders, key=lambda kept: contest.whole(kept)[1])
    return cheapest, contest.whole(cheapest)[0]
