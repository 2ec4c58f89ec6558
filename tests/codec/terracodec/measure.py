"""CPU seconds and peak memory of one family at the published size, in a process of its own.

    python -m tests.codec.terracodec.measure tt CHECKPOINT [FRAMES]

The checkpoint is written by `write_checkpoint` (random weights, published layout). Prints one JSON line:
parameters, bytes of the stream, CPU seconds per 256x256x12 frame to encode and to decode, peak memory in GB and,
of temporal models, the largest difference between means with cached keys and values and means without.
"""

from __future__ import annotations

import json
import resource
import sys
import time
from pathlib import Path

import numpy as np
import torch

from swathpack.codec.terracodec import decode_series, encode_series, import_checkpoint
from swathpack.codec.terracodec.elic import Elic
from swathpack.codec.terracodec.fp import FactorizedPrior
from swathpack.codec.terracodec.tt import TOKENS, Temporal, TemporalSizes
from tests.codec.terracodec.make_models import enliven, smooth_frames


def write_checkpoint(family: str, path: Path) -> None:
    """A torch file in the published layout, lively random weights, `model.` prefix as published."""
    torch.manual_seed(3)
    if family in ("fp", "elic"):
        model = FactorizedPrior() if family == "fp" else Elic()
    else:
        flex = family == "flextec"
        model = Temporal(TemporalSizes(flex=flex, mask_tokens=flex))
    state = enliven(model).state_dict()
    torch.save({f"model.{name}": value for name, value in state.items()}, path)


def measure(family: str, checkpoint: Path, frames: int = 3) -> dict[str, float]:
    """The figures; frames after the second cost the most, as two dates are then context."""
    model = import_checkpoint(checkpoint)
    assert model.family == family
    series = smooth_frames(frames, 256, 256)
    start = time.process_time()
    data = encode_series(model, series)
    middle = time.process_time()
    decoded = decode_series(model, data)
    end = time.process_time()
    assert decoded.shape == series.shape and np.isfinite(decoded).all()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6
    figures = {
        "parameters": model.parameters,
        "stream_bytes": len(data),
        "encode_cpu_s": round((middle - start) / frames, 2),
        "decode_cpu_s": round((end - middle) / frames, 2),
        "peak_gb": round(peak, 2),
    }
    if isinstance(model.model, Temporal):
        figures["cached_difference"] = cached_difference(model.model)
    return figures


@torch.no_grad()
def cached_difference(model: Temporal, windows: int = 16) -> float:
    """Largest |mean - mean| in latent units over all tokens: 16 steps with caches against 16 full passes that know
    only the tokens before each step (the later ones hold 99, which must not matter).
    """
    torch.manual_seed(9)
    entropy = model.entropy_model
    tokens = torch.round(4 * torch.randn(windows, TOKENS, model.sizes.channels))
    context = entropy.join_context(*(torch.randn(2, windows, 64, model.sizes.d_model)))
    cached, worst = entropy.start(context), 0.0
    shifted = entropy.shifted(tokens)
    for j in range(TOKENS):
        step = entropy.heads(entropy.advance(shifted[:, j : j + 1], cached))[0]
        known = tokens.clone()
        known[:, j:] = 99.0
        whole = entropy.heads(entropy.advance(entropy.shifted(known), entropy.start(context)))[0]
        worst = max(worst, float((step - whole[:, j : j + 1]).abs().max()))
    return worst


if __name__ == "__main__":
    print(json.dumps(measure(sys.argv[1], Path(sys.argv[2]), *map(int, sys.argv[3:]))))
