"""Bases that take less than eigenvectors do: C and Python agree, and what is left is never more."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from swathpack.edge.codec.transform_coder import decode_tile, encode_tile, native
from swathpack.edge.codec.transform_coder.layout import Pyramid
from swathpack.edge.codec.transform_coder.sparse import MOST_BLOCKS, Blocks
from swathpack.edge.codec.transform_coder.spectral_choice import vectors_of

NOISES, WORTH = np.array([900.0, 100.0, 4.0]), np.array([1.0, 0.5, 0.125])


def mixed(size: int, columns: int, seed: int = 1) -> tuple[NDArray[np.float64], NDArray[np.float32]]:
    """An orthonormal basis that is not that of the second moments, and coefficients of its components, each loud in places of its own."""
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(size, size)))[0]
    loud = np.where(rng.random((size, columns // 64)) < 0.3, 200.0, 2.0).repeat(64, axis=1)
    return basis, (basis @ (loud * rng.normal(size=loud.shape))).astype(np.float32)


def packed(blocks: Blocks, size: int) -> NDArray[np.float64]:
    """(N, size, size)."""
    full = np.zeros((len(blocks.counts), size, size))
    rows, columns = np.tril_indices(size)
    full[:, rows, columns] = full[:, columns, rows] = blocks.moments[:, : len(rows)]
    return full


@pytest.mark.skipif(not native.available(), reason="the C library is not built")
@pytest.mark.parametrize("size", [1, 2, 3, 7, 16])
def test_c_and_python_agree(size: int, monkeypatch: pytest.MonkeyPatch) -> None:
    pyramid = Pyramid(37, 50, 3, size, size)
    bands = np.random.default_rng(size).normal(0, 300, (size, 37 * 50)).astype(np.float32)
    bands[:, 40:90] = 0
    rows, first = Blocks.of(bands, pyramid), np.linalg.qr(np.random.default_rng(2).normal(size=(size, size)))[0]
    turned, bits = rows.turned(first, NOISES, WORTH, 3), rows.bits(first, NOISES)
    monkeypatch.setattr(native, "available", lambda: False)
    twin = Blocks.of(bands, pyramid)
    assert twin.moments.tobytes() == rows.moments.tobytes()
    assert twin.turned(first, NOISES, WORTH, 3).tobytes() == turned.tobytes()
    np.testing.assert_allclose(twin.bits(first, NOISES), bits, rtol=1e-12)


@pytest.mark.parametrize("shape", [(64, 64), (5, 70), (1, 1), (2, 3), (300, 1)])
def test_moments_are_of_the_coefficients(shape: tuple[int, int]) -> None:
    pyramid = Pyramid(*shape, 2, 2, 3)
    bands = np.random.default_rng(3).normal(0, 50, (3, shape[0] * shape[1])).astype(np.float32)
    blocks = Blocks.of(bands, pyramid)
    assert blocks.counts.sum() == pytest.approx(bands.shape[1])
    assert np.bincount(np.unique(blocks.firsts, return_inverse=True)[1]).max() <= MOST_BLOCKS
    inside = blocks.within(0, bands.shape[1])
    assert len(inside.counts) == len(blocks.counts)
    if shape == (64, 64):  # few enough blocks that all are looked at
        coarse = blocks.within(0, 32 * 32)
        found = (packed(coarse, 3) * coarse.counts[:, None, None]).sum(axis=0)
        wanted = bands[:, : 32 * 32].astype(np.float64) @ bands[:, : 32 * 32].T
        np.testing.assert_allclose(found, wanted, rtol=1e-9, atol=1e-6)


def test_bits_are_half_a_logarithm_of_every_variance() -> None:
    _, bands = mixed(4, 4096)
    blocks = Blocks.of(bands, Pyramid(64, 64, 3, 4, 4))
    basis = np.linalg.qr(np.random.default_rng(5).normal(size=(4, 4)))[0]
    variances = np.einsum("ci,ncd,di->ni", basis, packed(blocks, 4), basis)
    wanted = [(blocks.counts[:, None] * 0.5 * np.log2(1 + variances / noise)).sum() for noise in NOISES]
    np.testing.assert_allclose(blocks.bits(basis, NOISES), wanted, rtol=1e-9)


@pytest.mark.parametrize("size", [2, 4, 12])
def test_components_that_are_loud_in_places_of_their_own_are_found(size: int) -> None:
    basis, bands = mixed(size, 64 * 256)
    blocks = Blocks.of(bands, Pyramid(64, 256, 0, size, size))
    first = vectors_of(bands.astype(np.float64) @ bands.T)
    turned = blocks.turned(first, NOISES, WORTH, 30)
    np.testing.assert_allclose(turned.T @ turned, np.eye(size), atol=1e-9)
    taken = [float(blocks.bits(b, NOISES) @ WORTH) for b in (first, turned, basis)]
    assert taken[1] < taken[0]
    assert taken[1] <= 1.01 * taken[2]


def test_nothing_to_turn_stays() -> None:
    silent = Blocks.of(np.zeros((3, 64), np.float32), Pyramid(8, 8, 0, 3, 3))
    assert (silent.turned(np.eye(3), NOISES, WORTH, 2) == np.eye(3)).all()
    assert (silent.bits(np.eye(3), NOISES) == 0).all()


@pytest.mark.parametrize("fast", [True, False])
def test_a_zone_without_coefficients(fast: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(native, "available", lambda: fast and native.library_of.available())
    none = Blocks.of(np.ones((2, 64), np.float32), Pyramid(8, 8, 0, 2, 2)).within(64, 64)
    assert (none.turned(np.eye(2), NOISES, WORTH, 2) == np.eye(2)).all()
    assert (none.bits(np.eye(2), NOISES) == 0).all()


def test_largest_values_of_sixteen_bands() -> None:
    bands = np.full((16, 64), 2.0**24, np.float32)
    found = Blocks.of(bands, Pyramid(8, 8, 0, 16, 16)).bits(np.eye(16), np.array([1e-9]))
    assert np.isfinite(found).all() and (found > 0).all()


def test_a_tile_has_less_error_for_it(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two components, one in the upper half and one in the lower, and a bright patch of both by which second moments go."""
    rng = np.random.default_rng(7)
    upper = np.arange(64)[:, None] < 32
    first, second = np.where(upper, [[[300.0]], [[3.0]]], [[[3.0]], [[300.0]]]) * rng.normal(size=(2, 64, 64))
    tile = 9000 + np.stack([first + second, first - second])
    tile[0, 8:16, 8:16] += 5000 * rng.normal(size=(8, 8))
    tile = np.rint(tile.clip(0, 65535)).astype(np.uint16)

    def error() -> float:
        payload = encode_tile(tile, None, None, 1.0, 4000, 4000).payload
        return float(((decode_tile(payload, tile.shape, None).samples - tile) ** 2).mean())

    found = error()
    monkeypatch.setattr(Blocks, "turned", lambda self, basis, noises, worth, rounds: basis)
    assert found < 0.8 * error()
