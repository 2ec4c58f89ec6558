"""The base layer: a coarse latent that the fine one is nested in, so that a cut stream is worth its bytes.

Without it, layer k of a tile is a group of 32 channels at the full step, and a stream that is cut early spends its
bytes on digits of a few low frequencies. With a base of shift n, layer 0 holds the first BASE_GROUPS groups at 2^n
times the step, and the layers behind it narrow every group down to the full step (successive refinement, Equitz and
Cover, IEEE Trans. IT 37(2), 1991; the embedded quantiser is that of Taubman, "High performance scalable image
compression with EBCOT", 2000, with a threshold of 1/2 + 2^-n). A symbol that is refined is known to lie in its bin,
and is coded with the model's probabilities inside it.

    layer 0        groups 0 to BASE_GROUPS - 1 of the base
    layer 1        groups 0 and 1, refined
    layer j > 1    group j: refined where it has a base, else as it is

The quality byte says step and shift (`swathpack.edge.stream.quality`). Everything here is integer arithmetic on
(512, h, w) latents.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from swathpack.edge.codec.latents import LAYERS, Latent
from swathpack.edge.stream.quality import is_learned, shift_of

BASE_GROUPS = 6  # two entropy passes, one of them over 6 of 16 layers, are what fits 5 GMAC a tile


def refined_groups(layers: int, quality: int) -> int:
    """Groups known at the full step when the first `layers` layers are here."""
    if shift_of(quality) == 0 or not is_learned(quality):
        return layers
    return 0 if layers < 2 else layers


def known_groups(layers: int, quality: int) -> int:
    """Groups of which anything is known when the first `layers` layers are here."""
    if shift_of(quality) == 0 or layers == 0 or not is_learned(quality):
        return layers
    return max(BASE_GROUPS, refined_groups(layers, quality))


def groups_of(layer: int) -> tuple[int, int]:
    """First and behind the last of the groups that a layer > 0 brings to the full step, when there is a base."""
    return (0, 2) if layer == 1 else (layer, layer + 1)


def base_of(latent: Latent, shift: int) -> Latent:
    """Base values of a latent (n, h, w) in units of 2^shift steps; the base of a base's fine value is itself."""
    size = (np.abs(latent.astype(np.int32)) + (1 << (shift - 1)) - 1) >> shift
    base: Latent = (np.sign(latent) * size).astype(np.int16)
    return base


def bin_of(base: Latent, shift: int) -> tuple[NDArray[np.int32], NDArray[np.int32]]:
    """Least and greatest fine value whose base is `base`, elementwise."""
    wide, half = base.astype(np.int32), 1 << (shift - 1)
    size = np.abs(wide) << shift
    near = np.where(wide == 0, -half, size - half + 1)
    far = size + half
    return np.where(wide < 0, -far, near), np.where(wide < 0, -near, far)


def known_part(latent: Latent, layers: int, quality: int = 0) -> Latent:
    """A latent (M, h, w) as it is known from its first `layers` layers: what is not refined at its base value in
    fine steps, what nothing is known of at zero. Of a part so known, a smaller one can be taken again.
    """
    group, shift = latent.shape[0] // LAYERS, shift_of(quality) if is_learned(quality) else 0
    fine, known = refined_groups(layers, quality) * group, known_groups(layers, quality) * group
    out = np.zeros_like(latent)
    out[:fine] = latent[:fine]
    stop = min(BASE_GROUPS * group, known)
    if fine < stop and shift:
        out[fine:stop] = base_of(latent[fine:stop], shift) << shift
    return out
