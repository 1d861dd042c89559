"""APO-zero on single answers."""

import math

import torch
from torch.testing import assert_close

from vgpt2.losses.apo import apo_zero_unpaired_loss
from vgpt2.losses.kto import kto_loss


def test_apo_zero_unpaired_by_hand():
    """INVARIANT 17: sums."""
    # beta .5: desirable r = 2 -> 1 - sigmoid(1); undesirable r = 2 -> 3 sigmoid(1)
    losses, rewards = apo_zero_unpaired_loss(
        torch.tensor([-3.0, -3.0]),
        torch.tensor([-5.0, -5.0]),
        torch.tensor([True, False]),
        beta=0.5,
        desirable_weight=1.0,
        undesirable_weight=3.0,
    )
    sigmoid_1 = 1 / (1 + math.exp(-1))
    assert_close(losses, torch.tensor([1 - sigmoid_1, 3 * sigmoid_1]))
    assert_close(rewards, torch.tensor([1.0, 1.0]))
    assert not rewards.requires_grad


def test_it_is_kto_with_the_reference_point_at_zero():
    generator = torch.Generator().manual_seed(0)
    policy, ref = torch.randn(2, 6, generator=generator)
    labels = torch.tensor([True, False] * 3)
    knobs = {"beta": 0.3, "desirable_weight": 1.5, "undesirable_weight": 0.5}
    expected, _ = kto_loss(policy, ref, labels, torch.tensor(0.0), **knobs)
    assert_close(apo_zero_unpaired_loss(policy, ref, labels, **knobs)[0], expected)
