"""What `linear_logps` does to a tile of logits between two matmuls, in Triton: one read and one write of the tile.

    take_in          m' = max(m, max z),  l' = l exp(m - m') + sum exp(z - m'),  p' = p + z[y];  writes exp(z - m')
    logits_gradient  writes g onehot(y) - share exp(z - m)

A program holds one row of the tile, up to 16,384 fp32 logits in the registers of 16 warps. Memory traffic a logit: 4 bytes read and 2
written in 16 bits; eager PyTorch reads and writes each about three times in fp32.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _take_in(  # type: ignore[no-untyped-def]
    z_ptr, column_ptr, picked_ptr, peak_ptr, total_ptr, weights_ptr, shrink_ptr, width, WIDTH: tl.constexpr
):
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, WIDTH)
    z = tl.load(z_ptr + row * width + at, mask=at < width, other=-float("inf"))
    column, peak = tl.load(column_ptr + row).to(tl.int32), tl.load(peak_ptr + row)
    higher = tl.maximum(peak, tl.max(z, 0))
    shrink, weights = tl.exp(peak - higher), tl.exp(z - higher)
    tl.store(weights_ptr + row * width + at, weights, mask=at < width)
    tl.store(shrink_ptr + row, shrink)
    tl.store(peak_ptr + row, higher)
    tl.store(total_ptr + row, tl.load(total_ptr + row) * shrink + tl.sum(weights, 0))
    tl.store(picked_ptr + row, tl.load(picked_ptr + row) + tl.sum(tl.where(at == column, z, 0.0), 0), mask=(column >= 0) & (column < width))


@triton.jit
def _logits_gradient(z_ptr, column_ptr, peak_ptr, share_ptr, grad_ptr, grad_z_ptr, width, WIDTH: tl.constexpr):  # type: ignore[no-untyped-def]
    row = tl.program_id(0).to(tl.int64)
    at = tl.arange(0, WIDTH)
    z = tl.load(z_ptr + row * width + at, mask=at < width, other=0.0)
    grad_z = -tl.load(share_ptr + row) * tl.exp(z - tl.load(peak_ptr + row))
    grad_z = tl.where(at == tl.load(column_ptr + row).to(tl.int32), grad_z + tl.load(grad_ptr + row), grad_z)
    tl.store(grad_z_ptr + row * width + at, grad_z, mask=at < width)


def take_in_triton(z: Tensor, column: Tensor, picked: Tensor, peak: Tensor, total: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    weights, shrink = torch.empty_like(z, dtype=dtype), torch.empty_like(peak)
    rows, width = z.shape
    _take_in[(rows,)](z, column, picked, peak, total, weights, shrink, width, **_tile(width))
    return weights, shrink


def logits_gradient_triton(z: Tensor, column: Tensor, peak: Tensor, share: Tensor, grad: Tensor, dtype: torch.dtype) -> Tensor:
    grad_z = torch.empty_like(z, dtype=dtype)
    rows, width = z.shape
    _logits_gradient[(rows,)](z, column, peak, share, grad, grad_z, width, **_tile(width))
    return grad_z


def _tile(width: int) -> dict[str, int]:
    """32 logits a thread."""
    padded = triton.next_power_of_2(width)
    return {"WIDTH": padded, "num_warps": min(16, max(1, padded // 1024))}
