"""Rotary embedding in Triton: q and k in one launch, in place forward.

    forward   (a, b) -> (a cos - b sin, b cos + a sin)
    backward  the same with -sin

Memory traffic a token: q and k read and written once, one row of the tables read once for all heads; eager PyTorch moves about five times
that. A program owns every pair of channels of one token, so reading both before writing both is safe in place.
"""

from __future__ import annotations

import torch
import triton
import triton.language as tl
from torch import Tensor


@triton.jit
def _rotate_heads(x_ptr, y_ptr, cos, sin, token, heads, half, HEADS: tl.constexpr, HALF: tl.constexpr):  # type: ignore[no-untyped-def]
    head, channel = tl.arange(0, HEADS)[:, None], tl.arange(0, HALF)[None, :]
    inside = (head < heads) & (channel < half)
    first_at = (token * heads + head) * 2 * half + channel
    second_at = first_at + half
    first = tl.load(x_ptr + first_at, mask=inside, other=0.0).to(tl.float32)
    second = tl.load(x_ptr + second_at, mask=inside, other=0.0).to(tl.float32)
    tl.store(y_ptr + first_at, first * cos - second * sin, mask=inside)
    tl.store(y_ptr + second_at, second * cos + first * sin, mask=inside)


@triton.jit
def _rotate(  # type: ignore[no-untyped-def]
    q_ptr, k_ptr, q_out_ptr, k_out_ptr, cos_ptr, sin_ptr, q_heads, k_heads, half,
    Q_HEADS: tl.constexpr, K_HEADS: tl.constexpr, HALF: tl.constexpr, BACK: tl.constexpr,
):  # fmt: skip
    token = tl.program_id(0).to(tl.int64)
    channel = tl.arange(0, HALF)
    cos = tl.load(cos_ptr + token * half + channel, mask=channel < half, other=0.0)[None, :]
    sin = tl.load(sin_ptr + token * half + channel, mask=channel < half, other=0.0)[None, :]
    if BACK:
        sin = -sin
    _rotate_heads(q_ptr, q_out_ptr, cos, sin, token, q_heads, half, Q_HEADS, HALF)
    _rotate_heads(k_ptr, k_out_ptr, cos, sin, token, k_heads, half, K_HEADS, HALF)


def rope_triton(q: Tensor, k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """q and k turned, in their own memory where they are contiguous."""
    # Aliases: autograd would copy a view that it knew to be overwritten. No backward pass wants q and k as they were.
    q, k = q.detach().contiguous(), k.detach().contiguous()
    return _launch(q, k, q, k, cos, sin, back=False)


def rope_gradients_triton(grad_q: Tensor, grad_k: Tensor, cos: Tensor, sin: Tensor) -> tuple[Tensor, Tensor]:
    """Gradients in new memory: theirs may have other readers."""
    grad_q, grad_k = grad_q.contiguous(), grad_k.contiguous()
    return _launch(grad_q, grad_k, torch.empty_like(grad_q), torch.empty_like(grad_k), cos, sin, back=True)


def _launch(q: Tensor, k: Tensor, q_out: Tensor, k_out: Tensor, cos: Tensor, sin: Tensor, *, back: bool) -> tuple[Tensor, Tensor]:
    (tokens, q_heads, width), k_heads = q.shape, k.shape[1]
    if tokens:
        sizes = {"Q_HEADS": triton.next_power_of_2(q_heads), "K_HEADS": triton.next_power_of_2(k_heads)}
        half = width // 2
        padded = triton.next_power_of_2(half)
        warps = min(8, max(1, sizes["Q_HEADS"] * padded // 256))  # 8 pairs a thread
        _rotate[(tokens,)](
            q, k, q_out, k_out, cos.contiguous(), sin.contiguous(), q_heads, k_heads, half,
            **sizes, HALF=padded, BACK=back, num_warps=warps,
        )  # fmt: skip
    return q_out, k_out
