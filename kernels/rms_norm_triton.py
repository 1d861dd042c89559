"""RMS normalisation in Triton, alone or of a sum, forward and backward, one launch each.

    n = x / rms(x),  y = n w
    dx = (u - n mean(u n)) / rms(x) + what comes to x from elsewhere,  u = dy w;   dw = sum over the rows of dy n

A program holds whole rows, so each is read once; the rms is computed again in the backward pass instead of kept. Memory traffic an element:
1 read and 1 write forward (of a sum: 2 and 2), 2 reads (of a sum: 3) and 1 write backward. Each program adds its rows' share of dw in
registers and writes it once.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor

TILE = 4096  # elements a program at least: short rows (a head's 128 channels) go many to a program
PARTS = 1024  # programs that share the sum of dw: several for each multiprocessor


@triton.jit
def _forward(  # type: ignore[no-untyped-def]
    x_ptr, update_ptr, weight_ptr, total_ptr, y_ptr, rows, width, eps, OF_SUM: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64) * ROWS + tl.arange(0, ROWS)[:, None]
    channel = tl.arange(0, WIDTH)[None, :]
    at, inside = row * width + channel, (row < rows) & (channel < width)
    x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
    if OF_SUM:
        total = (x + tl.load(update_ptr + at, mask=inside, other=0.0).to(tl.float32)).to(total_ptr.dtype.element_ty)
        tl.store(total_ptr + at, total, mask=inside)
        x = total.to(tl.float32)  # the norm of what is kept, rounded as it is
    weight = tl.load(weight_ptr + channel, mask=channel < width, other=0.0).to(tl.float32)
    inverse_rms = 1 / tl.sqrt(tl.sum(x * x, 1) / width + eps)
    tl.store(y_ptr + at, x * inverse_rms[:, None] * weight, mask=inside)


@triton.jit
def _backward(  # type: ignore[no-untyped-def]
    grad_ptr, grad_total_ptr, x_ptr, weight_ptr, grad_x_ptr, parts_ptr, rows, width, eps,
    OF_SUM: tl.constexpr, TRAINS_WEIGHT: tl.constexpr, ROWS: tl.constexpr, WIDTH: tl.constexpr,
):  # fmt: skip
    channel = tl.arange(0, WIDTH)[None, :]
    weight = tl.load(weight_ptr + channel, mask=channel < width, other=0.0).to(tl.float32)
    grad_weight = tl.zeros((WIDTH,), tl.float32)
    for start in range(tl.program_id(0) * ROWS, rows, tl.num_programs(0) * ROWS):
        row = (start + tl.arange(0, ROWS)).to(tl.int64)[:, None]
        at, inside = row * width + channel, (row < rows) & (channel < width)
        x = tl.load(x_ptr + at, mask=inside, other=0.0).to(tl.float32)
        grad = tl.load(grad_ptr + at, mask=inside, other=0.0).to(tl.float32)
        inverse_rms = (1 / tl.sqrt(tl.sum(x * x, 1) / width + eps))[:, None]
        n, u = x * inverse_rms, grad * weight
        grad_x = (u - n * (tl.sum(u * n, 1) / width)[:, None]) * inverse_rms
        if OF_SUM:
            grad_x += tl.load(grad_total_ptr + at, mask=inside, other=0.0).to(tl.float32)
        tl.store(grad_x_ptr + at, grad_x, mask=inside)
        if TRAINS_WEIGHT:
            grad_weight += tl.sum(grad * n, 0)
    if TRAINS_WEIGHT:
        channels = tl.arange(0, WIDTH)
        tl.store(parts_ptr + tl.program_id(0).to(tl.int64) * width + channels, grad_weight, mask=channels < width)


def rms_norm_triton(x: Tensor, weight: Tensor, eps: float, update: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """x + update (x itself without one) and its norm, both (..., D)."""
    x = x.contiguous()
    update = None if update is None else update.contiguous()
    total = x if update is None else torch.empty_like(x, dtype=torch.promote_types(x.dtype, update.dtype))
    y = torch.empty_like(total)
    if y.numel():
        rows, width, sizes = _sizes(x)
        grid = (triton.cdiv(rows, sizes["ROWS"]),)
        _forward[grid](x, update, weight, total, y, rows, width, eps, OF_SUM=update is not None, **sizes, num_warps=_warps(sizes))
    return total, y


def rms_norm_gradients_triton(
    grad: Tensor, x: Tensor, weight: Tensor, eps: float, *, grad_total: Tensor | None = None, trains_weight: bool
) -> tuple[Tensor, Tensor | None]:
    """Gradients of x and, where wanted, of the weight; grad_total is what comes to x beside the norm."""
    grad, x = grad.contiguous(), x.contiguous()
    grad_total = None if grad_total is None else grad_total.contiguous()
    grad_x = torch.empty_like(x)
    if not x.numel():
        return grad_x, torch.zeros_like(weight) if trains_weight else None
    rows, width, sizes = _sizes(x)
    blocks = triton.cdiv(rows, sizes["ROWS"])
    programs = min(blocks, PARTS) if trains_weight else blocks
    parts = torch.empty(programs, width, dtype=torch.float32, device=x.device) if trains_weight else None
    _backward[(programs,)](
        grad, grad_total, x, weight, grad_x, parts, rows, width, eps,
        OF_SUM=grad_total is not None, TRAINS_WEIGHT=trains_weight, **sizes, num_warps=_warps(sizes),
    )  # fmt: skip
    return grad_x, None if parts is None else parts.sum(0).to(weight.dtype)


def _sizes(x: Tensor) -> tuple[int, int, dict[str, int]]:
    """Rows, width, and the tile of whole rows that a program takes."""
    width = x.shape[-1]
    padded = triton.next_power_of_2(width)
    return x.numel() // width, width, {"ROWS": max(1, TILE // padded), "WIDTH": padded}


def _warps(sizes: dict[str, int]) -> int:
    """16 elements a thread, as far as 16 warps reach."""
    return min(16, max(4, sizes["ROWS"] * sizes["WIDTH"] // 512))
