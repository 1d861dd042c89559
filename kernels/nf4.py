"""NF4 with double quantisation: what the 4-bit codes of a frozen matrix stand for, written into a buffer that the caller lends.

    w = codebook[code] * scale,   scale = scale_codebook[scale code] * scale_scale + offset

A block of 64 weights shares a scale, 256 scales share a scale of theirs: 4.127 bits a weight. Bytes lie as bitsandbytes stores them.
Dettmers et al. 2023, arXiv:2305.14314, sections 3 and appendix E.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.dispatch import uses_triton

# quantiles of a normal distribution, scaled to [-1, 1] and with an exact zero
CODEBOOK = (
    -1.0, -0.6961928009986877, -0.5250730514526367, -0.39491748809814453, -0.28444138169288635, -0.18477343022823334, -0.09105003625154495,
    0.0, 0.07958029955625534, 0.16093020141124725, 0.24611230194568634, 0.33791524171829224, 0.44070982933044434, 0.5626170039176941,
    0.7229568362236023, 1.0,
)  # fmt: skip
SCALE_BLOCK = 256


@dataclass(frozen=True)
class NF4:
    """A matrix in 4 bits, row by row.

    codes (ceil(n / 2),) uint8, the earlier weight in the high half; scales (ceil(n / block),) uint8 indices into scale_codebook (256,)
    fp32; scale_scales (ceil(n / block / 256),) fp32; offset () fp32, the mean that was taken off the scales.
    """

    codes: Tensor
    scales: Tensor
    scale_codebook: Tensor
    scale_scales: Tensor
    offset: Tensor
    shape: tuple[int, int]
    block: int = 64


def dequantise(weight: NF4, buffer: Tensor) -> Tensor:
    """Writes the matrix into `buffer` (rows, columns), in its dtype, and returns it; its rows may lie apart, its columns may not.

    Products are taken in fp32 and rounded once. Raises ValueError for a buffer of another shape or with gaps between columns.
    """
    if buffer.shape != weight.shape or buffer.stride(1) != 1:
        raise ValueError(f"buffer {tuple(buffer.shape)}, strides {buffer.stride()}: must be {weight.shape} with columns side by side")
    if uses_triton(buffer):
        from kernels.nf4_triton import dequantise_triton

        return dequantise_triton(weight, codebook(buffer.device), SCALE_BLOCK, buffer)
    return buffer.copy_(dequantise_reference(weight, codebook(buffer.device)))


def dequantise_reference(weight: NF4, codebook: Tensor) -> Tensor:
    """The matrix in fp32."""
    codes = torch.stack((weight.codes >> 4, weight.codes & 15), 1).flatten().int()
    count = weight.shape[0] * weight.shape[1]
    scale_scales = weight.scale_scales.repeat_interleave(SCALE_BLOCK)[: len(weight.scales)]
    scales = weight.scale_codebook[weight.scales.int()] * scale_scales + weight.offset
    values = codebook[codes[:count]] * scales.repeat_interleave(weight.block)[:count]
    return values.view(weight.shape)


@functools.cache
def codebook(device: torch.device) -> Tensor:
    return torch.tensor(CODEBOOK, dtype=torch.float32, device=device)
