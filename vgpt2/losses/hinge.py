"""Hinge loss on the DPO margin."""

import torch
from torch import Tensor


def hinge_loss(policy_logps: Tensor, ref_logps: Tensor, *, beta: float) -> tuple[Tensor, Tensor]:
    """Losses (P,) and detached rewards (P, 2) of P pairs; column 0 is the chosen answer, column 1 the rejected one.

        loss = max(0, 1 - m),   m = beta (log pi(y_w|x) / ref(y_w|x) - log pi(y_l|x) / ref(y_l|x))

    policy_logps, ref_logps (P, 2): sums over the answer's tokens. A pair whose margin m has reached 1 no longer pulls.
    Raises ValueError when the shapes differ.

    Zhao et al. 2023 (SLiC-HF), arXiv:2305.10425, normalised by the reference as in Liu et al. 2023 (RSO), arXiv:2309.06657.
    """
    if policy_logps.shape != ref_logps.shape or policy_logps.shape[1:] != (2,):
        raise ValueError(f"policy_logps {tuple(policy_logps.shape)} and ref_logps {tuple(ref_logps.shape)} must have the same shape (P, 2)")
    rewards = beta * (policy_logps - ref_logps)
    losses = torch.relu(1 - (rewards[:, 0] - rewards[:, 1]))
    return losses, rewards.detach()
