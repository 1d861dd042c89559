"""Simple preference optimization: length-normalised and without a reference."""

import torch.nn.functional as F
from torch import Tensor


def simpo_loss(policy_logps: Tensor, lengths: Tensor, *, beta: float, gamma: float) -> tuple[Tensor, Tensor]:
    """Losses (P,) and detached rewards (P, 2) of P pairs; column 0 is the chosen answer, column 1 the rejected one.

        loss = -log sigmoid(beta/|y_w| log pi(y_w|x) - beta/|y_l| log pi(y_l|x) - gamma)

    policy_logps (P, 2): sums over the answer's tokens; lengths (P, 2): their number, |y|. gamma >= 0 is the margin the chosen answer
    shall win by, in units of the reward (the paper tunes gamma / beta). Raises ValueError when the shapes differ.

    Meng et al. 2024, arXiv:2405.14734, the SimPO objective.
    """
    if policy_logps.shape != lengths.shape or policy_logps.shape[1:] != (2,):
        raise ValueError(f"policy_logps {tuple(policy_logps.shape)} and lengths {tuple(lengths.shape)} must have the same shape (P, 2)")
    rewards = beta * policy_logps / lengths
    losses = -F.logsigmoid(rewards[:, 0] - rewards[:, 1] - gamma)
    return losses, rewards.detach()
