"""Squares of drawn latents: they are smoothed, what the scene has stays, and the same numbers come out however it is computed."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.codec import squares
from swathpack.codec.fit_squares import Drawn, fit_squares
from swathpack.edge.codec.tile_coder import analyse_tile, encode_tile
from swathpack.hil_tests.simulation import made_frames
from tests.codec_models import shipped

Q = 44


def blocky(seed: int = 0) -> tuple[squares.Pixels, squares.Pixels]:
    """A smooth scene (12, 64, 96) DN, and the same as means of its blocks."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:64, :96] / 96
    waves = [np.sin(x * a + y * b) for a, b in rng.uniform(-6, 6, (12, 2))]
    scene = (2000 + 400 * np.stack(waves)).astype(np.float32)
    means = scene.reshape(12, 4, 16, 6, 16).mean(axis=(2, 4))
    return scene, np.repeat(np.repeat(means, 16, axis=1), 16, axis=2)


def error(image: squares.Pixels, scene: squares.Pixels) -> float:
    """Mean square within half a block of an edge."""
    return float(np.square(image - scene)[:, 8:-8, 8:-8].mean())


def edges(image: squares.Pixels) -> float:
    """Mean step over the edges between columns of blocks."""
    return float(np.abs(np.diff(image, axis=2))[:, :, 15::16].mean())


def test_means_of_blocks_come_nearer_to_the_scene() -> None:
    scene, image = blocky()
    found = squares.smoothed(image, Q)
    assert error(found, scene) < 0.65 * error(image, scene)
    assert edges(found) < 0.1 * edges(image)


def test_a_coded_tile_has_less_error_and_lower_edges() -> None:
    frame = made_frames.values(96, 128)[0].astype(np.float32)
    coded = encode_tile(shipped(), analyse_tile(shipped(), frame, np.ones((96, 128), np.bool_)), Q)
    plain = shipped().synthesise(coded.reconstruction())
    found = squares.synthesised(shipped(), coded.reconstruction())
    np.testing.assert_array_equal(found, squares.smoothed(plain, Q))
    assert np.square(found - frame).mean() < np.square(plain - frame).mean() and edges(found) < 0.8 * edges(plain)


def over_edges(image: squares.Pixels) -> float:
    """Mean step over edges of blocks over the mean step elsewhere, of both directions."""
    both = [np.abs(np.diff(a, axis=2)) for a in (image, image.transpose(0, 2, 1))]
    return float(np.mean([s[..., 15::16].mean() / np.delete(s, np.s_[15::16], axis=2).mean() for s in both]))


@pytest.mark.parametrize("q", [32, 44, 56])
def test_steps_over_edges_are_about_those_elsewhere(q: int) -> None:
    """Kernels that lower the error alone left 1.4 to 1.7 times as much."""
    frame = made_frames.values(96, 128)[0].astype(np.float32)
    coded = encode_tile(shipped(), analyse_tile(shipped(), frame, np.ones((96, 128), np.bool_)), q)
    found = squares.synthesised(shipped(), coded.reconstruction())
    assert over_edges(found) < 1.25 * over_edges(frame)


def test_brightness_moves_along_and_mirrors_stay_mirrors() -> None:
    _, image = blocky(1)
    image += np.random.default_rng(2).normal(size=image.shape).astype(np.float32)
    found = squares.smoothed(image, Q)
    np.testing.assert_allclose(squares.smoothed(image + 3000, Q), found + 3000, atol=0.02)
    np.testing.assert_allclose(squares.smoothed(image[:, ::-1, ::-1].copy(), Q), found[:, ::-1, ::-1], atol=0.02)


def test_what_is_added_is_the_matrix_product_of_its_class() -> None:
    _, image = blocky(3)
    table = squares.kernels()[0]
    found = squares.corrections(image, Q, table)
    for band in (0, 3, 8):
        group = next(g for g, bands in enumerate(squares.GROUPS) if band in bands)
        rows = squares.windows_of(image[band : band + 1])[0, 7]
        classes = squares.classes_of(rows, Q)
        for edge, (row, c) in enumerate(zip(rows, classes)):
            kernel = table[group, c].astype(np.float64)
            level = row.astype(np.float64) - row.mean(dtype=np.float64)
            wanted = np.concatenate([level @ kernel, (level[::-1] @ kernel)[::-1]])
            np.testing.assert_allclose(found[band, 7, 16 * edge + 8 : 16 * edge + 24], wanted, atol=0.01)
    assert not found[:, :, :8].any() and not found[:, :, -8:].any()


def test_an_edge_of_the_scene_is_left_where_steps_are_fine() -> None:
    rng = np.random.default_rng(5)
    scene = np.where(np.arange(64) < 32, 1000, 2500) + rng.normal(0, 60, (12, 64, 64))
    found = squares.smoothed(scene.astype(np.float32), 0)
    assert np.abs(found - scene).max() < 0.2 * 1500


@pytest.mark.parametrize("shape", [(16, 16), (16, 48), (48, 16)])
def test_images_of_few_blocks(shape: tuple[int, int]) -> None:
    image = np.random.default_rng(6).normal(1000, 90, (12, *shape)).astype(np.float32)
    found = squares.smoothed(image, Q)
    assert found.shape == image.shape and found.dtype == np.float32 and np.isfinite(found).all()
    assert (found == image).all() == (shape == (16, 16))


def test_what_is_fitted_lowers_the_error_on_what_it_was_not_fitted_to() -> None:
    drawn = [Drawn(*blocky(seed), Q) for seed in range(10, 16)]
    tables = fit_squares(drawn)
    assert tables.shape == squares.SHAPE
    scene, image = blocky(20)
    found = squares.smoothed(image, Q, tables.astype(np.float32))
    assert error(found, scene) < 0.4 * error(image, scene)
