"""DoRA: a weight's rows keep a trained length m while LoRA turns their direction, y = c (W x + s B A x) + b with c = m / ||W + s B A||.

The norm of each row is a constant to the gradient. With dropout W x is of the whole input; PEFT takes (c - 1) W x of the
dropped one, in the mean the same. Liu et al. 2024, arXiv:2402.09353, Eq. 5 and section 4.3.
"""

import torch
from torch import Tensor


@torch.no_grad()
def row_norms(weight: Tensor, squares: Tensor, lora_A: Tensor, lora_B: Tensor, scale: float) -> Tensor:
    """||W + s B A|| of each row (out,), without another matrix of W's size; above 0 even for a row of zeros.

    ||W + s B A||^2 = ||W||^2 + 2 s <B, W A^T> + s^2 <B, B A A^T>, row by row; squares (out,) holds ||W||^2. W A^T (out, R) is taken in the
    dtype of weight, everything else in that of B.
    """
    with torch.autocast(weight.device.type, enabled=False):
        weight_A = (weight @ lora_A.to(weight.dtype).t()).to(lora_B.dtype)  # (out, R)
        update = lora_B * (2 * weight_A + scale * lora_B @ (lora_A @ lora_A.t()))
        return (squares + scale * update.sum(1)).clamp_min(torch.finfo(squares.dtype).tiny).sqrt()
