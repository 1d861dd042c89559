"""ORPO."""

import math

import torch
from torch.testing import assert_close

from vgpt2.losses.orpo import orpo_loss


def test_orpo_by_hand():
    """INVARIANT 17: means."""
    # P(chosen) = 1/2 a token over 3, P(rejected) = 1/5 over 2: odds 1 and 1/4, ratio 4
    # loss = ln 2 - lambda log sigmoid(ln 4) = ln 2 + .5 ln(1 + 1/4)
    logps = torch.tensor([[3 * math.log(0.5), 2 * math.log(0.2)]])
    losses, rewards = orpo_loss(logps, torch.tensor([[3, 2]]), beta=0.5)
    assert_close(losses, torch.tensor([math.log(2) + 0.5 * math.log(1.25)]))
    assert_close(rewards, 0.5 * torch.tensor([[math.log(0.5), math.log(0.2)]]))
    assert not rewards.requires_grad


def test_equal_odds_cost_the_likelihood_plus_lambda_ln_2():
    losses, _ = orpo_loss(torch.tensor([[-2.0, -3.0]]), torch.tensor([[2, 3]]), beta=0.3)
    assert_close(losses, torch.tensor([1 + 0.3 * math.log(2)]))


def test_certain_and_hopeless_answers_have_finite_gradients():
    policy = torch.tensor([[0.0, -1e4], [-1e4, 0.0], [0.0, 0.0]], requires_grad=True)
    losses, _ = orpo_loss(policy, torch.tensor([[1, 1]] * 3), beta=1.0)
    losses.sum().backward()
    assert losses.isfinite().all()
    assert policy.grad.isfinite().all()


def test_gradients_equal_finite_differences():
    logps = torch.tensor([[-0.4, -3.0], [-6.0, -0.2]], dtype=torch.float64, requires_grad=True)
    lengths = torch.tensor([[2, 3], [4, 1]])
    assert torch.autograd.gradcheck(lambda x: orpo_loss(x, lengths, beta=0.7)[0], (logps,))
