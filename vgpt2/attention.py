"""Causal self-attention of sequences laid end to end: nobody sees another sequence, there is no padding and no mask.

CUDA in 16 bits: one variable-length flash call where this build of torch has it. Everywhere else: one call of
`scaled_dot_product_attention` a sequence, which is exact on every device and in every dtype.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor
from torch.nn.functional import scaled_dot_product_attention

if TYPE_CHECKING:
    from vgpt2.packing import Packed

# (layer index, q (T, H, Dh), k (T, K, Dh), v (T, K, Dh)), positions already applied -> (T, H, Dh)
Attend = Callable[[int, Tensor, Tensor, Tensor], Tensor]


def packed_attention(packed: Packed) -> Attend:
    """Attention within each sequence of `packed`, causal, scores scaled by Dh ** -0.5; a branch sees its prompt too."""
    lengths, shared = packed.lengths, packed.shared
    assert lengths is not None  # Packed fills it in
    keys = None if shared is None else branched_keys(packed.cu_seqlens, lengths, shared)
    longest = max(lengths) if shared is None else max(map(sum, zip(lengths, shared)))

    def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
        cu_keys = packed.cu_seqlens
        if keys is not None:
            k, v, cu_keys = k.index_select(0, keys.rows), v.index_select(0, keys.rows), keys.cu_seqlens
        if q.is_cuda and q.dtype in (torch.float16, torch.bfloat16) and (flash := varlen_flash()) is not None:
            return flash(q, k, v, packed.cu_seqlens, cu_keys, max(lengths), longest)
        return attend_by_sequence(q, k, v, lengths, shared)

    return attend


@dataclass(frozen=True)
class BranchedKeys:
    """Which stored tokens each sequence sees, end to end: a branch those of its prompt, then its own."""

    rows: Tensor  # (Tk,) int64
    cu_seqlens: Tensor  # (N+1,) int32


def branched_keys(cu_seqlens: Tensor, lengths: tuple[int, ...], shared: tuple[int, ...]) -> BranchedKeys:
    """The keys of sequences of `lengths` stored tokens, shared[n] > 0 of them in front taken from the latest sequence without any."""
    rows, ends, start, root = [], [0], 0, 0
    for length, prompt in zip(lengths, shared):
        root = root if prompt else start
        rows += [torch.arange(root, root + prompt), torch.arange(start, start + length)]
        ends.append(ends[-1] + prompt + length)
        start += length
    tables = [torch.cat(rows), torch.tensor(ends, dtype=torch.int32)]
    if cu_seqlens.is_cuda:  # a copy of more than 64 KiB from pageable memory waits for the work before it
        tables = [table.pin_memory() for table in tables]
    return BranchedKeys(*(table.to(cu_seqlens.device, non_blocking=True) for table in tables))


def attend_by_sequence(q: Tensor, k: Tensor, v: Tensor, lengths: tuple[int, ...], shared: tuple[int, ...] | None = None) -> Tensor:
    """Exact attention, one sequence after the other: q (T, H, Dh) -> (T, H, Dh), T = sum(lengths), k and v (T + sum(shared), K, Dh).

    On the CPU grouped heads reach flash attention as they are, forward and backward, and no t x t scores are kept; repeating keys
    by hand costs the same, and scores by plain matmuls win at no length above 200 tokens (one core, H=9, K=3, Dh=64).
    """
    shared = shared or (0,) * len(lengths)
    seen = [prompt + length for prompt, length in zip(shared, lengths)]
    outputs = [
        scaled_dot_product_attention(
            q_row.transpose(0, 1)[None],  # (1, H, t, Dh)
            k_row.transpose(0, 1)[None],
            v_row.transpose(0, 1)[None],
            # causal means aligned to the first key here; a branch's last query sees its last key
            attn_mask=q.new_ones(length, prompt + length, dtype=torch.bool).tril(prompt) if prompt else None,
            is_causal=not prompt,
            enable_gqa=True,
        )[0].transpose(0, 1)
        for q_row, k_row, v_row, length, prompt in zip(q.split(lengths), k.split(seen), v.split(seen), lengths, shared)
    ]
    return torch.cat(outputs) if len(outputs) > 1 else outputs[0]  # cat would copy, and both copies would be kept


@functools.cache
def varlen_flash() -> Callable[[Tensor, Tensor, Tensor, Tensor, Tensor, int, int], Tensor] | None:
    """Flash attention over (q, k, v, cu_seqlens of q and of k int32, longest q, longest k), or None where this torch lacks it.

    Causal is aligned to the last key, so that fewer queries than keys are the last ones: what a branch needs.

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

    def flash(q: Tensor, k: Tensor, v: Tensor, cu_queries: Tensor, cu_keys: Tensor, longest_q: int, longest_k: int) -> Tensor:
        if not has_gqa:
            groups = q.shape[1] // k.shape[1]
            k, v = k.repeat_interleave(groups, dim=1), v.repeat_interleave(groups, dim=1)
        attended = varlen_attn(q, k, v, cu_queries, cu_keys, longest_q, longest_k, **options)
        assert isinstance(attended, Tensor)  # a tuple only where auxiliary outputs are asked for
        return attended

    return flash
