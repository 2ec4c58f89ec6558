"""Inpainting: what is replaced, by what, and what the cloud can still reach."""

import numpy as np
import pytest
import torch

from swathpack.codec.terracodec import StreamError, decode_series, encode_series
from swathpack.codec.terracodec.checkpoint import Imported
from swathpack.codec.terracodec.inpaint import inpaint_series, latent_mask, repair_latent
from swathpack.codec.terracodec.series import latents
from swathpack.codec.terracodec.temporal import Context
from tests.codec.terracodec.make_models import imported, smooth_frames


@pytest.fixture(scope="module", params=["tt", "flextec"])
def model(request: pytest.FixtureRequest) -> Imported:
    return imported(request.param)


def _context(model: Imported, frames: np.ndarray) -> tuple[Context, torch.Tensor]:
    ys = latents(model, frames)
    context = Context(model.model, 1, (4, 8))  # type: ignore[arg-type]
    context.push(ys[:1].round())
    return context, ys[1:2]


def test_without_clouds_it_is_the_codec(model: Imported) -> None:
    frames = smooth_frames(2, 64, 128)
    clear = inpaint_series(model, frames, np.zeros((2, 64, 128), bool))
    np.testing.assert_allclose(clear, decode_series(model, encode_series(model, frames)), atol=0.5)


@torch.inference_mode()
def test_cloudy_values_are_predicted_and_clear_ones_kept(model: Imported) -> None:
    frames = smooth_frames(2, 64, 128)
    mask = torch.zeros(4, 8)
    mask[1:3, 2:6] = 1
    context, y = _context(model, frames)
    latent, features = repair_latent(context, y, mask, "cloudy")
    clear = ~mask.bool().expand_as(latent)
    assert float((latent - y)[clear].abs().max()) <= 0.5 + 1e-5
    assert torch.equal(latent, latent.round()) and features.shape[2:] == (4, 8)
    # The repair is consistent: cloudy values are the rounded means that the repaired latent predicts.
    past = latents(model, frames)[:1].round()
    mean = model.model.predict(latent, [past])[0]
    cloudy = ~clear
    agree = (torch.round(mean) == latent)[cloudy].float().mean()
    assert float(agree) > 0.999


def test_the_clouds_own_values_do_not_matter(model: Imported) -> None:
    """A window whose every value is cloudy comes out the same whatever the cloud looks like."""
    frames = smooth_frames(2, 64, 128)
    white = frames.copy()
    white[1] = 9999
    masks = np.zeros((2, 64, 128), bool)
    masks[1] = True
    for mode in ("cloudy", "onwards"):
        a, b = (inpaint_series(model, f, masks, mode) for f in (frames, white))
        np.testing.assert_allclose(a, b, atol=0.5)


@torch.inference_mode()
def test_onwards_replaces_the_rest_of_the_window() -> None:
    model = imported("tt")
    context, y = _context(model, smooth_frames(2, 64, 128))
    mask = torch.zeros(4, 8)
    mask[2, 1] = 1  # token 9 of the first window
    other = y.clone()
    other[:, :, 2, 2:4] += 50  # tokens 10 and 11, after the cloud
    other[:, :, 3, :4] += 50
    a, b = (repair_latent(context, v, mask, "onwards")[0] for v in (y, other))
    assert torch.equal(a, b)
    a, b = (repair_latent(context, v, mask, "cloudy")[0] for v in (y, other))
    assert not torch.equal(a, b)


def test_one_cloudy_pixel_makes_its_block_cloudy() -> None:
    mask = np.zeros((65, 64), bool)
    mask[64, 20] = True
    small = latent_mask(mask, 64)
    assert small.shape == (8, 4) and small.sum() == 1 and small[4, 1] == 1


def test_bad_requests_are_refused(model: Imported) -> None:
    frames, masks = smooth_frames(1, 64, 64), np.zeros((1, 64, 64), bool)
    with pytest.raises(StreamError, match="tt or flextec"):
        inpaint_series(imported("fp"), frames, masks)
    with pytest.raises(StreamError, match="mode"):
        inpaint_series(model, frames, masks, "sunny")
    with pytest.raises(StreamError, match="masks"):
        inpaint_series(model, frames, masks[:, :32])
