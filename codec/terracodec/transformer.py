"""The transformer blocks of the temporal models, with cached keys and values.

A block is pre-norm: self-attention, MLP, cross-attention, MLP, each added to the stream. In the encoders the
cross-attention looks at the block's own normed input; in the decoder at the encoded context.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as fn

HEADS = 16
NORM_EPS = 1e-6

KeysValues = tuple[Tensor, Tensor]


class Attention(nn.Module):
    """Multi-head attention with separate q, k, v and output projections."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.q = nn.Linear(width, width)
        self.k = nn.Linear(width, width)
        self.v = nn.Linear(width, width)
        self.proj = nn.Linear(width, width)

    def keys_values(self, x: Tensor) -> KeysValues:
        """(n, t, width) -> keys and values, each (n, HEADS, t, width / HEADS)."""
        return _split(self.k(x)), _split(self.v(x))

    def forward(self, x: Tensor, memory: KeysValues, causal: bool = False) -> Tensor:
        """x: (n, t, width) attends to `memory`, whose first axis may be 1 (the same for all)."""
        keys, values = memory
        query = _split(self.q(x))
        if keys.shape[0] != query.shape[0]:
            keys, values = (m.expand(query.shape[0], -1, -1, -1) for m in memory)
        mixed = fn.scaled_dot_product_attention(query, keys, values, is_causal=causal)
        out: Tensor = self.proj(mixed.transpose(1, 2).flatten(2))
        return out


def _split(x: Tensor) -> Tensor:
    return torch.unflatten(x, -1, (HEADS, -1)).transpose(1, 2)


class Mlp(nn.Module):
    """Linear to four times the width, GELU (erf), Linear back."""

    def __init__(self, width: int, hidden: int) -> None:
        super().__init__()
        self.fc1 = nn.Linear(width, hidden)
        self.fc2 = nn.Linear(hidden, width)

    def forward(self, x: Tensor) -> Tensor:
        """(..., width) -> same shape."""
        out: Tensor = self.fc2(fn.gelu(self.fc1(x)))
        return out


@dataclass
class BlockCache:
    """What a decoder block keeps between tokens: the context's keys and values, and those of past tokens."""

    context: KeysValues
    past: KeysValues | None = None


class Block(nn.Module):
    """One layer; the decoder's layers also carry the published causal mask as a buffer (not read here)."""

    def __init__(self, width: int, hidden: int, decoder_tokens: int = 0) -> None:
        super().__init__()
        if decoder_tokens:
            mask = torch.ones(decoder_tokens, decoder_tokens, dtype=torch.bool).triu(1)
            self.register_buffer("look_ahead_mask", mask)
        self.norm1a, self.norm1b, self.norm2a, self.norm2b = (nn.LayerNorm(width, eps=NORM_EPS) for _ in range(4))
        self.self_attention = Attention(width)
        self.cross_attention = Attention(width)
        self.mlp1 = Mlp(width, hidden)
        self.mlp2 = Mlp(width, hidden)

    def forward(self, x: Tensor) -> Tensor:
        """Encoder use: (n, t, width) -> same shape."""
        normed = self.norm1a(x)
        x = x + self.self_attention(normed, self.self_attention.keys_values(normed))
        x = x + self.mlp1(self.norm1b(x))
        normed = self.norm2a(x)
        x = x + self.cross_attention(normed, self.cross_attention.keys_values(normed))
        out: Tensor = x + self.mlp2(self.norm2b(x))
        return out

    def decode(self, x: Tensor, cache: BlockCache) -> Tensor:
        """Decoder use: the next t tokens (n, t, width); either the first ones or a single one (t = 1)."""
        normed = self.norm1a(x)
        keys, values = self.self_attention.keys_values(normed)
        if cache.past is not None:
            keys, values = (torch.cat(pair, 2) for pair in zip(cache.past, (keys, values)))
        cache.past = keys, values
        # One token may look at everything before it; several at once need the causal mask.
        x = x + self.self_attention(normed, cache.past, causal=x.shape[1] > 1)
        x = x + self.mlp1(self.norm1b(x))
        x = x + self.cross_attention(self.norm2a(x), cache.context)
        out: Tensor = x + self.mlp2(self.norm2b(x))
        return out


class Stack(nn.Module):
    """Blocks under the published names `layers.encoder_layer_0` and so on."""

    def __init__(self, layers: int, width: int, hidden: int, decoder_tokens: int = 0) -> None:
        super().__init__()
        blocks = {f"encoder_layer_{i}": Block(width, hidden, decoder_tokens) for i in range(layers)}
        self.layers = nn.ModuleDict(blocks)

    def forward(self, x: Tensor) -> Tensor:
        """Encoder use: (n, t, width) -> same shape."""
        for block in self.layers.values():
            x = block(x)
        return x

    def caches(self, context: Tensor) -> list[BlockCache]:
        """Fresh caches for one context (n or 1, t, width)."""
        return [BlockCache(block.cross_attention.keys_values(context)) for block in self.blocks()]

    def blocks(self) -> list[Block]:
        """The layers, first to last."""
        return [block for block in self.layers.values() if isinstance(block, Block)]


@dataclass
class DecoderState:
    """Where the decoder stands in a window: how many tokens it has taken, and the caches of its blocks."""

    caches: list[BlockCache]
    taken: int = 0

    def rewind(self) -> None:
        """Back to before the first token; what was computed from the context stays."""
        self.taken = 0
        for cache in self.caches:
            cache.past = None
