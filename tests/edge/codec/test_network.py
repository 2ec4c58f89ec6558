"""The exact network: three arithmetics and two orders of work give the same integers; causality holds."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.codec.base_layer import BASE_GROUPS, base_of
from swathpack.edge.codec.latents import (
    CONTEXT_LIMIT,
    GROUP,
    LATENT_LIMIT,
    LAYERS,
    Latent,
    latent_planes,
    layer_planes,
    neighbour_mean8,
    phase_map,
    spatial_planes,
)
from swathpack.edge.codec.network import ExactNetwork
from swathpack.edge.codec.prediction import Base, CodingContext, predict
from tests.codec_models import random_latent, random_parameters, shipped

torch = pytest.importorskip("torch")
SIZE = (4, 5)
Q = 21


def parameters(which: str) -> dict[str, NDArray[Any]]:
    return shipped().parameters if which == "shipped" else random_parameters()


def inputs(known: tuple[int, int] = (16, 5), seed: int = 0) -> tuple[Any, ...]:
    own = random_latent(SIZE, seed)
    contexts = [random_latent(SIZE, seed + 1 + n) for n in range(2)]
    mask = np.zeros((2, LAYERS), np.bool_)
    for n, k in enumerate(known):
        mask[n, :k] = True
        contexts[n][k * GROUP :] = 0
    spatial = spatial_planes(neighbour_mean8(own[:GROUP]), neighbour_mean8(contexts[0][:GROUP]))
    return latent_planes(own), np.stack([latent_planes(c) for c in contexts]), mask, spatial, Q, SIZE


def saturated(seed: int) -> tuple[Any, ...]:
    """Planes at the ends of int8 everywhere."""
    rng = np.random.default_rng(seed)
    ends = np.array([-128, 127], np.int8)
    positions = SIZE[0] * SIZE[1]
    return (
        rng.choice(ends, (LAYERS, 64, positions)),
        rng.choice(ends, (2, LAYERS, 64, positions)),
        np.ones((2, LAYERS), np.bool_),
        rng.choice(ends, (96, positions)),
        Q,
        SIZE,
    )


def same(a: Any, b: Any) -> None:
    for x, y in zip(a, b):
        np.testing.assert_array_equal(np.asarray(x, np.int64), np.asarray(y, np.int64))


@pytest.mark.parametrize("which", ["shipped", "random"])
@pytest.mark.parametrize(
    "case", [inputs((16, 5)), inputs((0, 0), 7), saturated(3)], ids=["usual", "no context", "saturated"]
)
def test_float32_equals_int64(which: str, case: tuple[Any, ...]) -> None:
    found = [ExactNetwork(parameters(which), t).heads_of_all(*case) for t in (np.float32, np.int64)]
    same(*found)
    assert all(np.ptp(x) > 0 for x in found[0])


@pytest.mark.parametrize("which", ["shipped", "random"])
def test_onnxruntime_without_optimisation_equals_the_twin(which: str) -> None:
    pytest.importorskip("onnx")
    from swathpack.edge.codec.engines.onnxruntime_engine import OnnxEngine
    from swathpack.export.entropy_graph import entropy_graph

    given = parameters(which)
    engine = OnnxEngine(dict(given), entropy_graph(given).SerializeToString(), "off")
    for case in (inputs(), saturated(4)):
        same(engine.heads_of_all(*case), ExactNetwork(given, np.float32).heads_of_all(*case))


@pytest.mark.parametrize("which", ["shipped", "random"])
@pytest.mark.parametrize("dtype", [np.float32, np.int64])
def test_steps_equal_the_whole_pass(which: str, dtype: Any) -> None:
    own, contexts, known, _, q, size = inputs()
    network = ExactNetwork(parameters(which), dtype)
    whole = network.full(own, contexts, known, q, size)
    stepper = network.start(contexts, known, q, size)
    for j in range(LAYERS):
        same([stepper.step(j, own[j - 1] if j else None)], [whole[j]])


def test_steps_out_of_order_are_refused() -> None:
    own, contexts, known, _, q, size = inputs()
    stepper = ExactNetwork(random_parameters()).start(contexts, known, q, size)
    stepper.step(0, None)
    with pytest.raises(ValueError, match="expected 1, found 3"):
        stepper.step(3, own[2])


@pytest.mark.parametrize("shift", [0, 2])
@pytest.mark.parametrize("contexts_known", [(), (16,), (16, 16), (3, 9)], ids=str)
def test_training_form_equals_integer_form(contexts_known: tuple[int, ...], shift: int) -> None:
    """Means in 1/8 step and scale indexes of torch with rounding on, against the coding path."""
    from swathpack.codec.entropy import Context
    from tests.codec_models import random_entropy

    own = random_latent(SIZE, 11)
    contexts = [CodingContext(random_latent(SIZE, 20 + n), Q, k) for n, k in enumerate(contexts_known)]
    base = Base(base_of(own, shift), shift) if shift else None
    found = predict(ExactNetwork(random_parameters()), own, contexts, Q, base)
    planes, known = np.zeros((2, 512, *SIZE), np.float32), np.zeros((1, 2, LAYERS), np.float32)
    for n, context in enumerate(contexts):
        planes[n, : context.layers * GROUP] = context.latent[: context.layers * GROUP]
        known[0, n, : context.layers] = 1
    if base is not None:  # it takes the second context's place
        planes[1], known[0, 1] = 0, 0
        planes[1, : BASE_GROUPS * GROUP] = base.values[: BASE_GROUPS * GROUP].astype(int) << shift
        known[0, 1, :BASE_GROUPS] = -1
    planes = planes.clip(-CONTEXT_LIMIT, CONTEXT_LIMIT)
    first, second = (torch.from_numpy(p[None]) for p in planes)
    mean, index = random_entropy()(
        torch.from_numpy(own[None].astype(np.float32)),
        Context(first, second, torch.from_numpy(known)),
        torch.tensor([Q]),
    )
    mean8 = (mean[0].numpy().astype(np.float64) * 8).reshape(found.mean8.shape)
    np.testing.assert_array_equal(found.mean8, mean8)
    np.testing.assert_array_equal(found.table_index % 64, index[0].numpy().reshape(mean8.shape))
    np.testing.assert_array_equal(found.table_index // 64, mean8.astype(np.int64) % 8)


def test_a_pass_over_some_layers_says_the_same_of_them() -> None:
    own, contexts = random_latent(SIZE, 11), [CodingContext(random_latent(SIZE, 20), Q, 9)]
    whole, some = (predict(ExactNetwork(random_parameters()), own, contexts, Q, layers=n) for n in (LAYERS, 6))
    np.testing.assert_array_equal(some.mean8[:6], whole.mean8[:6])
    np.testing.assert_array_equal(some.table_index[:6], whole.table_index[:6])


def predicted(latent: Latent) -> tuple[NDArray[np.int64], NDArray[np.uint16]]:
    context = CodingContext(random_latent(SIZE, 30), Q, 6)
    found = predict(ExactNetwork(random_parameters()), latent, [context], Q)
    return found.mean8, found.table_index


@pytest.mark.parametrize("layer", [0, 1, 7, 14])
def test_a_layer_changes_no_prediction_of_itself_or_before(layer: int) -> None:
    latent = random_latent(SIZE, 12)
    changed = latent.copy()
    rows = changed[layer * GROUP : (layer + 1) * GROUP]
    rows[:] = np.clip(rows + np.random.default_rng(1).integers(-40, 40, rows.shape), -LATENT_LIMIT, LATENT_LIMIT)
    before, after = predicted(latent), predicted(changed)
    # Layer 0 also predicts within itself, phase by phase: see the next test.
    untouched = slice(0, layer + 1) if layer else slice(0, 0)
    for a, b in zip(before, after):
        np.testing.assert_array_equal(a[untouched], b[untouched])
    assert all((before[0][j] != after[0][j]).any() for j in range(layer + 1, LAYERS))


@pytest.mark.parametrize("phase", range(5))
def test_a_phase_changes_no_prediction_of_itself_or_before(phase: int) -> None:
    latent = random_latent(SIZE, 13)
    phases = phase_map(*SIZE)
    changed = latent.astype(np.int64)
    changed[:GROUP] += np.random.default_rng(2).integers(20, 60, (GROUP, *SIZE)) * (phases == phase)
    changed = np.clip(changed, -LATENT_LIMIT, LATENT_LIMIT).astype(np.int16)
    before, after = predicted(latent), predicted(changed)
    flat = phases.reshape(-1)
    for a, b in zip(before, after):
        np.testing.assert_array_equal(a[0][:, flat <= phase], b[0][:, flat <= phase])
    if phase < 4:
        assert (before[0][0][:, flat > phase] != after[0][0][:, flat > phase]).any()


def test_unknown_context_values_are_not_read() -> None:
    """Two contexts that differ beyond their known layers give the same predictions."""
    latent, context = random_latent(SIZE, 14), random_latent(SIZE, 15)
    other = context.copy()
    other[4 * GROUP :] = 99
    network = ExactNetwork(random_parameters())
    found = [predict(network, latent, [CodingContext(c, Q, 4)], Q) for c in (context, other)]
    same((found[0].mean8, found[0].table_index), (found[1].mean8, found[1].table_index))


def test_layer_planes_are_the_rows_of_latent_planes() -> None:
    latent = random_latent(SIZE, 16)
    whole = latent_planes(latent)
    for j, layer in enumerate(latent.reshape(LAYERS, GROUP, -1)):
        np.testing.assert_array_equal(layer_planes(layer, j), whole[j])
