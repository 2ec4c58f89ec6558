"""Zero-shot cloud inpainting with TEC-TT or FlexTEC: cloudy values take what earlier dates predict.

The series is walked date by date. On a cloudy date the latent is that of the cloudy frame, but where the mask
lies the rounded predicted mean replaces it, token by token, so that later tokens of a window see the repair;
the repaired latent is synthesised and is context for the dates after it. (TerraCodec, arXiv 2510.12670,
section on inpainting; the network was never trained for it.)
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional as fn

from swathpack.codec.terracodec.checkpoint import Imported
from swathpack.codec.terracodec.series import checked_frames, images, latents
from swathpack.codec.terracodec.stream import StreamError
from swathpack.codec.terracodec.temporal import Context, teacher_forced, walk
from swathpack.codec.terracodec.tiling import TRANSFORM_STRIDE, padded_size
from swathpack.codec.terracodec.tt import TOKENS, Temporal

MODES = ("cloudy", "onwards")


@torch.inference_mode()
def inpaint_series(
    imported: Imported, frames: NDArray[Any], masks: NDArray[np.bool_], mode: str = "cloudy"
) -> NDArray[np.float32]:
    """Repair a series.

    frames: (T, C, H, W) digital numbers, cloudy pixels included. masks: (T, H, W) bool, True where cloudy.
    mode: `cloudy` replaces cloudy tokens only, `onwards` everything in a window from its first cloudy one on.
    Returns (T, C, H, W) float32: the codec's reconstruction, whose cloudy parts are predicted. A first frame
    is predicted from the learned constant alone, so put a clear date first.
    """
    masks = _checked(imported, frames, masks, mode)
    model = imported.of(Temporal)
    ys = latents(imported, frames)
    context = Context(model, 1, (ys.shape[2], ys.shape[3]))
    out = []
    for y, mask in zip(ys, masks):
        latent, features = repair_latent(context, y[None], latent_mask(mask, model.ALIGN), mode)
        out.append(images(imported, [latent, features], *mask.shape))
        context.push(latent)
    return np.concatenate(out)


def repair_latent(context: Context, y: Tensor, mask: Tensor, mode: str) -> tuple[Tensor, Tensor]:
    """One date: latent (1, C, h, w) and mask (h, w) -> repaired latent and features (1, d, h, w)."""
    model = context.model
    tokens = context.split(y)
    selected = context.split(mask.expand_as(y)).bool()
    if mode == "onwards":
        selected = selected.any(-1, keepdim=True).cummax(-2).values.expand_as(selected)
    values, features = [], []
    for group in context.groups():
        state = model.entropy_model.start(context.of_group(group))
        wanted, chosen = tokens[0, group], selected[0, group]
        # Tokens before the first repair of any window are known: one pass. The rest goes token by token.
        first = int(chosen.any(-1).any(0).int().argmax()) if bool(chosen.any()) else TOKENS
        known, feature = wanted[:, :0], []
        if first:
            known, *_, head = teacher_forced(model, wanted[:, :first], state)
            feature = [head]
        value, rest = walk(model, state, known, _repairer(model, wanted, chosen))
        values.append(value)
        features.append(torch.cat([*feature, rest], 1))
    return context.join(values), context.join(features)


def _repairer(model: Temporal, wanted: Tensor, chosen: Tensor) -> Any:
    def choose(j: int, mean: Tensor, _: Tensor) -> Tensor:
        coded = model.quantise(wanted[:, j : j + 1], mean)
        return torch.where(chosen[:, j : j + 1], torch.round(mean), coded)

    return choose


def latent_mask(mask: NDArray[np.bool_], align: int) -> Tensor:
    """(H, W) bool -> (h, w) float: 1 where any pixel of the latent's 16x16 block is cloudy. What is added by
    padding to whole windows is clear."""
    height, width = padded_size(mask.shape[0], mask.shape[1], align)
    padded = np.zeros((1, 1, height, width), np.float32)
    padded[0, 0, : mask.shape[0], : mask.shape[1]] = mask
    return fn.max_pool2d(torch.from_numpy(padded), TRANSFORM_STRIDE)[0, 0]


def _checked(imported: Imported, frames: Any, masks: Any, mode: str) -> NDArray[np.bool_]:
    if not isinstance(imported.model, Temporal):
        raise StreamError(f"expected a tt or flextec model to inpaint with, found {imported.family}")
    if mode not in MODES:
        raise StreamError(f"expected mode {' or '.join(MODES)}, found {mode!r}")
    count, _, height, width = checked_frames(imported, frames).shape
    if np.shape(masks) != (count, height, width):
        raise StreamError(f"expected masks {(count, height, width)}, found {np.shape(masks)}")
    return np.asarray(masks, bool)
