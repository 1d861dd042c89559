"""The likelihood term beside a preference loss."""

import torch

from vgpt2.losses.rpo import chosen_nll


def test_the_mean_over_the_chosen_answer_by_hand():
    """INVARIANT 17: a mean; the rejected column does not count."""
    logps = torch.tensor([[-4.0, -100.0], [-3.0, -1.0]], requires_grad=True)
    losses = chosen_nll(logps, torch.tensor([[8, 5], [2, 1]]))
    assert losses.tolist() == [0.5, 1.5]
    losses.sum().backward()
    assert logps.grad.tolist() == [[-0.125, 0.0], [-0.5, 0.0]]
