"""Hinge loss."""

import torch
from torch.testing import assert_close

from vgpt2.losses.hinge import hinge_loss


def test_hinge_by_hand():
    """INVARIANT 17: sums."""
    # beta .25: margin = .25 * (1 - -1) = .5 -> 1 - .5
    losses, rewards = hinge_loss(torch.tensor([[-2.0, -5.0]]), torch.tensor([[-3.0, -4.0]]), beta=0.25)
    assert_close(losses, torch.tensor([0.5]))
    assert_close(rewards, torch.tensor([[0.25, -0.25]]))
    assert not rewards.requires_grad


def test_a_pair_beyond_the_margin_has_no_gradient_and_others_have_slope_beta():
    policy = torch.tensor([[4.0, 0.0], [1.0, 0.0]], requires_grad=True)
    losses, _ = hinge_loss(policy, torch.zeros(2, 2), beta=0.5)
    losses.sum().backward()
    assert losses.tolist() == [0.0, 0.5]
    assert policy.grad.tolist() == [[0.0, 0.0], [-0.5, 0.5]]


def test_step_0_is_one():
    logps = torch.tensor([[-3.0, -8.0]])
    assert hinge_loss(logps, logps, beta=0.1)[0].tolist() == [1.0]
