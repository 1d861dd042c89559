"""Logits of a decoding step: the likeliest token is that of fp32 logits, whatever is rounded."""

import pytest
import torch

from kernels.linear_logps import linear_logits
from vgpt2.cpu_layout import has_blocks
from vgpt2.generation.head import RoundedHead, head_of

WORDS, WIDTH = 4096, 96
needs_blocks = pytest.mark.skipif(not has_blocks(torch.empty(0, dtype=torch.bfloat16)), reason="oneDNN has no bf16 on this processor")


def drawn(tokens: int, scale: float, *, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    hidden, weight = (torch.randn(n, WIDTH, generator=generator) for n in (tokens, WORDS))
    return hidden.bfloat16(), (weight * scale).bfloat16()


def crowded(hidden: torch.Tensor, weight: torch.Tensor, *, seed: int) -> torch.Tensor:
    """The weight with twenty near copies of the likeliest word of each token, far apart: bf16 logits cannot tell them from each other."""
    generator = torch.Generator().manual_seed(seed)
    likeliest = linear_logits(hidden, weight).argmax(1)
    places = torch.randperm(WORDS, generator=generator)[: 20 * len(likeliest)].view(20, -1)
    near = weight[likeliest].float() * (1 + torch.randn(20, len(likeliest), WIDTH, generator=generator) / 512)
    return weight.index_put((places,), near.bfloat16())


@needs_blocks
@pytest.mark.parametrize("scale", [0.003, 0.3])
@pytest.mark.parametrize("seed", range(4))
def test_the_likeliest_token_is_that_of_fp32_logits(scale, seed):
    hidden, weight = drawn(32, scale, seed=seed)
    weight = crowded(hidden, weight, seed=seed)
    head = head_of(weight)
    assert isinstance(head, RoundedHead)
    logits, exact = head(hidden), linear_logits(hidden, weight)
    best, best_exact = logits.argmax(1), exact.argmax(1)
    torch.testing.assert_close(exact.gather(1, best[:, None]), exact.gather(1, best_exact[:, None]), rtol=1e-6, atol=0)
    torch.testing.assert_close(logits.amax(1), exact.amax(1), rtol=1e-6, atol=1e-7)
    rounded_only = (hidden @ weight.t()).float().argmax(1)
    assert (rounded_only != best_exact).any(), "the crowd shall be too dense for bf16"


@needs_blocks
def test_what_is_rounded_is_off_by_less_than_one_part_in_256():
    hidden, weight = drawn(64, 0.1)
    logits, exact = head_of(weight)(hidden), linear_logits(hidden, weight)
    assert logits.dtype == torch.float32
    torch.testing.assert_close(logits, exact, rtol=2**-8, atol=1e-6)
    torch.testing.assert_close(logits.logsumexp(1), exact.logsumexp(1), rtol=0, atol=1e-3)


@needs_blocks
def test_all_logits_below_zero_and_all_equal_are_logits_too():
    hidden = torch.ones(2, WIDTH, dtype=torch.bfloat16)
    weight = torch.full((WORDS, WIDTH), -1 / 3, dtype=torch.bfloat16)
    weight[77] *= 0.999
    torch.testing.assert_close(head_of(weight)(hidden), linear_logits(hidden, weight))
    assert head_of(weight)(torch.zeros_like(hidden)).eq(0).all()


def test_other_weights_keep_all_logits_in_fp32():
    for weight in (drawn(1, 0.1)[1].float(), drawn(1, 0.1)[1][:-1], drawn(1, 0.1)[1].double()):  # V no multiple of a block
        hidden = drawn(9, 1.0, seed=1)[0].to(weight.dtype)
        logits = head_of(weight)(hidden)
        assert logits.dtype == torch.promote_types(weight.dtype, torch.float32)
        torch.testing.assert_close(logits, linear_logits(hidden, weight), rtol=1e-5, atol=1e-5)
