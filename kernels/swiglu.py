"""The gated activation of the feed-forward block: the formula, its gradients in plain PyTorch, and the operation that chooses."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable
from torch.nn.functional import silu

from kernels.dispatch import uses_triton


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, elementwise, any one shape. Shazeer 2020, arXiv:2002.05202, Eq. 6 (SwiGLU, beta = 1).

    Keeps gate and up for the backward pass, not silu(gate).
    """
    product: Tensor = SwiGLU.apply(gate, up)
    return product


class SwiGLU(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, gate: Tensor, up: Tensor) -> Tensor:
        ctx.save_for_backward(gate, up)
        if uses_triton(gate):
            from kernels.swiglu_triton import swiglu_triton

            return swiglu_triton(gate, up)
        return silu(gate).mul_(up)  # the reference, without a tensor of its own for silu(gate)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor]:
        gate, up = ctx.saved_tensors
        if uses_triton(gate):
            from kernels.swiglu_triton import swiglu_gradients_triton

            return swiglu_gradients_triton(grad, gate, up)
        return swiglu_gradients(grad, gate, up)


def swiglu_reference(gate: Tensor, up: Tensor) -> Tensor:
    return silu(gate) * up


def swiglu_gradients(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    """d gate = grad * up * silu'(gate) with silu'(z) = s (1 + z (1 - s)), s = sigmoid(z);   d up = grad * silu(gate)."""
    return torch.ops.aten.silu_backward(grad * up, gate), silu(gate).mul_(grad)
