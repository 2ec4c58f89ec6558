"""Golden vectors: inputs of the entropy network, the heads its int64 twin gives, and the check of an engine.

models/edge/golden.npz (written by `swathpack.export.golden`) holds for every case `<case>.latent` (512, h, w) int16,
`<case>.setting` (3,) int64 = step index and known layers of the two contexts (negative: the base of so many),
`<case>.digests` (16, 8) uint8 = digest of each layer's heads, and for some cases `<case>.heads` int32, all heads one
after the other.
Contexts are not stored: they follow from the latent by `contexts_of`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.base_layer import BASE_GROUPS, known_part
from swathpack.edge.codec.digest import array_digest
from swathpack.edge.codec.latents import (
    GROUP,
    LAYERS,
    Latent,
    latent_planes,
    neighbour_mean8,
    phase_map,
    spatial_planes,
)

if TYPE_CHECKING:
    from swathpack.edge.codec.prediction import EntropyEngine

DIGEST_BYTES = 8


class GoldenError(ValueError):
    """golden.npz is not what this version reads."""


class PassInputs(NamedTuple):
    """Arguments of `EntropyEngine.heads_of_all`."""

    own: NDArray[np.int8]
    contexts: NDArray[np.int8]
    known: NDArray[np.int8]
    spatial: NDArray[np.int8]
    q: int
    size: tuple[int, int]


@dataclass(frozen=True, eq=False)
class GoldenCase:
    """One case; `heads`: per layer (parts, 32, P) int32, or None where only digests are kept."""

    name: str
    inputs: PassInputs
    digests: NDArray[np.uint8]
    heads: list[NDArray[np.int32]] | None


@dataclass(frozen=True)
class Difference:
    """The first output of an engine that is not the golden one."""

    case: str
    layer: int
    detail: str

    def __str__(self) -> str:
        return f"heads of layer {self.layer} differ first (case {self.case}){self.detail}"


def contexts_of(latent: Latent) -> tuple[Latent, Latent]:
    """Two contexts made from a latent by integers: moved by a column; halved, negated, rows turned."""
    return np.roll(latent, 1, axis=2), -(latent[:, ::-1] >> 1)


def pass_inputs(latent: Latent, contexts: tuple[Latent, Latent], q: int, known: tuple[int, int]) -> PassInputs:
    """Inputs of one pass: latents (512, h, w) in step q, contexts known to their first `known` layers, or to the base
    of so many where that is negative.
    """
    kept = [known_part(c, abs(k)) for c, k in zip(contexts, known)]
    counts = np.array(known)[:, None]
    flags = ((np.arange(LAYERS) < np.abs(counts)) * np.sign(counts)).astype(np.int8)
    spatial = spatial_planes(neighbour_mean8(latent[:GROUP]), neighbour_mean8(kept[0][:GROUP]))
    planes = np.stack([latent_planes(x) for x in kept])
    return PassInputs(latent_planes(latent), planes, flags, spatial, q, (latent.shape[1], latent.shape[2]))


def heads_by_layer(first: NDArray[Any], rest: NDArray[Any]) -> list[NDArray[np.int32]]:
    """The two results of `heads_of_all` as one list over layers."""
    return [first.astype(np.int32), *rest.astype(np.int32)]


def head_digest(head: NDArray[np.int32]) -> NDArray[np.uint8]:
    """(8,) digest of one layer's heads."""
    return np.frombuffer(array_digest(head, DIGEST_BYTES), np.uint8)


def read_cases(arrays: Mapping[str, NDArray[Any]]) -> list[GoldenCase]:
    """Cases of golden.npz in their order; raises GoldenError."""
    names = [key[: -len(".latent")] for key in arrays if key.endswith(".latent")]
    if not names:
        raise GoldenError("expected golden cases, found none")
    try:
        return [_read_case(name, arrays) for name in names]
    except (KeyError, ValueError, IndexError) as error:
        raise GoldenError(f"damaged golden case: {error}") from error


def _read_case(name: str, arrays: Mapping[str, NDArray[Any]]) -> GoldenCase:
    latent, (q, *known) = arrays[f"{name}.latent"], (int(v) for v in arrays[f"{name}.setting"])
    inputs = pass_inputs(latent, contexts_of(latent), q, (known[0], known[1]))
    heads = None
    if f"{name}.heads" in arrays:
        parts = np.split(arrays[f"{name}.heads"], [6])
        heads = [parts[0], *parts[1].reshape(LAYERS - 1, 4, *parts[1].shape[1:])]
    return GoldenCase(name, inputs, arrays[f"{name}.digests"], heads)


def first_difference(engine: EntropyEngine, cases: list[GoldenCase]) -> Difference | None:
    """Run every case, smallest first, as one pass, whole and as the base layer's; and the smallest layer by layer as
    a decoder does.

    Returns the first layer whose heads are not the golden ones, None when all are.
    """
    ordered = sorted(cases, key=lambda c: c.inputs.size[0] * c.inputs.size[1])
    for case in ordered:
        found = _compare(case, iter(heads_by_layer(*engine.heads_of_all(*case.inputs))))
        if found is not None:
            return found
        base = engine.heads_of_all(*case.inputs, layers=BASE_GROUPS)
        found = _compare(case, iter(heads_by_layer(*base)))
        if found is not None:
            return Difference(f"{case.name} (base layer's pass)", found.layer, found.detail)
    stepped = _compare(ordered[0], _stepped(engine, ordered[0].inputs))
    if stepped is not None:
        return Difference(f"{stepped.case} (step by step)", stepped.layer, stepped.detail)
    return None


def _compare(case: GoldenCase, found: Iterator[NDArray[np.int32]]) -> Difference | None:
    for layer, head in enumerate(found):
        if not np.array_equal(head_digest(head), case.digests[layer]):
            detail = "" if case.heads is None else _detail(case.heads[layer], head)
            return Difference(case.name, layer, detail)
    return None


def _detail(expected: NDArray[np.int32], found: NDArray[np.int32]) -> str:
    if expected.shape != found.shape:
        return f": expected shape {expected.shape}, found {found.shape}"
    wrong = expected != found
    if not wrong.any():
        return ": the golden arrays contradict their digests"
    at = tuple(int(i) for i in np.argwhere(wrong)[0])
    count = f"{int(wrong.sum())} of {wrong.size} values"
    return f": {count}, the first at {at}: expected {expected[at]}, found {found[at]}"


def _stepped(engine: EntropyEngine, inputs: PassInputs) -> Iterator[NDArray[np.int32]]:
    """Heads layer by layer from the decoder's side of an engine."""
    stepper = engine.start(inputs.contexts, inputs.known, inputs.q, inputs.size)
    phase = phase_map(*inputs.size).reshape(-1)
    for layer in range(LAYERS):
        trunk = stepper.step(layer, inputs.own[layer - 1] if layer else None)
        head = engine.head(layer, trunk) if layer else engine.first_head(trunk, inputs.spatial, phase)
        yield head.astype(np.int32)
