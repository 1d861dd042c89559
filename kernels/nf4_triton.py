"""NF4 dequantisation in Triton: w = codebook[code] (scale_codebook[scale code] scale_scale + offset), in one launch.

Memory traffic a weight: half a byte read, 2 written in 16 bits; the scales add 1.6 %, both codebooks stay in the cache. No gradient: the
matrix is frozen.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import triton
import triton.language as tl
from torch import Tensor

if TYPE_CHECKING:
    from kernels.nf4 import NF4

BLOCK = 1024  # weights a program: 8 a thread, 16 bytes of a 16-bit buffer


@triton.jit
def _dequantise(  # type: ignore[no-untyped-def]
    codes_ptr, scales_ptr, scale_codebook_ptr, scale_scales_ptr, offset_ptr, codebook_ptr, out_ptr, count, columns, row_stride,
    SCALED: tl.constexpr, SCALE_BLOCK: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    at = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)  # 32 bits: no matrix has 2^31 weights, and 64-bit division is slow
    inside = at < count
    pair = tl.load(codes_ptr + at // 2, mask=inside, other=0).to(tl.int32)
    code = tl.where(at % 2 == 0, pair >> 4, pair & 15)
    scaled = at // SCALED
    scale_code = tl.load(scales_ptr + scaled, mask=inside, other=0).to(tl.int32)
    scale = tl.load(scale_codebook_ptr + scale_code) * tl.load(scale_scales_ptr + scaled // SCALE_BLOCK, mask=inside, other=0.0)
    value = tl.load(codebook_ptr + code) * (scale + tl.load(offset_ptr))
    tl.store(out_ptr + (at // columns).to(tl.int64) * row_stride + at % columns, value, mask=inside)


def dequantise_triton(weight: NF4, codebook: Tensor, scale_block: int, buffer: Tensor) -> Tensor:
    count = buffer.numel()
    if count:
        _dequantise[(triton.cdiv(count, BLOCK),)](
            weight.codes, weight.scales, weight.scale_codebook, weight.scale_scales, weight.offset, codebook, buffer,
            count, weight.shape[1], buffer.stride(0), SCALED=weight.block, SCALE_BLOCK=scale_block, BLOCK=BLOCK,
        )  # fmt: skip
    return buffer
