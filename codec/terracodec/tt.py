"""TEC-TT and FlexTEC: a temporal transformer over past latents.

Sources: VCT (Mentzer et al. 2022, arXiv 2206.07307), TerraCodec (arXiv 2510.12670).

The latent of a frame is predicted window by window: 16 tokens of 4x4 positions, each from those before it and
from the 8x8 windows around it in the two frames before. FlexTEC is the same network on repacked tokens.
Everything on the probability path is in `EntropyModel`; `Temporal` adds the transforms.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from swathpack.codec.terracodec.bottleneck import TableBuffers
from swathpack.codec.terracodec.layers import (
    LEAK,
    Constant,
    ResidualBlock,
    ResidualUnit,
    analysis_layers,
    conv,
    synthesis_layers,
)
from swathpack.codec.terracodec.repack import cut_context, cut_windows, join_windows, repack
from swathpack.codec.terracodec.transformer import NORM_EPS, DecoderState, Stack

LATENT_NORM = 35.0
WINDOW = 4
TOKENS = WINDOW * WINDOW
CONTEXT_TOKENS = 4 * TOKENS
CONTEXT_FRAMES = 2


@dataclass(frozen=True)
class TemporalSizes:
    """Everything that the shapes of a checkpoint decide; `flex` by its mask tokens or by request."""

    bands: int = 12
    widths: tuple[int, int, int, int] = (128, 160, 192, 192)
    d_model: int = 768
    hidden: int = 3072
    layers: tuple[int, int, int] = (6, 4, 5)
    flex: bool = False
    mask_tokens: bool = False

    @property
    def channels(self) -> int:
        """Of a latent."""
        return self.widths[3]


class Learned(nn.Module):
    """One learned tensor under the name that the layout gives it."""

    def __init__(self, name: str, *shape: int) -> None:
        super().__init__()
        self.register_parameter(name, nn.Parameter(0.02 * torch.randn(shape)))

    @property
    def value(self) -> Tensor:
        """The tensor, whatever it is called."""
        return next(self.parameters())


class IndexedGaussian(TableBuffers):
    """Named buffers of the published coder; not read."""

    def __init__(self) -> None:
        super().__init__((0,))
        self.register_buffer("scale_bound", torch.tensor([0.01]))
        for name in ("_indexes_table", "_prior_mean", "_prior_scale"):
            self.register_buffer(name, torch.zeros(0))
        self.lower_bound_scale = Constant("bound", 0.01)
        self.lower_bound_zero = Constant("bound", 0.0)
        self.upper_bound_mean = Constant("bound", -99.0)
        self.upper_bound_scale = Constant("bound", -255.0)


def _head(d_model: int, channels: int) -> nn.Sequential:
    return nn.Sequential(
        nn.Linear(d_model, d_model),
        nn.LeakyReLU(LEAK),
        nn.Linear(d_model, d_model),
        nn.LeakyReLU(LEAK),
        nn.Linear(d_model, channels),
    )


class EntropyModel(nn.Module):
    """Means and scales of a latent's tokens, given earlier latents. n is the number of windows throughout."""

    def __init__(self, sizes: TemporalSizes) -> None:
        super().__init__()
        d, c, hidden = sizes.d_model, sizes.channels, sizes.hidden
        self.flex = sizes.flex
        self.bottleneck = nn.Module()
        self.bottleneck._entropy_model = IndexedGaussian()
        self.learned_zero = Learned("sym", c)
        self.enc_position_sep = Learned("_pos", 1, CONTEXT_TOKENS, d)
        self.enc_position_joint = Learned("_pos", 1, CONTEXT_FRAMES * CONTEXT_TOKENS, d)
        self.dec_position = Learned("_pos", 1, TOKENS, d)
        self.post_embedding_layernorm = nn.LayerNorm(d, eps=NORM_EPS)
        self.encoder_embedding = nn.Linear(c, d)
        self.decoder_embedding = nn.Linear(c, d)
        self.encoder_sep = Stack(sizes.layers[0], d, hidden)
        self.encoder_joint = Stack(sizes.layers[1], d, hidden)
        self.decoder = Stack(sizes.layers[2], d, hidden, TOKENS)
        self.mean_head = _head(d, c)
        self.scale_head = _head(d, c)
        if sizes.mask_tokens:  # used by training only: they stand for tokens that are not sent
            self.mask_token = nn.Parameter(0.02 * torch.randn(c))
            self.z_cur_mask_token = nn.Parameter(0.02 * torch.randn(d))

    def to_tokens(self, latent: Tensor) -> Tensor:
        """(B, C, h, w) -> coding tokens (n, 16, C)."""
        tokens = cut_windows(latent, WINDOW)
        return repack(tokens) if self.flex else tokens

    def from_tokens(self, tokens: Tensor, grid: tuple[int, int]) -> Tensor:
        """Tokens, or features (n, 16, d), of a grid of (rows, columns) windows -> (B, C, h, w)."""
        return join_windows(repack(tokens) if self.flex else tokens, grid, WINDOW)

    def context_windows(self, latent: Tensor) -> Tensor:
        """A decoded latent (B, C, h, w) -> its context tokens (n, 64, C)."""
        windows = cut_context(latent, WINDOW)
        return repack(windows) if self.flex else windows

    def encode_windows(self, windows: Tensor) -> Tensor:
        """Context tokens of one earlier latent (n, 64, C) -> (n, 64, d), by itself."""
        embedded = self.post_embedding_layernorm(self.encoder_embedding(windows / LATENT_NORM))
        encoded: Tensor = self.encoder_sep(embedded + self.enc_position_sep.value)
        return encoded

    def join_context(self, older: Tensor, newer: Tensor) -> Tensor:
        """Two encoded latents, oldest first (the same twice if there is one) -> (n, 128, d)."""
        context: Tensor = self.encoder_joint(torch.cat([older, newer], 1) + self.enc_position_joint.value)
        return context

    def start(self, context: Tensor) -> DecoderState:
        """A decoder before its first token; `context` may have one window that serves all."""
        return DecoderState(self.decoder.caches(context))

    def advance(self, previous: Tensor, state: DecoderState) -> Tensor:
        """Features (n, t, d) of the next t tokens.

        previous: (n, t, C), the tokens before each of them; for the first one `start_token`. Either they are
        the first t tokens of the window, or t is 1.
        """
        t = previous.shape[1]
        embedded = self.post_embedding_layernorm(self.decoder_embedding(previous / LATENT_NORM))
        x: Tensor = embedded + self.dec_position.value[:, state.taken : state.taken + t]
        for block, cache in zip(self.decoder.blocks(), state.caches):
            x = block.decode(x, cache)
        state.taken += t
        return x

    def start_token(self, windows: int) -> Tensor:
        """(windows, 1, C): what stands before the first token."""
        return self.learned_zero.value.expand(windows, 1, -1)

    def shifted(self, tokens: Tensor) -> Tensor:
        """(n, t, C) -> the same moved right by one, the start token first."""
        return torch.cat([self.start_token(tokens.shape[0]), tokens[:, :-1]], 1)

    def heads(self, features: Tensor) -> tuple[Tensor, Tensor]:
        """Features -> (mean, raw scale), each (n, t, C); the scale still needs its activation."""
        return self.mean_head(features), self.scale_head(features)


