"""The temporal transformer entropy model, float training form.

Tokens are (layer, position): token j at a latent position predicts the 32 channels of layer j there. It knows
all earlier layers of the whole tile, two context latents of the same tile, and, in layer 0, the neighbours
that the quincunx order has coded already. Layout of activations: (B, P, 16, width), P = h * w.

Every activation lies on a power-of-two grid and saturates there instead of being normalised, attention is
ReLU attention with power-of-two constants, so that `swathpack.export.integer` can turn the trained network into int8
and power-of-two arithmetic (shared design note "exact entropy model"). With `quantised = True` the forward
pass rounds like the integer network, gradients pass straight through.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F  # noqa: N812

from swathpack.edge.codec.latents import CHANNELS, GROUP, LAYERS
from swathpack.edge.codec.tables import N_SCALES, SIGMA_MAX, SIGMA_MIN
from swathpack.edge.stream.quality import STEPS

WIDTH = 96
HEADS = 3
HEAD_WIDTH = WIDTH // HEADS
HIDDEN = 192
HEAD_HIDDEN = 128
BLOCKS = 4
ACT = 5  # activations are int8 / 2^5: they saturate at +-4
RES = 8  # the residual stream is integer / 2^8
IN = 3  # latent planes are int8 / 2^3
SCORE_SHIFT = 3  # attention weights relu(q k) / 2^3
MIX_SHIFT = 3  # attention output sum(P v) / 2^3
PLANES = 2 * GROUP  # per layer: clipped symbols, then high part (layer 0) or magnitude (others)
EXPONENTS = (5, 14)  # of weights; 5 keeps every accumulator at least as fine as the grid it is rounded to
FLAG = 127 * 2.0**-IN  # a flag plane is 0 or 127
MAIN_IN = 3 * PLANES + 2
CONTEXT_IN = PLANES + 2
SPATIAL_IN = WIDTH + 3 * GROUP + 5
SCALE_GRID = 3  # scale heads: table index steps of 2^-3 per unit
GATE_GRID = 6
ANCHORS = 9
LOG_RATIO = math.log(SIGMA_MAX / SIGMA_MIN) / (N_SCALES - 1)  # between neighbouring tables


def round_ste(x: Tensor) -> Tensor:
    """Round half up, as the integer network does (its offset of 1/4 decides every tie upwards)."""
    return x + (torch.floor(x + 0.5) - x).detach()


def saturate(x: Tensor, quantised: bool, bits: int = ACT) -> Tensor:
    """To the int8 grid of 2^-bits."""
    if quantised:
        return torch.clamp(round_ste(x * 2**bits), -128, 127) * 2.0**-bits
    return torch.clamp(x, -128 * 2.0**-bits, 127 * 2.0**-bits)


def weight_exponent(weight: Tensor, channel_dim: int) -> Tensor:
    """Exponent e per output channel so that round(w * 2^e) fits int8, within EXPONENTS."""
    dims = [
        d for d in range(weight.dim()) if d not in (channel_dim % weight.dim(), *([0] if weight.dim() == 3 else []))
    ]
    peak = weight.detach().abs().amax(dim=dims, keepdim=True).clamp(min=2.0**-8)
    return torch.floor(torch.log2(127.4 / peak)).clamp(*EXPONENTS)


def quantise_weight(
    weight: Tensor, bias: Tensor, channel_dim: int, input_bits: int, quantised: bool
) -> tuple[Tensor, Tensor]:
    """Weight and bias on the integer network's grids: int8 / 2^e, integer / 2^(e + input_bits)."""
    if not quantised:
        return weight, bias
    exponent = weight_exponent(weight, channel_dim)
    scale = torch.exp2(exponent)
    bias_scale = torch.exp2(exponent.reshape(bias.shape) + input_bits)
    return torch.clamp(round_ste(weight * scale), -127, 127) / scale, round_ste(bias * bias_scale) / bias_scale


