"""KTO."""

import math

import pytest
import torch
from torch import Tensor
from torch.testing import assert_close

from vgpt2.losses.kto import kto_loss


def sigmoid(x: float) -> float:
    return 1 / (1 + math.exp(-x))


def test_kto_by_hand():
    """INVARIANT 17: sums."""
    # beta .5, z0 1; desirable r = 3: 1 - sigmoid(.5 (3 - 1)); undesirable r = -1: 1 - sigmoid(.5 (1 - -1)), weights 1 and 2
    losses, rewards = kto_loss(
        torch.tensor([-2.0, -7.0]),
        torch.tensor([-5.0, -6.0]),
        torch.tensor([True, False]),
        torch.tensor(1.0),
        beta=0.5,
        desirable_weight=1.0,
        undesirable_weight=2.0,
    )
    assert_close(losses, torch.tensor([1 - sigmoid(1), 2 * (1 - sigmoid(1))]))
    assert_close(rewards, torch.tensor([1.5, -0.5]))
    assert not rewards.requires_grad


def weigh(policy: Tensor, is_desirable: list[bool], kl: Tensor, *, desirable: float = 1.0, undesirable: float = 1.0) -> Tensor:
    labels = torch.tensor(is_desirable)
    losses, _ = kto_loss(
        policy, torch.zeros_like(policy), labels, kl, beta=0.5, desirable_weight=desirable, undesirable_weight=undesirable
    )
    return losses


def test_step_0_costs_half_a_weight():
    assert_close(weigh(torch.zeros(2), [True, False], torch.tensor(0.0), undesirable=3.0), torch.tensor([0.5, 1.5]))


@pytest.mark.parametrize("label", [True, False])
def test_one_class_alone_is_finite_in_loss_and_gradient(label: bool):
    """INVARIANT 21."""
    policy = torch.tensor([0.0, 1e4, -1e4], requires_grad=True)
    losses = weigh(policy, [label] * 3, torch.tensor(2.0))
    losses.sum().backward()
    assert losses.isfinite().all()
    assert policy.grad.isfinite().all()


def test_each_weight_scales_its_own_class_alone():
    """INVARIANT 21, by differences."""
    policy, labels, kl = torch.tensor([0.3, -0.2, 1.0]), [True, False, True], torch.tensor(0.1)
    once = weigh(policy, labels, kl)
    assert_close(weigh(policy, labels, kl, desirable=4.0) - once, once * torch.tensor([3.0, 0.0, 3.0]))
    assert_close(weigh(policy, labels, kl, undesirable=4.0) - once, once * torch.tensor([0.0, 3.0, 0.0]))


def test_no_gradient_flows_through_kl():
    """INVARIANT 20."""
    policy, kl = torch.zeros(2, requires_grad=True), torch.tensor(0.5, requires_grad=True)
    weigh(policy, [True, False], kl).sum().backward()
    assert kl.grad is None
    assert policy.grad.abs().min() > 0


def test_gradient_by_hand():
    # d/dr w (1 - sigmoid(beta (r - z0))) = -w beta s (1 - s); mirrored for an undesirable answer
    policy = torch.tensor([1.0, 1.0], requires_grad=True)
    weigh(policy, [True, False], torch.tensor(0.0)).sum().backward()
    slope = 0.5 * sigmoid(0.5) * (1 - sigmoid(0.5))
    assert_close(policy.grad, torch.tensor([-slope, slope]))


def test_saturated_answers_keep_a_correct_small_loss():
    # 1 - sigmoid(20) in fp32 is 0 by subtraction; e^-20 / (1 + e^-20) is not
    losses = weigh(torch.tensor([40.0]), [True], torch.tensor(0.0))
    assert_close(losses, torch.tensor([math.exp(-20) / (1 + math.exp(-20))]), rtol=1e-5, atol=0)


def test_shapes_must_agree():
    with pytest.raises(ValueError, match=r"must have the shapes"):
        weigh(torch.zeros(2), [True, False], torch.zeros(1))