class Side(nn.Module):
    """One transform under its published name."""

    def __init__(self, layers: list[nn.Module]) -> None:
        super().__init__()
        self.transforms = nn.Sequential(*layers)


class Transform(nn.Module):
    """The two transforms under their published names."""

    def __init__(self, sizes: TemporalSizes) -> None:
        super().__init__()
        self.analysis_transform = Side(analysis_layers(sizes.bands, sizes.widths, ResidualUnit))
        self.synthesis_transform = Side(synthesis_layers(sizes.bands, sizes.widths, ResidualUnit))


class Dequantizer(nn.Module):
    """What the decoder's features add to the latent before synthesis."""

    def __init__(self, channels: int, d_model: int) -> None:
        super().__init__()
        self.process_conv = nn.Sequential(conv(d_model, channels, 1), nn.LeakyReLU(LEAK), ResidualBlock(channels))

    def forward(self, features: Tensor) -> Tensor:
        """(B, d, h, w) -> (B, C, h, w)."""
        added: Tensor = self.process_conv(features)
        return added


class Temporal(nn.Module):
    """TEC-TT, or FlexTEC with `sizes.flex`."""

    ALIGN = 64  # 16 for the transforms times 4 for the windows

    def __init__(self, sizes: TemporalSizes | None = None) -> None:
        super().__init__()
        sizes = sizes or TemporalSizes()
        self.sizes, self.bands, self.latent_channels = sizes, sizes.bands, sizes.channels
        self.transform = Transform(sizes)
        self.entropy_model = EntropyModel(sizes)
        self._temporal_pad_token_maker = Learned("weight", 1, sizes.channels, 1, 1)
        self._dequantizer = Dequantizer(sizes.channels, sizes.d_model)

    def analysis(self, x: Tensor) -> Tensor:
        """(B, bands, H, W) standardised -> latent (B, C, H/16, W/16)."""
        y: Tensor = self.transform.analysis_transform.transforms(x)
        return y

    def synthesis(self, y_hat: Tensor, features: Tensor) -> Tensor:
        """Latent and decoder features (B, d, h, w) -> (B, bands, H, W) standardised, not clamped."""
        x: Tensor = self.transform.synthesis_transform.transforms(y_hat + self._dequantizer(features))
        return x

    @property
    def blank(self) -> Tensor:
        """(1, C, 1, 1): the learned latent that stands before a first frame."""
        return self._temporal_pad_token_maker.value

    def first_context(self) -> Tensor:
        """(1, 128, d): the context of a first frame; a constant, the same for every window."""
        blank = self.blank.expand(1, -1, WINDOW, WINDOW)
        encoded = self.entropy_model.encode_windows(self.entropy_model.context_windows(blank))
        return self.entropy_model.join_context(encoded, encoded)

    def contexts(self, latents: list[Tensor]) -> Tensor:
        """Context of the frame after `latents` (each (B, C, h, w), oldest first; the last two count)."""
        if not latents:
            return self.first_context()
        model = self.entropy_model
        encoded = [model.encode_windows(model.context_windows(y)) for y in latents[-CONTEXT_FRAMES:]]
        return model.join_context(encoded[0], encoded[-1])

    def predict(self, y: Tensor, latents: list[Tensor]) -> tuple[Tensor, Tensor, Tensor]:
        """Teacher-forced pass over a whole frame: mean and raw scale (B, C, h, w), features (B, d, h, w).

        y: the latent to code, unrounded or rounded; latents: the decoded ones before it.
        """
        model, grid = self.entropy_model, (y.shape[2] // WINDOW, y.shape[3] // WINDOW)
        tokens = model.to_tokens(torch.round(y))
        features = model.advance(model.shifted(tokens), model.start(self.contexts(latents)))
        mean, raw = model.heads(features)
        return tuple(model.from_tokens(t, grid) for t in (mean, raw, features))  # type: ignore[return-value]

    def quantise(self, y: Tensor, mean: Tensor) -> Tensor:
        """The value that is coded: round(y - round(mean)) + round(mean)."""
        centre = torch.round(mean)
        return torch.round(y - centre) + centre
