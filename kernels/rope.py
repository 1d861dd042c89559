"""Rotary position embedding: tables of cosines and sines, and the rotation, in plain PyTorch.

Hugging Face's layout: channel i turns together with channel i + Dh/2 (not with its neighbour, as in the paper's figure
and in llama.cpp's files; the two differ by a fixed permutation of the rows of q_proj and k_proj).
"""

from __future__ import annotations

import torch
from torch import Tensor


def rope_tables(position_ids: Tensor, inv_freq: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines (T, 1, Dh/2) in fp32 of position_ids (T,) times inv_freq (Dh/2,), both multiplied by `scale`.

    fp32 whatever the model's dtype: bf16 holds no integer above 256 exactly, so bf16 angles would merge neighbours.
    """
    angles = position_ids[:, None, None].float() * inv_freq.float()  # (T, 1, Dh/2)
    return angles.cos() * scale, angles.sin() * scale


def rope(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (T, H, Dh) with each pair of channels (i, i + Dh/2) turned by its angle, in the dtype of x.

    The products are taken in fp32 (fp64 stays fp64) and rounded once. Su et al. 2021, arXiv:2104.09864, Eq. 34.
    """
    first, second = x.chunk(2, dim=-1)
    return torch.cat((first * cos - second * sin, second * cos + first * sin), dim=-1).to(x.dtype)