class Shared(nn.Linear):
    """A linear layer over the last axis with the integer grid's weights."""

    quantised = False

    def forward(self, x: Tensor) -> Tensor:
        """x (..., inputs) -> (..., outputs)."""
        return F.linear(x, *quantise_weight(self.weight, self.bias, 0, ACT, self.quantised))


class PerLayer(nn.Module):
    """One linear layer for each of the 16 latent layers: (B, P, 16, inputs) -> (B, P, 16, outputs)."""

    quantised = False

    def __init__(self, inputs: int, outputs: int, gain: float = 1.0, input_bits: int = ACT) -> None:
        super().__init__()
        self.input_bits = input_bits
        self.weight = nn.Parameter(torch.randn(LAYERS, inputs, outputs) * gain / math.sqrt(inputs))
        self.bias = nn.Parameter(torch.zeros(LAYERS, outputs))

    def forward(self, x: Tensor) -> Tensor:
        """x (B, P, 16, inputs), each layer by its own weights."""
        b, p, j, n = x.shape
        flat = x.permute(2, 0, 1, 3).reshape(j, b * p, n)
        weight, bias = quantise_weight(self.weight, self.bias, 2, self.input_bits, self.quantised)
        y = torch.baddbmm(bias[:, None], flat, weight)
        return y.reshape(j, b, p, -1).permute(1, 2, 0, 3)


class Spatial(nn.Module):
    """Depthwise 3x3 over positions, the same for all layers, then ReLU MLP; zero beyond the tile."""

    quantised = False

    def __init__(self) -> None:
        super().__init__()
        kernel = torch.randn(WIDTH, 1, 3, 3) * 0.1
        kernel[:, :, 1, 1] += 1
        self.kernel = nn.Parameter(kernel)
        self.kernel_bias = nn.Parameter(torch.zeros(WIDTH))
        self.up = Shared(WIDTH, HIDDEN)
        self.down = Shared(HIDDEN, WIDTH)
        nn.init.normal_(self.down.weight, std=0.3 / math.sqrt(HIDDEN))

    def forward(self, x: Tensor, size: tuple[int, int]) -> Tensor:
        """x (B, P, 16, d) saturated, of P = h w positions; size: (h, w) -> what the residual stream gains, shaped alike."""
        b, p, j, d = x.shape
        image = x.reshape(b, *size, j * d).permute(0, 3, 1, 2)
        kernel, bias = quantise_weight(self.kernel.reshape(d, 9), self.kernel_bias, 0, ACT, self.quantised)
        kernel = kernel.reshape(d, 1, 3, 3).repeat(j, 1, 1, 1)
        image = F.conv2d(image, kernel, bias.repeat(j), padding=1, groups=j * d)
        h = saturate(image.permute(0, 2, 3, 1).reshape(b, p, j, d), self.quantised)
        h = saturate(F.relu(self.up(h)), self.quantised)
        return residual(self.down(h), self.quantised)


def residual(x: Tensor, quantised: bool) -> Tensor:
    """On the residual stream's grid, 1/2^RES, when quantised."""
    return round_ste(x * 2**RES) * 2.0**-RES if quantised else x


