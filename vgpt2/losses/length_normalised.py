"""Length-normalised direct preference optimization."""

import torch.nn.functional as F
from torch import Tensor


def length_normalised_loss(policy_logps: Tensor, ref_logps: Tensor, lengths: Tensor, *, beta: float) -> tuple[Tensor, Tensor]:
    """Losses (P,) and detached rewards (P, 2) of P pairs; column 0 is the chosen answer, column 1 the rejected one.

        loss = -log sigmoid(beta/|y_w| log pi(y_w|x) / ref(y_w|x) - beta/|y_l| log pi(y_l|x) / ref(y_l|x))

    policy_logps, ref_logps (P, 2): sums over the answer's tokens; lengths (P, 2): their number, |y|. A mean is smaller than a sum by
    the length of the answer, so beta is larger than DPO's by about that factor. Raises ValueError when the shapes differ.

    DPO with mean log-ratios: Lambert et al. 2024 (Tulu 3), arXiv:2411.15124, "length-normalized DPO".
    """
    if not policy_logps.shape == ref_logps.shape == lengths.shape or policy_logps.shape[1:] != (2,):
        shapes = f"{tuple(policy_logps.shape)}, {tuple(ref_logps.shape)}, {tuple(lengths.shape)}"
        raise ValueError(f"policy_logps, ref_logps, lengths {shapes} must have the same shape (P, 2)")
    rewards = beta * (policy_logps - ref_logps) / lengths
    losses = -F.logsigmoid(rewards[:, 0] - rewards[:, 1])
    return losses, rewards.detach()
