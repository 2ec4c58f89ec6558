"""The temporal transformer: blocks by hand, causality, one pass against sixteen, cached against uncached."""

import math

import pytest
import torch
from torch import Tensor

from swathpack.codec.terracodec.transformer import HEADS, Attention, Block
from swathpack.codec.terracodec.tt import TOKENS, Temporal
from tests.codec.terracodec.make_models import small


def _attend_by_hand(attention: Attention, x: Tensor, memory: Tensor, causal: bool) -> Tensor:
    q, k, v = attention.q(x), attention.k(memory), attention.v(memory)
    size = x.shape[-1] // HEADS
    out = torch.zeros_like(x)
    for head in range(HEADS):
        part = slice(head * size, (head + 1) * size)
        scores = q[..., part] @ k[..., part].transpose(-1, -2) / math.sqrt(size)
        if causal:
            scores = scores.masked_fill(torch.ones_like(scores, dtype=torch.bool).triu(1), -math.inf)
        out[..., part] = torch.softmax(scores, -1) @ v[..., part]
    return attention.proj(out)


def _block_by_hand(block: Block, x: Tensor, context: Tensor | None) -> Tensor:
    n = block.norm1a(x)
    x = x + _attend_by_hand(block.self_attention, n, n, context is not None)
    x = x + block.mlp1(block.norm1b(x))
    n = block.norm2a(x)
    x = x + _attend_by_hand(block.cross_attention, n, n if context is None else context, False)
    return x + block.mlp2(block.norm2b(x))


def _decode_by_hand(model: Temporal, tokens: Tensor, context: Tensor) -> Tensor:
    """Features of all tokens, without caches: the whole window goes through every block."""
    entropy = model.entropy_model
    start = entropy.learned_zero.sym.expand(tokens.shape[0], 1, -1)
    shifted = torch.cat([start, tokens[:, :-1]], 1) / 35.0
    x = entropy.post_embedding_layernorm(entropy.decoder_embedding(shifted)) + entropy.dec_position.value
    for block in entropy.decoder.layers.values():
        x = _block_by_hand(block, x, context)
    return x


@pytest.fixture(scope="module", params=["tt", "flextec"])
def model(request: pytest.FixtureRequest) -> Temporal:
    return small(request.param)  # type: ignore[return-value]


def _inputs(model: Temporal, windows: int = 5) -> tuple[Tensor, Tensor]:
    torch.manual_seed(9)
    return torch.round(4 * torch.randn(windows, TOKENS, 64)), torch.randn(windows, 128, model.sizes.d_model)


def test_encoder_stack_by_hand(model: Temporal) -> None:
    x = torch.randn(3, 64, 64)
    wanted = x
    for block in model.entropy_model.encoder_sep.layers.values():
        wanted = _block_by_hand(block, wanted, None)
    torch.testing.assert_close(model.entropy_model.encoder_sep(x), wanted, rtol=1e-4, atol=1e-5)


def test_one_pass_by_hand(model: Temporal) -> None:
    tokens, context = _inputs(model)
    entropy = model.entropy_model
    found = entropy.advance(entropy.shifted(tokens), entropy.start(context))
    torch.testing.assert_close(found, _decode_by_hand(model, tokens, context), rtol=1e-4, atol=1e-5)


def test_cached_steps_equal_uncached_ones(model: Temporal) -> None:
    tokens, context = _inputs(model)
    entropy, state = model.entropy_model, model.entropy_model.start(context)
    shifted = entropy.shifted(tokens)
    for j in range(TOKENS):
        step = entropy.advance(shifted[:, j : j + 1], state)
        unknown = tokens.clone()
        unknown[:, j:] = 99.0  # whatever stands there must not matter
        wanted = _decode_by_hand(model, unknown, context)[:, j : j + 1]
        torch.testing.assert_close(step, wanted, rtol=1e-4, atol=1e-5)


def test_steps_may_follow_a_first_pass(model: Temporal) -> None:
    tokens, context = _inputs(model)
    entropy, state = model.entropy_model, model.entropy_model.start(context)
    shifted = entropy.shifted(tokens)
    parts = [entropy.advance(shifted[:, :5], state)]
    parts += [entropy.advance(shifted[:, j : j + 1], state) for j in range(5, TOKENS)]
    wanted = _decode_by_hand(model, tokens, context)
    torch.testing.assert_close(torch.cat(parts, 1), wanted, rtol=1e-4, atol=1e-5)


def test_one_context_serves_all_windows(model: Temporal) -> None:
    tokens, context = _inputs(model)
    entropy = model.entropy_model
    shared = entropy.advance(entropy.shifted(tokens), entropy.start(context[:1]))
    copied = entropy.advance(entropy.shifted(tokens), entropy.start(context[:1].expand(5, -1, -1)))
    torch.testing.assert_close(shared, copied)


def test_first_context_is_the_constant_latent_at_every_window(model: Temporal) -> None:
    blank = model.blank.expand(1, -1, 8, 12)
    everywhere = model.contexts([blank])
    torch.testing.assert_close(model.first_context().expand_as(everywhere), everywhere, rtol=1e-4, atol=1e-5)


def test_context_takes_the_last_two_latents_oldest_first(model: Temporal) -> None:
    a, b, c = (torch.round(3 * torch.randn(1, 64, 8, 8)) for _ in range(3))
    torch.testing.assert_close(model.contexts([a, b, c]), model.contexts([b, c]))
    assert (model.contexts([b, c]) - model.contexts([c, b])).abs().max() > 1e-3
    torch.testing.assert_close(model.contexts([b]), model.contexts([b, b]))


def test_prediction_follows_the_scheme(model: Temporal) -> None:
    """Means of the first token do not depend on the frame; the rest depends on what came before."""
    torch.manual_seed(2)
    a, b = (4 * torch.randn(1, 64, 8, 8) for _ in range(2))
    mean_a, raw, features = model.predict(a, [])
    mean_b = model.predict(b, [])[0]
    assert mean_a.shape == raw.shape == a.shape and features.shape == (1, model.sizes.d_model, 8, 8)
    tokens_a, tokens_b = (model.entropy_model.to_tokens(m) for m in (mean_a, mean_b))
    torch.testing.assert_close(tokens_a[:, 0], tokens_b[:, 0])
    assert (tokens_a[:, 1:] - tokens_b[:, 1:]).abs().max() > 1e-2


def test_quantisation_is_around_the_rounded_mean() -> None:
    model = small("tt")
    y, mean = torch.tensor([0.5, 1.5, 2.4]), torch.tensor([1.2, 0.9, -3.0])
    torch.testing.assert_close(model.quantise(y, mean), torch.tensor([1.0, 1.0, 2.0]))