class Attention(nn.Module):
    """ReLU attention of layer tokens at one position over earlier layers and both contexts."""

    quantised = False
    mask: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.query, self.key, self.value = Shared(WIDTH, WIDTH), Shared(WIDTH, WIDTH), Shared(WIDTH, WIDTH)
        self.context_key, self.context_value = Shared(WIDTH, WIDTH), Shared(WIDTH, WIDTH)
        self.out = Shared(WIDTH, WIDTH)
        nn.init.normal_(self.out.weight, std=0.3 / math.sqrt(WIDTH))
        keys = torch.arange(3 * LAYERS)
        mask = (keys[None] <= torch.arange(LAYERS)[:, None]) | (keys[None] >= LAYERS)
        self.register_buffer("mask", mask.float(), persistent=False)

    def forward(self, x: Tensor, context: Tensor) -> Tensor:
        """x (B, P, 16, d), context (B, P, 32, d), both saturated."""
        b, p, j, d = x.shape

        def heads(t: Tensor) -> Tensor:
            t = saturate(t, self.quantised)
            return t.reshape(b * p, t.shape[2], HEADS, HEAD_WIDTH).transpose(1, 2)

        key = torch.cat([heads(self.key(x)), heads(self.context_key(context))], 2)
        value = torch.cat([heads(self.value(x)), heads(self.context_value(context))], 2)
        score = heads(self.query(x)) @ key.transpose(2, 3) * 2.0**-SCORE_SHIFT
        weight = saturate(F.relu(score), self.quantised) * self.mask
        mixed = saturate(weight @ value * 2.0**-MIX_SHIFT, self.quantised)
        mixed = mixed.transpose(1, 2).reshape(b, p, j, d)
        return residual(self.out(mixed), self.quantised)


class Block(nn.Module):
    """Attention, then `Spatial`, each added to the residual stream."""

    quantised = False

    def __init__(self) -> None:
        super().__init__()
        self.attention = Attention()
        self.spatial = Spatial()

    def forward(self, x: Tensor, context: Tensor, size: tuple[int, int]) -> Tensor:
        """The stream x (B, P, 16, d), context (B, P, 32, d) saturated, size (h, w), P = h w -> the stream, shaped alike."""
        x = x + self.attention(saturate(x, self.quantised), context)
        out: Tensor = x + self.spatial(saturate(x, self.quantised), size)
        return out


def planes(latent: Tensor) -> Tensor:
    """(B, 512, h, w) integers (as float) -> int8 planes as reals (B, P, 16, 64): symbols, then high part or
    magnitude.
    """
    b, _, h, w = latent.shape
    y = latent.reshape(b, LAYERS, GROUP, h * w).permute(0, 3, 1, 2)
    low = y.clamp(-128, 127)
    high = torch.cat([torch.floor((y[:, :, :1] + 8) / 16).clamp(-128, 127), y[:, :, 1:].abs().clamp(max=127)], 2)
    return torch.cat([low, high], 3) * 2.0**-IN


PHASE_KERNELS = (
    ((0, 0),),
    ((-2, -2), (-2, 2), (2, -2), (2, 2)),
    ((-2, 0), (2, 0), (0, -2), (0, 2)),
    ((-1, -1), (-1, 1), (1, -1), (1, 1)),
    ((-1, 0), (1, 0), (0, -1), (0, 1)),
)


def phase_map(h: int, w: int) -> Tensor:
    """Coding phase 0..4 of every position of layer 0: a quincunx refinement of the 4-grid."""
    i, j = torch.arange(h)[:, None] % 4, torch.arange(w)[None] % 4
    phase = torch.full((h, w), 4)
    phase[(i % 2 == 1) & (j % 2 == 1)] = 3
    phase[(i % 2 == 0) & (j % 2 == 0)] = 2
    phase[(i == 2) & (j == 2)] = 1
    phase[(i == 0) & (j == 0)] = 0
    return phase


def neighbour_mean8(layer0: Tensor) -> Tensor:
    """Floor of 8 times the mean of the neighbours coded in earlier phases; layer0 (B, 32, h, w) integers."""
    b, c, h, w = layer0.shape
    phase, out = phase_map(h, w), torch.zeros_like(layer0)
    padded = F.pad(layer0, (2, 2, 2, 2))
    inside = F.pad(torch.ones(1, 1, h, w), (2, 2, 2, 2))
    for f in range(1, 5):
        total, count = torch.zeros_like(layer0), torch.zeros(1, 1, h, w)
        for dy, dx in PHASE_KERNELS[f]:
            window = np_window(dy, dx, h, w)
            total, count = total + padded[window], count + inside[window]
        out = torch.where(phase == f, torch.floor(total * 8 / count.clamp(min=1)), out)
    return out


