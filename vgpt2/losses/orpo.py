"""Odds ratio preference optimization: supervised fine-tuning and preference in one loss, without a reference."""

import torch
import torch.nn.functional as F
from torch import Tensor


def orpo_loss(policy_logps: Tensor, lengths: Tensor, *, beta: float) -> tuple[Tensor, Tensor]:
    """Losses (P,) and detached rewards (P, 2) of P pairs; column 0 is the chosen answer, column 1 the rejected one.

        loss    = -log P(y_w|x) - lambda log sigmoid(log odds(y_w|x) / odds(y_l|x))
        odds(y) = P(y) / (1 - P(y)),   log P(y|x) = 1/|y| log pi(y|x)

    policy_logps (P, 2): sums over the answer's tokens; lengths (P, 2): their number, |y|. beta, lambda in the paper, weighs the odds
    ratio against the likelihood of the chosen answer (its answer tokens alone). Raises ValueError when the shapes differ.

    Hong et al. 2024, arXiv:2403.07691, the ORPO objective.
    """
    if policy_logps.shape != lengths.shape or policy_logps.shape[1:] != (2,):
        raise ValueError(f"policy_logps {tuple(policy_logps.shape)} and lengths {tuple(lengths.shape)} must have the same shape (P, 2)")
    mean_logps = policy_logps / lengths
    # An answer that is certain in floating point has infinite odds and a gradient of 0 * inf; keep 1 - P(y) one rounding step above 0.
    bounded_logps = mean_logps.clamp(max=-torch.finfo(mean_logps.dtype).eps)
    log_odds = bounded_logps - torch.log(-torch.expm1(bounded_logps))      # (P, 2)
    losses = -mean_logps[:, 0] - beta * F.logsigmoid(log_odds[:, 0] - log_odds[:, 1])
    return losses, beta * mean_logps.detach()
