"""Identity preference optimization."""

from torch import Tensor


def ipo_loss(policy_logps: Tensor, ref_logps: Tensor, lengths: Tensor, *, beta: float) -> tuple[Tensor, Tensor]:
    """Losses (P,) and detached rewards (P, 2) of P pairs; column 0 is the chosen answer, column 1 the rejected one.

        loss = (h - 1 / (2 tau))^2,   h = 1/|y_w| log pi(y_w|x) / ref(y_w|x) - 1/|y_l| log pi(y_l|x) / ref(y_l|x)

    policy_logps, ref_logps (P, 2): sums over the answer's tokens; lengths (P, 2): their number, |y|. beta, tau in the paper, sets the
    target of the margin: the smaller, the further apart. Raises ValueError when the shapes differ.

    Azar et al. 2023, arXiv:2310.12036v2, Eq. 17, on means over tokens: with sums, the long answers of a batch would own the square.
    """
    if not policy_logps.shape == ref_logps.shape == lengths.shape or policy_logps.shape[1:] != (2,):
        shapes = f"{tuple(policy_logps.shape)}, {tuple(ref_logps.shape)}, {tuple(lengths.shape)}"
        raise ValueError(f"policy_logps, ref_logps, lengths {shapes} must have the same shape (P, 2)")
    mean_logratios = (policy_logps - ref_logps) / lengths
    losses = (mean_logratios[:, 0] - mean_logratios[:, 1] - 1 / (2 * beta)) ** 2
    return losses, beta * mean_logratios.detach()
