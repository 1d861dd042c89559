"""Rotary position embedding: tables of cosines and sines, the rotation in plain PyTorch, and the operation that chooses.

Hugging Face's layout: channel i turns together with channel i + Dh/2 (not with its neighbour, as in the paper's figure
and in llama.cpp's files; the two differ by a fixed permutation of the rows of q_proj and k_proj).
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kernels.dispatch import uses_triton


def rope_tables(position_ids: Tensor, inv_freq: Tensor, scale: float) -> tuple[Tensor, Tensor]:
    """Cosines and sines (T, 1, Dh/2) in fp32 of position_ids (T,) times inv_freq (Dh/2,), both multiplied by `scale`.

    fp32 whatever the model's dtype: bf16 holds no integer above 256 exactly, so bf16 angles would merge neighbours.
    """
    angles = position_ids[:, None, None].float() * inv_freq.float()  # (T, 1, Dh/2)
    return angles.cos() * scale, angles.sin() * scale


def rope(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """q (T, H, Dh) and k (T, K, Dh) with each pair of channels (i, i + Dh/2) turned by its angle, in their own dtypes.

    The products are taken in fp32 (fp64 stays fp64) and rounded once. Su et al. 2021, arXiv:2104.09864, Eq. 34. Keeps the tables only.
    The memory of q and k may be reused for the results: whoever gave them reads them no more.
    """
    turned: tuple[Tensor, Tensor] = Rope.apply(q, k, cos, sin)
    return turned


class Rope(torch.autograd.Function):
    """A rotation's gradient is the rotation back: sin with its sign changed."""

    @staticmethod
    def forward(ctx: Any, q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
        ctx.save_for_backward(cos, sin)
        if uses_triton(q):
            from kernels.rope_triton import rope_triton

            return rope_triton(q, k, cos, sin)
        return rope_reference(q, cos, sin), rope_reference(k, cos, sin)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_q: Tensor, grad_k: Tensor) -> tuple[Tensor, Tensor, None, None]:
        cos, sin = ctx.saved_tensors
        if uses_triton(grad_q):
            from kernels.rope_triton import rope_gradients_triton

            return *rope_gradients_triton(grad_q, grad_k, cos, sin), None, None
        return rope_reference(grad_q, cos, -sin), rope_reference(grad_k, cos, -sin), None, None


def rope_reference(x: Tensor, cos: Tensor, sin: Tensor) -> Tensor:
    """x (T, H, Dh), one of q and k, turned."""
    first, second = x.to(torch.promote_types(x.dtype, cos.dtype)).chunk(2, dim=-1)
    turned_first = (first * cos).addcmul_(second, sin, value=-1)  # in place: no tensor for a second product
    turned_second = (second * cos).addcmul_(first, sin)
    return torch.cat((turned_first, turned_second), dim=-1).to(x.dtype)