def np_window(dy: int, dx: int, h: int, w: int) -> tuple[slice, ...]:
    """Index of an (h, w) window shifted by (dy, dx), |dy|, |dx| <= 2, in (B, C, h + 4, w + 4)."""
    return (slice(None), slice(None), slice(2 + dy, 2 + dy + h), slice(2 + dx, 2 + dx + w))


@dataclass
class Context:
    """Two context latents in the current step, unknown layers zero: (B, 512, h, w) each; known (B, 2, 16)
    0/1.
    """

    first: Tensor
    second: Tensor
    known: Tensor


class EntropyModel(nn.Module):
    """Logistic mean (in steps) and table index of every latent symbol."""

    def __init__(self, deviation: Tensor | None = None) -> None:
        super().__init__()
        self.quantised = False
        self.embed = PerLayer(MAIN_IN, WIDTH, input_bits=IN)
        self.embed_context = PerLayer(CONTEXT_IN, WIDTH, input_bits=IN)
        self.context_spatial = Spatial()
        self.step_embed = nn.Parameter(torch.zeros(ANCHORS, WIDTH))
        self.blocks = nn.ModuleList([Block() for _ in range(BLOCKS)])
        self.head_hidden = PerLayer(WIDTH, HEAD_HIDDEN)
        self.head = PerLayer(HEAD_HIDDEN, 4 * GROUP, gain=0.02)
        self.first_hidden = Shared(SPATIAL_IN, HEAD_HIDDEN)
        self.first_head = Shared(HEAD_HIDDEN, 6 * GROUP)
        self.first_hidden.weight.data[:, WIDTH:] *= 4  # those planes come on a coarser scale
        nn.init.normal_(self.first_head.weight, std=0.02 / math.sqrt(HEAD_HIDDEN))
        nn.init.zeros_(self.first_head.bias)
        self.base_index = nn.Parameter(torch.zeros(ANCHORS, CHANNELS))
        if deviation is not None:
            q = torch.linspace(0, STEPS, ANCHORS)
            sigma = 0.7 * deviation[None] / torch.exp2(q / 8)[:, None] + 0.09
            self.base_index.data = torch.log(sigma / SIGMA_MIN) / LOG_RATIO

    def set_quantised(self, on: bool) -> None:
        """Round like the integer network (on) or train in float (off)."""
        self.quantised = on
        for module in self.modules():
            module.quantised = on  # type: ignore[assignment]

    def at_step(self, anchors: Tensor, q: Tensor) -> Tensor:
        """Linear interpolation of an (ANCHORS, n) table at q (B,) -> (B, n)."""
        position = q.float() / STEPS * (ANCHORS - 1)
        low = position.long().clamp(max=ANCHORS - 2)
        t = (position - low)[:, None]
        return anchors[low] * (1 - t) + anchors[low + 1] * t

    def context_tokens(self, context: Context, q_embed: Tensor) -> Tensor:
        """(B, P, 32, d): embedded layers of both contexts, mixed over space once."""
        size = (context.first.shape[2], context.first.shape[3])
        tokens = []
        for n, latent in enumerate((context.first, context.second)):
            p = planes(latent)
            known = context.known[:, None, n, :, None].expand(-1, p.shape[1], -1, -1) * FLAG
            date = torch.full_like(known, n * FLAG)
            t = residual(self.embed_context(torch.cat([p, known, date], 3)), self.quantised) + q_embed
            t = t + self.context_spatial(saturate(t, self.quantised), size)
            tokens.append(saturate(t, self.quantised))
        return torch.cat(tokens, 2)

    def forward(self, latent: Tensor, context: Context, q: Tensor) -> tuple[Tensor, Tensor]:
        """Teacher-forced pass: latent (B, 512, h, w) integers -> mean (steps) and table scale index, shaped
        alike.
        """
        b, _, h, w = latent.shape
        q_embed = residual(self.at_step(self.step_embed, q), self.quantised)[:, None, None, :]
        own, first, second = planes(latent), planes(context.first), planes(context.second)
        own = torch.cat([torch.zeros_like(own[:, :, :1]), own[:, :, :-1]], 2)
        known = context.known.permute(0, 2, 1)[:, None].expand(-1, h * w, -1, -1) * FLAG
        x = residual(self.embed(torch.cat([own, first, second, known], 3)), self.quantised) + q_embed
        tokens = self.context_tokens(context, q_embed)
        for block in self.blocks:
            x = block(x, tokens, (h, w))
        return self.heads(saturate(x, self.quantised), latent, context, q)

    def heads(self, x: Tensor, latent: Tensor, context: Context, q: Tensor) -> tuple[Tensor, Tensor]:
        """From the last block, x (B, P, 16, d) saturated, to what `forward` returns."""
        b, _, h, w = latent.shape
        out = self.head(saturate(F.relu(self.head_hidden(x)), self.quantised))
        out = torch.cat([out, torch.zeros_like(out[..., : 2 * GROUP])], 3)
        s_own, s_first = neighbour_mean8(latent[:, :GROUP]), neighbour_mean8(context.first[:, :GROUP])
        first_out = self.first_layer(x[:, :, 0], s_own, s_first, context)
        out = torch.cat([first_out[:, :, None], out[:, :, 1:]], 2)
        out = out.reshape(b, h * w, LAYERS, 6, GROUP).permute(3, 0, 2, 4, 1).reshape(6, b, CHANNELS, h, w)
        mean, delta, *gates = out
        gates = [torch.clamp(g, -2, 127 / 64) for g in gates]
        if self.quantised:
            gates = [round_ste(g * 2**GATE_GRID) * 2.0**-GATE_GRID for g in gates]
            mean = round_ste(mean * 2**GATE_GRID) * 2.0**-GATE_GRID
        mean = mean + gates[0] * context.first + gates[1] * context.second
        spatial = (gates[2][:, :GROUP] * s_own + gates[3][:, :GROUP] * s_first) / 8
        mean = torch.cat([mean[:, :GROUP] + spatial, mean[:, GROUP:]], 1)
        index = self.at_step(self.base_index, q)
        delta = delta * 2**SCALE_GRID
        if self.quantised:
            mean, index, delta = round_ste(mean * 8) / 8, round_ste(index), round_ste(delta)
        return mean, torch.clamp(index[:, :, None, None] + delta, 0, N_SCALES - 1)

    def first_layer(self, x0: Tensor, s_own: Tensor, s_first: Tensor, context: Context) -> Tensor:
        """Layer 0's head: also sees the neighbours already coded. (B, P, 6 * 32)."""
        b, c, h, w = s_own.shape
        phase = F.one_hot(phase_map(h, w).reshape(-1), 5).float() * (127 * 2.0**-ACT)
        value = torch.floor(s_own / 8)
        features = (
            torch.cat(
                [
                    value.clamp(-128, 127),
                    torch.floor((value + 8) / 16).clamp(-128, 127),
                    torch.floor((s_own - s_first) / 8).clamp(-128, 127),
                ],
                1,
            )
            .reshape(b, 3 * c, h * w)
            .transpose(1, 2)
            * 2.0**-ACT
        )
        joined = torch.cat([x0, features, phase.expand(b, -1, -1)], 2)
        out: Tensor = self.first_head(saturate(F.relu(self.first_hidden(joined)), self.quantised))
        return out


def logistic_bits(latent: Tensor, mean: Tensor, index: Tensor) -> Tensor:
    """Bits of integer symbols under a logistic with the standard deviation of the table index; stable in
    both tails.
    """
    inverse = torch.exp(index * -LOG_RATIO) * (math.pi / math.sqrt(3) / SIGMA_MIN)
    z = -(latent - mean).abs()
    mass = torch.sigmoid((z + 0.5) * inverse) - torch.sigmoid((z - 0.5) * inverse)
    return -torch.log2(mass.clamp(min=2.0**-22))
