"""The C coder and its slow twin write the same bytes, decode the same from every prefix, and count layers alike."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.transform_coder import (
    bitplane,
    native,
    reference,
    reference_beside,
    reference_contexts,
)
from swathpack.edge.codec.transform_coder.date_values import Beside
from swathpack.edge.codec.transform_coder.layout import Layout, Pyramid, layout_of
from swathpack.edge.stream import binary

pytestmark = pytest.mark.skipif(not native.available(), reason="the C library is not built")

TARGETS = np.array([3, 40, 90, 200], np.uint64)


def _values(layout: Layout, seed: int, peak: int) -> np.ndarray:
    rng = np.random.default_rng(seed)
    values = np.zeros(layout.n_values, np.int32)
    for view, row in zip(layout.views(values), layout.subbands):
        scale = peak / (1 + 8.0 ** (2 - row[12])) / (1 + row[13])
        smooth = np.abs(rng.normal(size=view.shape)).cumsum(0).cumsum(1)
        view[:] = np.rint(scale * rng.laplace(size=view.shape) * (smooth > np.median(smooth)))
    return values


@pytest.mark.parametrize(
    ("pyramids", "peak"),
    [
        ((Pyramid(24, 20, 2, 2, 3),), 4000),
        ((Pyramid(17, 33, 3, 1, 1),), 90),
        ((Pyramid(16, 16, 1, 3, 3), Pyramid(5, 6, 0, 2, 2, 1)), 1 << 20),
        ((Pyramid(1, 3, 0, 1, 1),), 5),
        ((Pyramid(9, 9, 1, 4, 4),), 0),
    ],
)
def test_same_bytes_sizes_and_errors(pyramids: tuple[Pyramid, ...], peak: int) -> None:
    layout = layout_of(pyramids)
    values = _values(layout, 1, 8 * peak)
    planes = (int(np.abs(values).max()) >> 3).bit_length()
    given = (layout.subbands, layout.n_values, layout.n_cells, planes, bitplane.model()[:2])
    for limit in (1 << 20, 100):
        fast = native.encode(*given, values, limit, TARGETS)
        slow = reference.encode(*given, values, limit, TARGETS)
        assert fast[0] == slow[0]
        assert fast[1].tolist() == slow[1].tolist()
        assert fast[2] == pytest.approx(slow[2], rel=1e-4)  # running sums against fresh ones
    payload = native.encode(*given, values, 1 << 20, TARGETS)[0]
    for size in {*range(0, len(payload), max(1, len(payload) // 9)), len(payload)}:
        fast_known, slow_known = (c.decode(*given, payload[:size], TARGETS) for c in (native, reference))
        assert np.array_equal(fast_known[0], slow_known[0])
        assert np.array_equal(fast_known[1], slow_known[1])
        assert fast_known[2] == slow_known[2]
    back, bits, layers = native.decode(*given, payload, TARGETS)
    assert layers == len(TARGETS) + 1 and not bits.any()
    assert np.array_equal(np.abs(back) // 2, np.abs(values) >> 3)


@pytest.mark.parametrize(("pyramids", "peak"), [((Pyramid(24, 20, 2, 2, 3),), 40), ((Pyramid(17, 33, 3, 1, 1),), 3)])
@pytest.mark.parametrize("with_holes", [False, True])
def test_a_trellis_too(pyramids: tuple[Pyramid, ...], peak: int, with_holes: bool) -> None:
    layout = layout_of(pyramids)
    values, holes = _values(layout, 3, 8 * peak), None
    if with_holes:
        holes = np.zeros(layout.n_values, np.uint8)
        for view, empty in zip(layout.views(values), layout.views(holes)):
            empty[:] = np.indices(view.shape).sum(axis=0) * 2 < sum(view.shape)
            view[empty > 0] = 0
    planes = (int(np.abs(values).max()) >> 3).bit_length()
    given = (layout.subbands, layout.n_values, layout.n_cells, planes, bitplane.model()[:2])
    fast, slow = (c.encode(*given, values, 1 << 20, TARGETS, holes, True) for c in (native, reference))
    assert fast[0] == slow[0] and fast[1].tolist() == slow[1].tolist()
    for size in (*range(0, len(fast[0]), max(1, len(fast[0]) // 9)), len(fast[0])):
        known = [c.decode(*given, fast[0][:size], TARGETS, holes, True) for c in (native, reference)]
        assert np.array_equal(known[0][0], known[1][0]) and np.array_equal(known[0][1], known[1][1])
        assert known[0][2] == known[1][2]
    drawn, indices = np.abs(known[0][0]), np.abs(values) >> 3  # whole: doubled, of the first or the second quantiser
    first, second = drawn == 4 * indices, drawn == 4 * indices - 2
    assert (first | second)[indices > 0].all() and not drawn[indices == 0].any()
    assert first[indices > 0].any() and second[indices > 0].any()


def test_places_that_are_known_to_be_empty_are_left_out_alike() -> None:
    layout = layout_of((Pyramid(24, 22, 2, 2, 3),))
    values, holes = _values(layout, 2, 8 * 500), np.zeros(layout.n_values, np.uint8)
    for view, empty in zip(layout.views(values), layout.views(holes)):
        rows, columns = np.indices(view.shape)
        empty[:] = (rows + columns) * 2 < sum(view.shape)  # whole cells and parts of others
        view[empty > 0] = 0
    planes = (int(np.abs(values).max()) >> 3).bit_length()
    given = (layout.subbands, layout.n_values, layout.n_cells, planes, bitplane.model()[:2])
    fast, slow = (c.encode(*given, values, 1 << 20, TARGETS, holes) for c in (native, reference))
    assert fast[0] == slow[0] and fast[1].tolist() == slow[1].tolist()
    assert len(fast[0]) < len(native.encode(*given, values, 1 << 20, TARGETS)[0])
    for size in (0, 7, 50, len(fast[0]) // 2, len(fast[0])):
        known = [c.decode(*given, fast[0][:size], TARGETS, holes) for c in (native, reference)]
        assert np.array_equal(known[0][0], known[1][0]) and np.array_equal(known[0][1], known[1][1])
        assert not known[0][0][holes > 0].any()
    assert np.array_equal(np.abs(known[0][0]) // 2, np.abs(values) >> 3)


def _beside(layout: Layout, values: np.ndarray) -> Beside:
    """A date that is about half of a tile, with blocks of it taken."""
    other = (_values(layout, 5, int(np.abs(values).max()) // 2) + values) // 8
    predicted = np.zeros(layout.n_values, np.uint8)
    for view in layout.views(predicted):
        view[: len(view) // 2] = 1
    return Beside(np.clip(other, -(1 << 24), 1 << 24).astype(np.int32), predicted)


@pytest.mark.parametrize(
    ("pyramids", "peak"),
    [
        ((Pyramid(24, 20, 2, 2, 3),), 4000),
        ((Pyramid(17, 33, 3, 1, 1),), 90),
        ((Pyramid(16, 16, 1, 3, 3), Pyramid(5, 6, 0, 2, 2, 1)), 1 << 20),
        ((Pyramid(9, 9, 1, 4, 4),), 0),
    ],
)
@pytest.mark.parametrize("trellis", [False, True])
def test_beside_an_earlier_date_too(pyramids: tuple[Pyramid, ...], peak: int, trellis: bool) -> None:
    layout = layout_of(pyramids)
    values = _values(layout, 4, 8 * peak)
    planes, beside = (int(np.abs(values).max()) >> 3).bit_length(), _beside(layout, values)
    given = (layout.subbands, layout.n_values, layout.n_cells, planes, bitplane.model()[:2])
    for limit in (1 << 20, 100):
        fast, slow = (c.encode(*given, values, limit, TARGETS, None, trellis, beside) for c in (native, reference))
        assert fast[0] == slow[0] and fast[1].tolist() == slow[1].tolist()
        assert trellis or fast[2] == pytest.approx(slow[2], rel=1e-4)
    payload = native.encode(*given, values, 1 << 20, TARGETS, None, trellis, beside)[0]
    assert peak < 4000 or len(payload) < len(native.encode(*given, values, 1 << 20, TARGETS, None, trellis)[0])
    for size in (*range(0, len(payload), max(1, len(payload) // 5)), len(payload)):
        known = [c.decode(*given, payload[:size], TARGETS, None, trellis, beside) for c in (native, reference)]
        assert np.array_equal(known[0][0], known[1][0]) and np.array_equal(known[0][1], known[1][1])
        assert known[0][2] == known[1][2]
    if not trellis:
        assert np.array_equal(np.abs(known[0][0]) // 2, np.abs(values) >> 3)


def test_constants_and_tables_are_the_same() -> None:
    states, weights, size, *without = native.constants()
    inputs = reference_contexts.MAX_INPUTS
    assert without[:2] == [reference_contexts.STARTS["turn_all"], reference_contexts.SET_TURN_SIGNIFICANCE * inputs]
    assert without[2:] == [reference_contexts.N_PLAIN, reference_contexts.N_PLAIN_SETS * inputs]
    assert without[2:] == [reference_beside.STARTS["all"], reference_beside.SET_DATE * inputs]
    assert (states, weights) == (reference_beside.N_STATES, reference_beside.N_SETS * inputs)
    assert bitplane.model()[0].shape == (states, 2) and bitplane.model()[1].shape == (weights,)
    tables = native.tables()
    assert tables.nbytes == size
    assert tables[: 2 * 4096].view(np.int16).tolist() == binary.STRETCH
    assert tables[2 * 4096 : 4 * 4096].view(np.uint16).tolist() == binary.SQUASH
    assert tables[4 * 4096 :].view(np.uint16).tolist() == binary.RATE


def test_a_known_stream_stays_as_it_is() -> None:
    layout = layout_of((Pyramid(12, 12, 1, 2, 2),))
    values = np.zeros(layout.n_values, np.int32)
    for n, view in enumerate(layout.views(values)):
        view[:] = (np.add.outer(np.arange(view.shape[0]) * 7, np.arange(view.shape[1]) * 5) * (n + 3)) % 201 - 100
    states = np.zeros((reference_beside.N_STATES, 2), np.uint16)
    states[:, 0] = 32768
    plain = (states, np.full(reference_beside.N_SETS * reference_contexts.MAX_INPUTS, 5734, np.int32))
    payload = reference.encode(layout.subbands, layout.n_values, layout.n_cells, 4, plain, values, 1 << 20, TARGETS)[0]
    assert payload.hex() == GOLDEN


GOLDEN = (
    "0062c654df918177050c033593fbb45e2c28c422579d5afcb24486a53cdf90fb0e87b8d7d62c481b225bbed0a657eb6d3653"
    "e1255f5a6834b8d2836a011e8e8eb3106c023bb7351c56195973669b44160877d02fcf4ed931fde1bf31450fb59330655a9e"
    "601bb26f81c0129d2b12903f48ca74cb226ffc21385e4f6f67cb4746fb85ba4850c63666e837668d7fe4847c42509410191e"
    "bf0a9a319cbc3d9e24f46bc80e75ca"
)
