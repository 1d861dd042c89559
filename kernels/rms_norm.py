"""RMS normalisation over the last axis: the formula, its gradients in plain PyTorch, and the operation that chooses."""

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


class RMSNorm(torch.autograd.Function):
    """The same saved tensors, x and weight, whoever computes."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, eps: float) -> Tensor:
        ctx.save_for_backward(x, weight)
        ctx.eps = eps
        if uses_triton(x):
            from kernels.rms_norm_triton import rms_norm_triton

            return rms_norm_triton(x, weight, eps)
        return rms_norm_reference(x, weight, eps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None, None]:
        x, weight = ctx.saved_tensors
        if uses_triton(x):
            from kernels.rms_norm_triton import rms_norm_gradients_triton

            return *rms_norm_gradients_triton(grad, x, weight, ctx.eps, trains_weight=ctx.needs_input_grad[1]), None
        return *rms_norm_gradients(grad, x, weight, ctx.eps, trains_weight=ctx.needs_input_grad[1]), None


def rms_norm_reference(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    return (wide * torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps) * weight).to(x.dtype)


def rms_norm_gradients(grad: Tensor, x: Tensor, weight: Tensor, eps: float, *, trains_weight: bool) -> tuple[Tensor, Tensor | None]:
    """d x = (u - n mean(u n)) / rms with n = x / rms, u = grad * weight;   d weight = sum over the rows of grad * n."""
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    inverse_rms = torch.rsqrt(wide.square().mean(-1, keepdim=True) + eps)
    n = wide * inverse_rms
    u = grad * weight.to(wide.dtype)
    grad_x = (u - n * (u * n).mean(-1, keepdim=True)) * inverse_rms
    grad_weight = (grad * n).flatten(0, -2).sum(0).to(weight.dtype) if trains_weight else None
    return grad_x.to(x.dtype), grad_weight
