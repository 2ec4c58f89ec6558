"""TEC-TT and FlexTEC: series of frames, each coded from the two before it.

The encoder runs the decoder network once over all tokens (teacher-forced); the decoder runs it token by token
with cached keys and values, which costs as much as that one pass. Windows are taken in groups, so memory does
not grow with the frame beyond its context; a group is also the unit of the checks.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np
import torch
from torch import Tensor

from swathpack.codec.terracodec.checkpoint import Imported
from swathpack.codec.terracodec.coding import FrameDecoder, FrameEncoder, integers
from swathpack.codec.terracodec.gaussian import SIGMA_MIN_CODED, SIGMA_RULES, coded_cells, table_of
from swathpack.codec.terracodec.stream import FrameBody, StreamError
from swathpack.codec.terracodec.transformer import DecoderState
from swathpack.codec.terracodec.tt import TOKENS, WINDOW, Temporal
from swathpack.edge.codec.tables import ProbabilityTables

GROUP = 64  # windows of one frame that go through the network together


class Context:
    """The encoded earlier latents of B series, and the context of the frame to come."""

    def __init__(self, model: Temporal, batch: int, grid: tuple[int, int]) -> None:
        self.model, self.batch = model, batch
        self.rows, self.columns = grid[0] // WINDOW, grid[1] // WINDOW
        self.windows = self.rows * self.columns
        self._encoded: list[Tensor] = []
        self._first: Tensor | None = None

    def groups(self) -> Iterator[slice]:
        """Slices over the windows of a frame."""
        for first in range(0, self.windows, GROUP):
            yield slice(first, min(first + GROUP, self.windows))

    def of_group(self, group: slice) -> Tensor:
        """(B * m, 128, d), or (1, 128, d) for a first frame, whose context is a constant computed once."""
        if not self._encoded:
            if self._first is None:
                self._first = self.model.first_context()
            return self._first
        older, newer = (e[:, group].flatten(0, 1) for e in (self._encoded[0], self._encoded[-1]))
        return self.model.entropy_model.join_context(older, newer)

    def push(self, latent: Tensor) -> None:
        """Add a decoded latent (B, C, h, w); the last two are kept."""
        entropy = self.model.entropy_model
        windows = torch.unflatten(entropy.context_windows(latent), 0, (self.batch, self.windows))
        parts = [entropy.encode_windows(windows[:, g].flatten(0, 1)) for g in self.groups()]
        parts = [torch.unflatten(part, 0, (self.batch, -1)) for part in parts]
        self._encoded = [*self._encoded[-1:], torch.cat(parts, 1)]

    def split(self, latent: Tensor) -> Tensor:
        """(B, C, h, w) -> tokens (B, windows, 16, C)."""
        return torch.unflatten(self.model.entropy_model.to_tokens(latent), 0, (self.batch, self.windows))

    def join(self, parts: list[Tensor]) -> Tensor:
        """Values or features of all groups, each (B * m, 16, c) -> (B, c, h, w)."""
        tokens = torch.cat([torch.unflatten(part, 0, (self.batch, -1)) for part in parts], 1)
        return self.model.entropy_model.from_tokens(tokens.flatten(0, 1), (self.rows, self.columns))


# Called for token j with mean and raw scale (n, 1, C); returns the token's values (n, 1, C).
Chooser = Callable[[int, Tensor, Tensor], Tensor]


def teacher_forced(model: Temporal, tokens: Tensor, state: DecoderState) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """One pass over the first t tokens (n, t, C), unrounded: (values, means, raw scales, features).

    The value coded is round(y - round(mean)) + round(mean). It is round(y) but for exact ties, in which case
    the pass is repeated with the values it gave: token j is right after j repeats at most.
    """
    entropy = model.entropy_model
    values = torch.round(tokens)
    for _ in range(tokens.shape[1] + 1):
        state.rewind()
        features = entropy.advance(entropy.shifted(values), state)
        mean, raw = entropy.heads(features)
        coded = model.quantise(tokens, mean)
        if torch.equal(coded, values):
            return values, mean, raw, features
        values = coded
    raise StreamError("expected finite latents, found values that do not settle")


def walk(model: Temporal, state: DecoderState, values: Tensor, choose: Chooser) -> tuple[Tensor, Tensor]:
    """Go on token by token after `values` (n, t, C), the tokens that `state` has produced so far.

    Returns the values (n, 16, C) and the features (n, 16 - t, d) of the new tokens.
    """
    entropy = model.entropy_model
    tokens, features = [values], []
    previous = values[:, -1:] if values.shape[1] else entropy.start_token(values.shape[0])
    for j in range(values.shape[1], TOKENS):
        feature = entropy.advance(previous, state)
        previous = choose(j, *entropy.heads(feature))
        tokens.append(previous)
        features.append(feature)
    empty = values.new_empty(values.shape[0], 0, model.sizes.d_model)
    return torch.cat(tokens, 1), torch.cat(features, 1) if features else empty


def encode_temporal(imported: Imported, latents: list[Tensor], keep: int) -> list[list[FrameBody]]:
    """latents: one (B, C, h, w) per date. Returns the bodies, [date][series].

    keep: tokens that are sent, 0..16; the rest take their predicted, rounded mean.
    """
    model = imported.of(Temporal)
    batch, _, h, w = latents[0].shape
    context = Context(model, batch, (h, w))
    bodies = []
    for number, latent in enumerate(latents):
        frame, decoded = _encode_frame(imported, context, latent, keep)
        bodies.append(frame)
        if number + 1 < len(latents):
            context.push(decoded)
    return bodies


def _encode_frame(imported: Imported, context: Context, latent: Tensor, keep: int) -> tuple[list[FrameBody], Tensor]:
    model, tables = context.model, imported.tables["y"]
    coders = [FrameEncoder(tables, SIGMA_MIN_CODED) for _ in range(context.batch)]
    tokens, parts, rules = context.split(latent), [], [0] * context.batch
    for group in context.groups():
        state = model.entropy_model.start(context.of_group(group))
        wanted = tokens[:, group, :keep].flatten(0, 1)
        values = wanted
        if keep:
            values, mean, raw, _ = teacher_forced(model, wanted, state)
            if model.sizes.flex and group.start == 0:
                rules = _cheaper_rules(tables, values, mean, raw, context.batch)
            _put_tokens(coders, rules, values, mean, raw)
        parts.append(walk(model, state, values, _filler(coders))[0])
    return [coder.body(rule) for coder, rule in zip(coders, rules)], context.join(parts)


def _put_tokens(coders: list[FrameEncoder], rules: list[int], values: Tensor, mean: Tensor, raw: Tensor) -> None:
    batch = len(coders)
    split = [torch.unflatten(part, 0, (batch, -1)) for part in (values, mean, raw)]
    for coder, rule, v, m, r in zip(coders, rules, *split):
        for j in range(v.shape[1]):
            coder.put(v[:, j], m[:, j], SIGMA_RULES[rule](r[:, j]))


def _filler(coders: Sequence[FrameEncoder | FrameDecoder]) -> Chooser:
    def choose(_: int, mean: Tensor, __: Tensor) -> Tensor:
        parts = torch.unflatten(mean, 0, (len(coders), -1))
        return torch.cat([coder.fill(part) for coder, part in zip(coders, parts)])

    return choose


def _cheaper_rules(tables: ProbabilityTables, values: Tensor, mean: Tensor, raw: Tensor, batch: int) -> list[int]:
    """Which of the two scale activations costs each series fewer bits (FlexTEC's code has used both)."""
    split = [torch.unflatten(part, 0, (batch, -1)) for part in (values, mean, raw)]
    return [
        min(range(len(SIGMA_RULES)), key=lambda i: _bits(tables, v, m, SIGMA_RULES[i](r))) for v, m, r in zip(*split)
    ]


def _bits(tables: ProbabilityTables, values: Tensor, mean: Tensor, sigma: Tensor) -> float:
    cells = coded_cells(mean, sigma, SIGMA_MIN_CODED)
    numbers = np.floor(cells.mean).astype(np.int64), np.floor(cells.scale).astype(np.int64)
    base, index = table_of(*numbers)
    return tables.cost_bits(index, integers(values) - base)


def decode_temporal(
    imported: Imported, bodies: list[list[FrameBody]], keep: int, grid: tuple[int, int]
) -> Iterator[tuple[Tensor, Tensor]]:
    """bodies: [date][series]. Yields per date the latent (B, C, h, w) and the features (B, d, h, w)."""
    model = imported.of(Temporal)
    context = Context(model, len(bodies[0]), grid)
    for number, frame in enumerate(bodies):
        latent, features = _decode_frame(imported, context, frame, keep, number)
        yield latent, features
        if number + 1 < len(bodies):
            context.push(latent)


def _decode_frame(
    imported: Imported, context: Context, bodies: list[FrameBody], keep: int, number: int
) -> tuple[Tensor, Tensor]:
    model, tables = context.model, imported.tables["y"]
    for body in bodies:
        if body.sigma_rule >= len(SIGMA_RULES):
            raise StreamError(f"frame {number}: expected a known scale rule, found {body.sigma_rule}")
    coders = [FrameDecoder(tables, SIGMA_MIN_CODED, body, number) for body in bodies]
    choose = _taker(coders, [SIGMA_RULES[body.sigma_rule] for body in bodies], keep)
    values, features = [], []
    for group in context.groups():
        encoded = context.of_group(group)
        windows = context.batch * (group.stop - group.start)
        nothing = encoded.new_empty(windows, 0, model.latent_channels)
        value, feature = walk(model, model.entropy_model.start(encoded), nothing, choose)
        values.append(value)
        features.append(feature)
    return context.join(values), context.join(features)


def _taker(coders: list[FrameDecoder], rules: list[Callable[[Tensor], Tensor]], keep: int) -> Chooser:
    fill = _filler(coders)

    def choose(j: int, mean: Tensor, raw: Tensor) -> Tensor:
        if j >= keep:
            return fill(j, mean, raw)
        means, raws = (torch.unflatten(part, 0, (len(coders), -1)) for part in (mean, raw))
        return torch.cat([c.take(m, rule(r)) for c, rule, m, r in zip(coders, rules, means, raws)])

    return choose
