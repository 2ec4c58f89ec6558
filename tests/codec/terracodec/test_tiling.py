"""Tiles with a wide enough halo are the whole frame; padding repeats the border."""

import torch

from swathpack.codec.terracodec.tiling import pad_frames, padded_size, tiled_analysis, tiled_synthesis
from tests.codec.terracodec.make_models import small

REACH = 10  # latents: what an output of the family's transforms can see


def test_tiled_transforms_equal_whole_ones() -> None:
    model = small("elic")
    x = torch.randn(1, 12, 64, 16 * 28)
    with torch.inference_mode():
        whole = model.analysis(x)
        torch.testing.assert_close(tiled_analysis(model.analysis, x, 8, REACH), whole, rtol=1e-4, atol=1e-4)
        image = model.synthesis(whole)
        parts = tiled_synthesis(model.synthesis, [whole], 8, REACH)
    torch.testing.assert_close(parts, image, rtol=1e-4, atol=1e-4)


def test_tiles_without_halo_would_show_seams() -> None:
    model = small("elic")
    x = torch.randn(1, 12, 64, 256)
    with torch.inference_mode():
        assert (tiled_analysis(model.analysis, x, 8, 0) - model.analysis(x)).abs().max() > 1e-2


def test_padding_repeats_the_last_row_and_column() -> None:
    assert padded_size(65, 64, 64) == (128, 64)
    x = torch.arange(6.0).reshape(1, 1, 2, 3)
    padded = pad_frames(x, 4)[0, 0]
    assert padded.tolist() == [[0, 1, 2, 2], [3, 4, 5, 5], [3, 4, 5, 5], [3, 4, 5, 5]]
