"""ELIC's channel groups and checkerboard: what each step may see, and the round trip of its packing."""

import torch
from torch import Tensor

from swathpack.codec.terracodec.elic import Elic, Recorder, checkerboard, pick_colour, place_colour
from tests.codec.terracodec.make_models import small


def test_colours_pack_and_unpack() -> None:
    x = torch.randn(2, 3, 6, 8)
    out = torch.zeros_like(x)
    for colour in (0, 1):
        mask = checkerboard(6, 8, odd=bool(colour)).bool()
        only = torch.zeros_like(x)
        place_colour(only, pick_colour(x, colour), colour)
        torch.testing.assert_close(only, torch.where(mask, x, 0.0))
        out += only
    torch.testing.assert_close(out, x)


class _Spy:
    """Passes symbols on and keeps what the network said at each step."""

    def __init__(self, inner: Recorder) -> None:
        self.inner, self.seen = inner, []

    def __call__(self, step: int, mean: Tensor, sigma: Tensor) -> Tensor:
        self.seen.append(torch.cat([mean, sigma], 1))
        return self.inner(step, mean, sigma)


def _predictions(model: Elic, y: Tensor, side: Tensor) -> list[Tensor]:
    spy = _Spy(Recorder(y, model.sizes.groups))
    model.run_groups(side, spy)
    return spy.seen


def test_a_step_sees_nothing_of_itself_or_later() -> None:
    model = small("elic")
    y, side = 4 * torch.randn(1, 48, 8, 8), torch.randn(1, 96, 8, 8)
    base = _predictions(model, y, side)
    for step in range(model.steps):
        k, colour = divmod(step, 2)
        changed = y.clone()
        part = changed.split(model.sizes.groups, 1)[k]
        place_colour(part, pick_colour(part, colour) + 7, colour)
        seen = _predictions(model, changed, side)
        for earlier in range(step + 1):
            torch.testing.assert_close(seen[earlier], base[earlier])
        if step + 1 < model.steps:
            assert (seen[step + 1] - base[step + 1]).abs().max() > 1e-4 or colour == 1


def test_forward_quantises_around_the_means() -> None:
    model = small("elic")
    x = torch.randn(1, 12, 64, 64)
    out, means, sigmas = model(x)
    y = model.analysis(x)
    y_hat = torch.round(y - means) + means
    torch.testing.assert_close(out, model.synthesis(y_hat))
    assert sigmas.std() > 0
