"""IPO."""

import torch
from torch.testing import assert_close

from vgpt2.losses.ipo import ipo_loss


def test_ipo_by_hand():
    """INVARIANT 17: means."""
    # log-ratios 1 and -1 over 2 and 4 tokens: h = 1/2 - -1/4 = .75; tau .5: target 1 -> (.75 - 1)^2 = .0625; rewards .5 * (.5, -.25)
    losses, rewards = ipo_loss(torch.tensor([[-2.0, -5.0]]), torch.tensor([[-3.0, -4.0]]), torch.tensor([[2, 4]]), beta=0.5)
    assert_close(losses, torch.tensor([0.0625]))
    assert_close(rewards, torch.tensor([[0.25, -0.125]]))
    assert not rewards.requires_grad


def test_the_loss_is_zero_exactly_at_the_target_margin_and_rises_beyond_it():
    # tau .25: target 2; one token each, so h is the difference of the log-ratios
    ref, ones = torch.zeros(3, 2), torch.ones(3, 2)
    losses, _ = ipo_loss(torch.tensor([[1.0, -1.0], [2.0, -1.0], [1.0, 0.0]]), ref, ones, beta=0.25)
    assert losses.tolist() == [0.0, 1.0, 1.0]


def test_step_0_is_the_square_of_the_target():
    logps = torch.tensor([[-3.0, -8.0]])
    losses, rewards = ipo_loss(logps, logps, torch.tensor([[3, 2]]), beta=0.1)
    assert_close(losses, torch.tensor([25.0]))  # (1 / .2)^2
    assert torch.equal(rewards, torch.zeros(1, 2))
