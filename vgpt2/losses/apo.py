"""Anchored preference optimization on single answers."""

import torch
from torch import Tensor


def apo_zero_unpaired_loss(
    policy_logps: Tensor,
    ref_logps: Tensor,
    is_desirable: Tensor,
    *,
    beta: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> tuple[Tensor, Tensor]:
    """Losses (N,) and detached rewards (N,) of N answers.

        loss = lambda_D (1 - sigmoid(beta r))   for a desirable answer
               lambda_U sigmoid(beta r)         for an undesirable one,   r = log pi(y|x) / ref(y|x)

    policy_logps, ref_logps (N,): sums over the answer's tokens; is_desirable (N,) bool. It is KTO anchored at 0 instead of at the
    KL divergence: desirable answers rise above the reference, undesirable ones fall below it. Raises ValueError when the shapes differ.

    D'Oosterlinck et al. 2024, arXiv:2408.06266, APO-zero, each term taken alone.
    """
    if not policy_logps.shape == ref_logps.shape == is_desirable.shape or policy_logps.dim() != 1:
        shapes = f"{tuple(policy_logps.shape)}, {tuple(ref_logps.shape)}, {tuple(is_desirable.shape)}"
        raise ValueError(f"policy_logps, ref_logps, is_desirable {shapes} must have the same shape (N,)")
    logratios = policy_logps - ref_logps                                            # r
    weights = torch.where(is_desirable, desirable_weight, undesirable_weight)       # lambda_y
    losses = weights * torch.sigmoid(beta * torch.where(is_desirable, -logratios, logratios))
    return losses, beta * logratios.detach()
