"""The base layer's integers: quality bytes, nesting, and what is known of a latent from its first layers."""

from __future__ import annotations

import numpy as np
import pytest

from swathpack.edge.codec.base_layer import (
    BASE_GROUPS,
    base_of,
    bin_of,
    groups_of,
    known_groups,
    known_part,
    refined_groups,
)
from swathpack.edge.codec.latents import GROUP, LATENT_LIMIT, LAYERS
from swathpack.edge.stream.quality import base_step_of, quality_of, shift_of, step_of, usual_shift
from tests.codec_models import random_latent

VALUES = np.arange(-LATENT_LIMIT, LATENT_LIMIT + 1, dtype=np.int16)[:, None, None]


@pytest.mark.parametrize("q", range(64))
def test_quality_bytes_tell_step_and_base(q: int) -> None:
    for shift in range(4):
        if q + 8 * shift > 63:
            with pytest.raises(ValueError, match="base"):
                quality_of(q, shift)
            continue
        quality = quality_of(q, shift)
        assert quality <= 255 and (step_of(quality), shift_of(quality)) == (q, shift)
        assert base_step_of(quality) == q + 8 * shift
    quality_of(q, usual_shift(q))
    assert usual_shift(q) == (3 if q <= 24 else 2 if q < 48 else 0)
    assert usual_shift(q, 0) == 0 and usual_shift(q, 1) <= 1


@pytest.mark.parametrize("shift", [1, 2, 3])
def test_every_value_lies_in_the_bin_of_its_base_and_in_no_other(shift: int) -> None:
    base = base_of(VALUES, shift)
    low, high = bin_of(base, shift)
    assert ((low <= VALUES) & (high >= VALUES)).all()
    assert (high - low + 1 == np.where(base == 0, 2**shift + 1, 2**shift)).all()
    order = np.flatnonzero(np.diff(base[:, 0, 0]))
    assert (low[order + 1, 0, 0] == high[order, 0, 0] + 1).all(), "bins touch and do not overlap"
    np.testing.assert_array_equal(base_of(-VALUES, shift), -base)
    assert np.abs(base.astype(np.int64) << shift).max() == LATENT_LIMIT, "a base in fine steps stays within int16"
    np.testing.assert_array_equal(base_of(base[np.abs(base) < 200] << shift, shift), base[np.abs(base) < 200])


def test_known_part_without_base_zeroes_the_rest_only() -> None:
    latent = random_latent((4, 4), 2)
    found = known_part(latent, 5)
    np.testing.assert_array_equal(found[: 5 * GROUP], latent[: 5 * GROUP])
    assert not found[5 * GROUP :].any() and latent[5 * GROUP :].any()


def test_known_part_with_base_by_hand() -> None:
    quality, latent = quality_of(20, 2), np.full((512, 1, 1), 7, np.int16)
    for layers, fine, known in ((0, 0, 0), (1, 0, 6), (2, 2, 6), (5, 5, 6), (6, 6, 6), (9, 9, 9), (16, 16, 16)):
        assert (refined_groups(layers, quality), known_groups(layers, quality)) == (fine, known)
        found = known_part(latent, layers, quality)[::GROUP, 0, 0].tolist()
        assert found == [7] * fine + [8] * (known - fine) + [0] * (16 - known)


@pytest.mark.parametrize("quality", [20, quality_of(20, 1), quality_of(20, 2), quality_of(20, 3)])
def test_of_what_is_known_a_smaller_part_can_be_taken(quality: int) -> None:
    latent = random_latent((4, 4), 3)
    for more in range(LAYERS + 1):
        for fewer in range(more + 1):
            np.testing.assert_array_equal(
                known_part(known_part(latent, more, quality), fewer, quality), known_part(latent, fewer, quality)
            )


def test_layers_bring_every_group_once() -> None:
    brought = [g for layer in range(1, LAYERS) for g in range(*groups_of(layer))]
    assert brought == list(range(LAYERS)) and BASE_GROUPS < LAYERS
    quality = quality_of(0, 1)
    assert [groups_of(k)[1] for k in range(1, LAYERS)] == [refined_groups(k + 1, quality) for k in range(1, LAYERS)]
