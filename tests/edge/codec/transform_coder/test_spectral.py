"""Angles of spectral bases: C and Python agree, also half way between two angles and where there is nothing to turn."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import native, spectral
from swathpack.edge.codec.transform_coder.header import BitReader, BitWriter
from swathpack.edge.codec.transform_coder.spectral import ANGLE_BITS, angles_of, basis_of


def bases(size: int) -> list[NDArray[np.float64]]:
    """Any one, permutations with signs, zeros, and products of finer angles, many of them half way between coarser ones."""
    rng = np.random.default_rng(size)
    found = [np.linalg.qr(rng.normal(size=(size, size)))[0], np.zeros((size, size)), -np.zeros((size, size))]
    for bits in 3 * ANGLE_BITS:
        found.append(np.eye(size)[rng.permutation(size)] * rng.choice([-1.0, 1.0], size))
        some = rng.integers(-1 << bits - 1, 1 << bits - 1, size * (size - 1) // 2)
        found.append(np.array(basis_of(some.tolist(), size, bits)))
    return found


@pytest.mark.skipif(not native.available(), reason="the C library is not built")
@pytest.mark.parametrize("size", [1, 2, 3, 4, 7, 16])
def test_c_and_python_find_the_same_angles_and_bases(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    for basis in bases(size):
        for bits in ANGLE_BITS:
            spectral._basis_of.cache_clear()
            fast = angles_of(basis, bits)
            rows = basis_of(fast, size, bits)
            with monkeypatch.context() as without:
                without.setattr(native, "available", lambda: False)
                spectral._basis_of.cache_clear()
                assert angles_of(basis, bits) == fast
                assert basis_of(fast, size, bits).tobytes() == rows.tobytes()


def test_half_way_between_two_angles_it_is_the_lower_one(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "available", lambda: False)
    finer = np.array(basis_of([-45], 2, 7)).T  # 45 / 2^7 turned away is 11.25 / 2^5
    assert angles_of(finer, 5) == [11]
    for angle in (-23, -21, 21, 23):
        assert angles_of(np.array(basis_of([-angle], 2, 6)).T, 5) == angles_of(np.array(basis_of([angle], 2, 6)), 5)


def test_numbers_of_numpy_are_written_as_any_others() -> None:
    numbers = np.arange(200, dtype=np.int64) % 32
    out, other = BitWriter(), BitWriter()
    for number in numbers:
        out.put(number, 5)
        other.put(int(number), 5)
    assert out.bytes() == other.bytes()
    reader = BitReader(out.bytes())
    assert [reader.get(5) for _ in numbers] == numbers.tolist()
