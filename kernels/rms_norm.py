"""RMS normalisation over the last axis: the formula in plain PyTorch."""

from __future__ import annotations

import torch
from torch import Tensor


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / rms(x) * weight over the last axis, in the dtype of x.

    x (..., D), weight (D,). The mean of squares and the product are taken in fp32 (fp64 stays fp64): a bf16 sum over
    D = 3,584 squares has no correct digit left. Zhang & Sennrich 2019, arXiv:1910.07467, Eq. 4.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps) * weight).to(x.dtype)
