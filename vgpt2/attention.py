"""Causal self-attention of sequences laid end to end: nobody sees another sequence, there is no padding and no mask.

CUDA in 16 bits: one variable-length flash call where this build of torch has it. Everywhere else: one call of
`scaled_dot_product_attention` a sequence, which is exact on every device and in every dtype.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from vgpt2.packing import Packed

# (layer index, q (T, H, Dh), k (T, K, Dh), v (T, K, Dh)), positions already applied -> (T, H, Dh)
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


def packed_attention(packed: Packed) -> Attend:
    """Attention within each sequence of `packed`, causal, scores scaled by Dh ** -0.5."""
    lengths = packed.lengths
    assert lengths is not None  # Packed fills it in

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        if q.is_cuda and q.dtype in (torch.float16, torch.bfloat16) and (flash := varlen_flash()) is not None:
            return flash(q, k, v, packed.cu_seqlens, max(lengths))
        return attend_by_sequence(q, k, v, lengths)

    return attend


def attend_by_sequence(q: Tensor, k: Tensor, v: Tensor, lengths: tuple[int, ...]) -> Tensor:
    """Exact attention, one sequence after the other: q (T, H, Dh), k and v (T, K, Dh), sum(lengths) = T -> (T, H, Dh).

    On the CPU grouped heads reach flash attention as they are, forward and backward, and no t x t scores are kept; repeating keys
    by hand costs the same, and scores by plain matmuls win at no length above 200 tokens (one core, H=9, K=3, Dh=64).
    """
    rows = zip(q.split(lengths), k.split(lengths), v.split(lengths))
    outputs = [
        scaled_dot_product_attention(
            q_row.transpose(0, 1)[None],  # (1, H, t, Dh)
            k_row.transpose(0, 1)[None],
            v_row.transpose(0, 1)[None],
            is_causal=True,
            enable_gqa=True,
        )[0].transpose(0, 1)
        for q_row, k_row, v_row in rows
    ]
    return torch.cat(outputs)


@functools.cache
def varlen_flash() -> Callable[[Tensor, Tensor, Tensor, Tensor, int], Tensor] | None:
    """Flash attention over (q, k, v, cu_seqlens int32, longest), or None where this build of torch lacks it.

    The public function moved between releases: torch 2.10 has `is_causal`, later ones a `window_size` whose right side
    of 0 means causal, and `enable_gqa` came with 2.12. So its signature decides; without `enable_gqa` keys are repeated.
    """
    if not (torch.cuda.is_available() and torch.backends.cuda.is_flash_attention_available()):
        return None
    try:
        from torch.nn.attention.varlen import varlen_attn
    except ImportError:
        return None
    known = inspect.signature(varlen_attn).parameters
    options: dict[str, Any] = {"is_causal": True} if "is_causal" in known else {"window_size": (-1, 0)}
    has_gqa = "enable_gqa" in known
    if has_gqa:
        options["enable_gqa"] = True

    def flash(q: Tensor, k: Tensor, v: Tensor, cu_seqlens: Tensor, longest: int) -> Tensor:
        if not has_gqa:
            groups = q.shape[1] // k.shape[1]
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        attended = varlen_attn(q, k, v, cu_seqlens, cu_seqlens, longest, longest, **options)
        assert isinstance(attended, Tensor)  # a tuple only where auxiliary outputs are asked for
        return attended

    return flash
