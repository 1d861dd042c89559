"""Direct preference optimization."""

import torch.nn.functional as F
from torch import Tensor


def dpo_loss(policy_logps: Tensor, ref_logps: Tensor, *, beta: float, label_smoothing: float = 0.0) -> tuple[Tensor, Tensor]:
    """Losses (P,) and detached rewards (P, 2) of P pairs; column 0 is the chosen answer, column 1 the rejected one.

        loss = -(1 - eps) log sigmoid(m) - eps log sigmoid(-m)
        m    = beta (log pi(y_w|x) / ref(y_w|x) - log pi(y_l|x) / ref(y_l|x))

    policy_logps, ref_logps (P, 2): sums over the answer's tokens. beta > 0 is the strength of the tie to the reference;
    label_smoothing, eps, in [0, .5) is the share of pairs taken to be the wrong way round. Raises ValueError when the shapes differ.

    Rafailov et al. 2023, arXiv:2305.18290, Eq. 7; with label smoothing: Mitchell 2023, "A note on DPO with noisy preferences", Eq. 3.
    """
    if policy_logps.shape != ref_logps.shape or policy_logps.shape[1:] != (2,):
        raise ValueError(f"policy_logps {tuple(policy_logps.shape)} and ref_logps {tuple(ref_logps.shape)} must have the same shape (P, 2)")
    rewards = beta * (policy_logps - ref_logps)
    pair_margin = rewards[:, 0] - rewards[:, 1]
    losses = -(1 - label_smoothing) * F.logsigmoid(pair_margin) - label_smoothing * F.logsigmoid(-pair_margin)
    return losses, rewards.detach()
