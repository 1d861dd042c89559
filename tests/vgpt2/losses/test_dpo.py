"""DPO, its conservative form and its length-normalised sister."""

import math

import torch
from torch.testing import assert_close

from vgpt2.losses.dpo import dpo_loss
from vgpt2.losses.length_normalised import length_normalised_loss

POLICY = torch.tensor([[-2.0, -5.0]])
REF = torch.tensor([[-3.0, -4.0]])


def test_dpo_by_hand():
    # beta 0.5: margin = 0.5 * ((-2 - -3) - (-5 - -4)) = 1 -> loss = log(1 + e^-1); rewards 0.5 * 1 and 0.5 * -1
    losses, rewards = dpo_loss(POLICY, REF, beta=0.5)
    assert_close(losses, torch.tensor([math.log1p(math.exp(-1))]))
    assert_close(rewards, torch.tensor([[0.5, -0.5]]))
    assert not rewards.requires_grad


def test_label_smoothing_by_hand():
    # margin 1, eps 0.1: 0.9 log(1 + e^-1) + 0.1 log(1 + e)
    losses, _ = dpo_loss(POLICY, REF, beta=0.5, label_smoothing=0.1)
    assert_close(losses, torch.tensor([0.9 * math.log1p(math.exp(-1)) + 0.1 * math.log1p(math.e)]))


def test_the_gradient_by_hand():
    # d loss / d chosen = -beta sigmoid(-margin) = -0.5 / (1 + e), d loss / d rejected is its mirror
    policy = POLICY.clone().requires_grad_()
    dpo_loss(policy, REF, beta=0.5)[0].sum().backward()
    slope = 0.5 / (1 + math.e)
    assert_close(policy.grad, torch.tensor([[-slope, slope]]))


def test_loss_is_ln_2_when_the_policy_is_the_reference():
    """INVARIANT 10, the loss's share of it."""
    logps = torch.tensor([[-17.3, -900.1], [-0.5, -0.25]], dtype=torch.float64)
    for smoothing in (0.0, 0.2):
        losses, rewards = dpo_loss(logps, logps, beta=0.1, label_smoothing=smoothing)
        assert_close(losses, torch.full((2,), math.log(2), dtype=torch.float64), atol=1e-12, rtol=0)
        assert torch.equal(rewards, torch.zeros(2, 2, dtype=torch.float64))


def test_swapping_chosen_and_rejected_mirrors_the_loss():
    # -log sigmoid(m) - -log sigmoid(-m) = -m
    forward, rewards = dpo_loss(POLICY, REF, beta=0.5)
    swapped, swapped_rewards = dpo_loss(POLICY.flip(1), REF.flip(1), beta=0.5)
    assert_close(forward - swapped, -(rewards[:, 0] - rewards[:, 1]))
    assert_close(swapped_rewards, rewards.flip(1))


def test_huge_margins_stay_finite():
    policy = torch.tensor([[0.0, -1e5], [-1e5, 0.0]], requires_grad=True)
    losses, _ = dpo_loss(policy, torch.zeros(2, 2), beta=1.0)
    losses.sum().backward()
    assert losses.tolist() == [0.0, 1e5]
    assert_close(policy.grad, torch.tensor([[0.0, 0.0], [-1.0, 1.0]]))


def test_length_normalised_by_hand():
    """INVARIANT 17: means."""
    # beta 2: rewards 2 * 1/2 = 1 and 2 * -1/4 = -.5 -> margin 1.5
    losses, rewards = length_normalised_loss(POLICY, REF, torch.tensor([[2, 4]]), beta=2.0)
    assert_close(losses, torch.tensor([math.log1p(math.exp(-1.5))]))
    assert_close(rewards, torch.tensor([[1.0, -0.5]]))


def test_dpo_ignores_how_a_sum_is_spread_over_tokens_and_its_sister_does_not():
    """INVARIANT 17: sums in DPO, means in the other."""
    short, _ = length_normalised_loss(POLICY, REF, torch.tensor([[1, 1]]), beta=0.5)
    long, _ = length_normalised_loss(POLICY, REF, torch.tensor([[9, 9]]), beta=0.5)
    assert_close(short, dpo_loss(POLICY, REF, beta=0.5)[0])
    assert long > short
