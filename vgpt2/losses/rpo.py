"""The likelihood term that holds the chosen answer up beside a preference loss."""

from torch import Tensor


def chosen_nll(policy_logps: Tensor, lengths: Tensor) -> Tensor:
    """Negative mean log-probability of each pair's chosen answer, (P,): add it to a preference loss with a weight alpha.

        rpo loss = preference loss - alpha/|y_w| log pi(y_w|x)

    policy_logps (P, 2): sums over the answer's tokens; lengths (P, 2): their number, |y|; column 0 is the chosen answer.
    Raises ValueError when the shapes differ.

    Pang et al. 2024, "Iterative reasoning preference optimization", arXiv:2404.19733, the NLL term of DPO + NLL.
    """
    if policy_logps.shape != lengths.shape or policy_logps.shape[1:] != (2,):
        raise ValueError(f"policy_logps {tuple(policy_logps.shape)} and lengths {tuple(lengths.shape)} must have the same shape (P, 2)")
    return -policy_logps[:, 0] / lengths[:, 0]
