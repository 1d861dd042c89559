"""SimPO."""

import math

import torch
from torch.testing import assert_close

from vgpt2.losses.simpo import simpo_loss


def test_simpo_by_hand():
    """INVARIANT 17: means."""
    # beta 2: rewards 2 * -4/4 = -2 and 2 * -6/3 = -4; gamma .5: margin 2 - .5 = 1.5
    losses, rewards = simpo_loss(torch.tensor([[-4.0, -6.0]]), torch.tensor([[4, 3]]), beta=2.0, gamma=0.5)
    assert_close(losses, torch.tensor([math.log1p(math.exp(-1.5))]))
    assert_close(rewards, torch.tensor([[-2.0, -4.0]]))
    assert not rewards.requires_grad


def test_equal_means_cost_log_of_one_plus_e_to_gamma():
    losses, _ = simpo_loss(torch.tensor([[-2.0, -5.0]]), torch.tensor([[2, 5]]), beta=2.0, gamma=1.0)
    assert_close(losses, torch.tensor([math.log1p(math.e)]))
    losses, _ = simpo_loss(torch.tensor([[-2.0, -5.0]]), torch.tensor([[2, 5]]), beta=2.0, gamma=0.0)
    assert_close(losses, torch.tensor([math.log(2)]))


def test_swapping_chosen_and_rejected_mirrors_the_loss_without_gamma():
    logps, lengths = torch.tensor([[-4.0, -6.0]]), torch.tensor([[4, 3]])
    forward, rewards = simpo_loss(logps, lengths, beta=2.0, gamma=0.0)
    swapped, _ = simpo_loss(logps.flip(1), lengths.flip(1), beta=2.0, gamma=0.0)
    assert_close(forward - swapped, -(rewards[:, 0] - rewards[:, 1]))
