"""Kahneman-Tversky optimization: single answers, each desirable or not."""

import torch
from torch import Tensor


def kto_loss(
    policy_logps: Tensor,
    ref_logps: Tensor,
    is_desirable: Tensor,
    kl: Tensor,
    *,
    beta: float,
    desirable_weight: float,
    undesirable_weight: float,
) -> tuple[Tensor, Tensor]:
    """Losses (N,) and detached rewards (N,) of N answers.

        loss = lambda_D (1 - sigmoid(beta (r - z_0)))   for a desirable answer
               lambda_U (1 - sigmoid(beta (z_0 - r)))   for an undesirable one,   r = log pi(y|x) / ref(y|x)

    policy_logps, ref_logps (N,): sums over the answer's tokens; is_desirable (N,) bool; kl (): z_0 >= 0, the mean of
    log pi(y'|x) / ref(y'|x) over mismatched answers y' of the whole optimizer step, clamped at 0. No gradient flows through kl.
    Raises ValueError when the shapes differ.

    Ethayarajh et al. 2024, arXiv:2402.01306, the KTO loss; the paper's constant lambda_y is left out, so a perfect answer costs 0.
    """
    if not policy_logps.shape == ref_logps.shape == is_desirable.shape or policy_logps.dim() != 1 or kl.dim() != 0:
        shapes = f"{tuple(policy_logps.shape)}, {tuple(ref_logps.shape)}, {tuple(is_desirable.shape)}, {tuple(kl.shape)}"
        raise ValueError(f"policy_logps, ref_logps, is_desirable, kl {shapes} must have the shapes (N,), (N,), (N,) and ()")
    logratios = policy_logps - ref_logps                                            # r
    gain = torch.where(is_desirable, logratios - kl.detach(), kl.detach() - logratios)
    weights = torch.where(is_desirable, desirable_weight, undesirable_weight)       # lambda_y
    losses = weights * torch.sigmoid(-beta * gain)      # 1 - sigmoid(v), without the cancellation near 0
    return losses, beta * logratios.detach()
