"""RMS normalisation over the last axis, alone or of a sum: the formula, its gradients in plain PyTorch, the operations that choose."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kernels.dispatch import uses_triton


def rms_norm(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """x / rms(x) * weight over the last axis, in the dtype of x.

    x (..., D), weight (D,). The mean of squares and the product are taken in fp32 (fp64 stays fp64): a bf16 sum over
    D = 3,584 squares has no correct digit left. Zhang & Sennrich 2019, arXiv:1910.07467, Eq. 4. Keeps x for the backward pass.
    """
    y: Tensor = RMSNorm.apply(x, weight, eps)
    return y


def add_rms_norm(x: Tensor, update: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
    """x + update, the residual stream, and its norm: two times (..., D) in the dtype of the sum. Keeps the sum for the backward pass."""
    total, y = AddRMSNorm.apply(x, update, weight, eps)
    return total, y


class RMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        if uses_triton(x):
            from kernels.rms_norm_triton import rms_norm_triton

            return rms_norm_triton(x, weight, eps)[1]
        return rms_norm_reference(x, weight, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        if uses_triton(x):
            from kernels.rms_norm_triton import rms_norm_gradients_triton

            return *rms_norm_gradients_triton(grad, x, weight, ctx.eps, trains_weight=ctx.needs_input_grad[1]), None
        return *rms_norm_gradients(grad, x, weight, ctx.eps, trains_weight=ctx.needs_input_grad[1]), None


class AddRMSNorm(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, update: Tensor, weight: Tensor, eps: float) -> tuple[Tensor, Tensor]:
        if uses_triton(x):
            from kernels.rms_norm_triton import rms_norm_triton

            total, y = rms_norm_triton(x, weight, eps, update)
        else:
            total = x + update
            y = rms_norm_reference(total, weight, eps)
        ctx.save_for_backward(total, weight)
        ctx.eps, ctx.dtypes = eps, (x.dtype, update.dtype)
        return total, y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad_total: Tensor, grad: Tensor) -> tuple[Tensor, Tensor, Tensor | None, None]:
        total, weight = ctx.saved_tensors
        trains_weight = ctx.needs_input_grad[2]
        if uses_triton(total):
            from kernels.rms_norm_triton import rms_norm_gradients_triton

            both, grad_weight = rms_norm_gradients_triton(grad, total, weight, ctx.eps, grad_total=grad_total, trains_weight=trains_weight)
        else:
            both, grad_weight = rms_norm_gradients(grad, total, weight, ctx.eps, trains_weight=trains_weight)
            both = both + grad_total
        return both.to(ctx.dtypes[0]), both.to(ctx.dtypes[1]), grad_weight, None


def rms_norm_reference(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * _inverse_rms(wide, eps)).mul_(weight).to(x.dtype)


def _inverse_rms(wide: Tensor, eps: float) -> Tensor:
    """(..., 1): 1 / sqrt(mean of squares + eps); the norm makes no tensor of squares."""
    return torch.rsqrt(torch.linalg.vector_norm(wide, dim=-1, keepdim=True).square() / wide.shape[-1] + eps)


def rms_norm_gradients(grad: Tensor, x: Tensor, weight: Tensor, eps: float, *, trains_weight: bool) -> tuple[Tensor, Tensor | None]:
    """d x = (u - n mean(u n)) / rms with n = x / rms, u = grad * weight;   d weight = sum over the rows of grad * n."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    inverse_rms = _inverse_rms(wide, eps)
    n = wide * inverse_rms
    u = grad * weight.to(wide.dtype)
    grad_x = (u - n * (u * n).mean(-1, keepdim=True)) * inverse_rms
    grad_weight = (grad * n).flatten(0, -2).sum(0).to(weight.dtype) if trains_weight else None
    return grad_x.to(x.dtype), grad_weight
