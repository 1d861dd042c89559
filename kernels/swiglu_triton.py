"""SwiGLU in Triton: forward and both gradients in one launch each.

    y = silu(g) u,   dg = dy u s (1 + g (1 - s)),   du = dy g s,   s = sigmoid(g)

Memory traffic an element: 2 reads and 1 write forward, 3 reads and 2 writes backward; eager PyTorch moves 5 and 12.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

BLOCK = 1024  # elements a program: 8 a thread, 16 bytes of a 16-bit tensor


@triton.jit
def _forward(gate_ptr, up_ptr, y_ptr, numel, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < numel
    gate = tl.load(gate_ptr + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(up_ptr + at, mask=inside, other=0.0).to(tl.float32)
    tl.store(y_ptr + at, gate * tl.sigmoid(gate) * up, mask=inside)


@triton.jit
def _backward(grad_ptr, gate_ptr, up_ptr, grad_gate_ptr, grad_up_ptr, numel, BLOCK: tl.constexpr):  # type: ignore[no-untyped-def]
    at = tl.program_id(0).to(tl.int64) * BLOCK + tl.arange(0, BLOCK)
    inside = at < numel
    grad = tl.load(grad_ptr + at, mask=inside, other=0.0).to(tl.float32)
    gate = tl.load(gate_ptr + at, mask=inside, other=0.0).to(tl.float32)
    up = tl.load(up_ptr + at, mask=inside, other=0.0).to(tl.float32)
    s = tl.sigmoid(gate)
    tl.store(grad_gate_ptr + at, grad * up * s * (1 + gate * (1 - s)), mask=inside)
    tl.store(grad_up_ptr + at, grad * gate * s, mask=inside)


def swiglu_triton(gate: Tensor, up: Tensor) -> Tensor:
    gate, up = gate.contiguous(), up.contiguous()
    y = torch.empty_like(gate)
    if y.numel():
        _forward[(triton.cdiv(y.numel(), BLOCK),)](gate, up, y, y.numel(), BLOCK=BLOCK)
    return y


def swiglu_gradients_triton(grad: Tensor, gate: Tensor, up: Tensor) -> tuple[Tensor, Tensor]:
    grad, gate, up = grad.contiguous(), gate.contiguous(), up.contiguous()
    grad_gate, grad_up = torch.empty_like(gate), torch.empty_like(up)
    if grad.numel():
        _backward[(triton.cdiv(grad.numel(), BLOCK),)](grad, gate, up, grad_gate, grad_up, grad.numel(), BLOCK=BLOCK)
    return grad_gate, grad_up
