"""Numbers that are pinned to the last bit, and right."""

from __future__ import annotations

import math

import numpy as np
import pytest

from swathpack.edge.codec.transform_coder.exact import eigenvectors, power_of_two, turn_of


def test_turns_are_cosine_and_sine_to_the_last_places() -> None:
    for bits in (5, 7, 9, 11):
        for angle in range(-(1 << (bits - 1)), (1 << (bits - 1)) + 1):
            c, s = turn_of(angle, bits)
            x = angle * math.pi / (1 << bits)
            assert abs(c - math.cos(x)) < 3e-16 and abs(s - math.sin(x)) < 3e-16
    assert [v.hex() for v in turn_of(-371, 11)] == ["0x1.af4cc5a85fb73p-1", "-0x1.13e8113f396c1p-1"]


def test_powers_of_two() -> None:
    assert [power_of_two(q) for q in (-16, 0, 8)] == [0.0625, 1.0, 4.0]
    assert all(power_of_two(q) == pytest.approx(2 ** (q / 4), rel=2e-16) for q in range(-16, 48))


@pytest.mark.parametrize("size", [1, 2, 5, 12, 16])
def test_eigenvectors_are_orthonormal_and_diagonalise(size: int) -> None:
    rng = np.random.default_rng(size)
    matrix = (factor := rng.normal(size=(size, size)) * 100) @ factor.T
    vectors = eigenvectors(matrix)
    turned = vectors.T @ matrix @ vectors
    values = np.diag(turned)
    assert np.allclose(vectors.T @ vectors, np.eye(size), atol=1e-13)
    assert np.abs(turned - np.diag(values)).max() < 1e-9 * values.max()
    assert (np.diff(values) <= 0).all()
    assert (np.take_along_axis(vectors, np.abs(vectors).argmax(0)[None], 0) > 0).all()


def test_eigenvectors_of_odd_matrices() -> None:
    assert np.array_equal(eigenvectors(np.zeros((3, 3))), np.eye(3))
    assert np.array_equal(np.abs(eigenvectors(np.diag([1.0, 3.0, 2.0]))), np.eye(3)[:, [1, 2, 0]])
    assert np.allclose(eigenvectors(np.ones((4, 4)))[:, 0], 0.5)
