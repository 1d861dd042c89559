"""Supervised fine-tuning loss."""

import math

import pytest
import torch
import torch.nn.functional as F

from vgpt2.losses.sft import sft_loss


def test_one_loss_a_label_token_by_hand():
    # two labels with probability 1/2 and 1/8: -ln(1/2) = ln 2, -ln(1/8) = 3 ln 2
    losses = sft_loss(torch.tensor([0.0, math.log(0.5), 0.0, math.log(0.125)]), torch.tensor([-100, 3, -100, 7]))
    assert torch.allclose(losses, torch.tensor([math.log(2), 3 * math.log(2)]))


def test_sum_equals_cross_entropy():
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(9, 11, dtype=torch.float64, generator=generator)
    labels = torch.tensor([-100, 3, 0, 10, -100, -100, 1, 2, -100])
    token_logps = logits.log_softmax(-1).gather(-1, labels.clamp(min=0)[:, None])[:, 0] * (labels != -100)
    expected = F.cross_entropy(logits, labels, reduction="sum")
    assert torch.allclose(sft_loss(token_logps, labels).sum(), expected, atol=1e-12, rtol=0)


def test_no_label_gives_an_empty_loss_with_zero_gradient():
    """INVARIANT 22."""
    token_logps = torch.zeros(3, requires_grad=True)
    losses = sft_loss(token_logps, torch.full((3,), -100))
    assert losses.shape == (0,)
    losses.sum().backward()
    assert torch.equal(token_logps.grad, torch.zeros(3))


def test_only_label_tokens_receive_a_gradient():
    """INVARIANT 6, the loss's share of it."""
    token_logps = torch.tensor([-1.0, -2.0, -3.0], requires_grad=True)
    sft_loss(token_logps, torch.tensor([4, -100, 0])).sum().backward()
    assert token_logps.grad.tolist() == [-1, 0, -1]


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"token_logps \(2,\) and labels \(3,\)"):
        sft_loss(torch.zeros(2), torch.zeros(3, dtype=torch.int64))
