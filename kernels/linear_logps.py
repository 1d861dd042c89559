"""Log-probabilities of the labels straight from hidden states: the (T, V) logits never exist.

    logp_t = z_t[y_t] - log sum_v exp z_t[v],   z_t = W h_t

Only positions with a label are computed. The vocabulary is walked in tiles with a running maximum and sum, as flash
attention walks its keys, so memory is one tile of logits and each weight is brought to fp32 once a pass. The gradient

    d logp_t / d h_t = W[y_t] - sum_v softmax(z_t)[v] W[v]

is accumulated in the same walk where it will be wanted: it does not depend on what comes from above but for one
factor a token, so the backward pass multiplies once and computes no logits. Only a trainable W is walked again; its
gradient comes in tiles too, and exists whole only where nobody takes them one by one (`hand_tiles_to`).

The matmuls are the library's; what stands between them, passes over a tile of logits, is one launch where Triton runs.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from kernels.dispatch import uses_triton

IGNORE = -100
CHUNK = 1024  # scored positions at once
# Vocabulary entries at once. On the CPU 2,048 fp32 logits of 1,024 positions are 8 MiB and stay near the caches: 300 scored
# positions of D=576, V=49,152 take 0.38 CPU-s forward and backward in fp32 and in bf16 alike (8,192: 0.41, all: 0.47; whole
# logits: 0.53 in bf16). On CUDA 64 MiB keep the matmuls large and the launches few.
TILE_CPU, TILE_CUDA = 2048, 16384

Take = Callable[[slice, Tensor], None]  # rows of the weight and their gradient (V', D), not rounded to 16 bits
Walk = Callable[[Take], None]  # computes the tiles of a gradient in order and hands over each; what is taken may change its own rows


def linear_logps(hidden: Tensor, weight: Tensor, labels: Tensor, chunk: int = CHUNK, *, scored: Tensor | None = None) -> Tensor:
    """log softmax(hidden @ weight.T)[labels]: (T,) fp32, exactly 0 with zero gradient where labels is -100.

    hidden (T, D), weight (V, D), labels (T,) int64. Logits and sums are fp32 (fp64 inputs give fp64 throughout),
    whatever the autocast state. `chunk` bounds the positions computed at once. scored (S,) int64: the positions with a
    label, in order, where the caller knows them; counting them here waits for the device.
    """
    if hidden.ndim != 2 or weight.ndim != 2 or hidden.shape[1] != weight.shape[1] or labels.shape != hidden.shape[:1]:
        shapes = f"hidden {tuple(hidden.shape)}, weight {tuple(weight.shape)}, labels {tuple(labels.shape)}"
        raise ValueError(f"{shapes}: the shapes must be (T, D), (V, D) and (T,)")
    wants_grad = torch.is_grad_enabled() and hidden.requires_grad
    if scored is None:
        scored = (labels != IGNORE).nonzero()[:, 0]  # sync
    return LinearLogps.apply(hidden, weight, labels, scored, chunk, wants_grad)


def hand_tiles_to(take: Callable[[Walk], None], weight: Tensor) -> None:
    """From now on a backward pass calls `take` with the walk over the gradient of `weight`, which gets no `.grad`.

    Walked once or several times, until `take` returns. Each `linear_logps` of a pass calls it: their gradients are not summed.
    """
    weight.takes_tiles = take  # type: ignore[attr-defined]


def linear_logits(hidden: Tensor, weight: Tensor) -> Tensor:
    """hidden (T, D) @ weight.T (D, V) with the result in fp32 before any rounding (fp64 stays fp64)."""
    with torch.autocast(hidden.device.type, enabled=False):
        return _matmul(_operand(hidden, weight), _operand(weight, hidden).t())


class LinearLogps(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, weight: Tensor, labels: Tensor, scored: Tensor, chunk: int, wants_grad: bool) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            x, y = hidden.index_select(0, scored), labels.index_select(0, scored)
            token_logps, peak, total, expected_row = _walk(x, weight, y, chunk, wants_grad)
            jacobian = None if expected_row is None else weight.index_select(0, y) - expected_row  # (S, D)
        if ctx.needs_input_grad[1]:
            ctx.save_for_backward(scored, jacobian, x, y, peak, total, weight)
        else:
            ctx.save_for_backward(scored, jacobian)
        ctx.chunk, ctx.hidden_shape, ctx.hidden_dtype = chunk, hidden.shape, hidden.dtype
        ctx.take = getattr(weight, "takes_tiles", None)
        return token_logps.new_zeros(len(labels)).index_copy_(0, scored, token_logps)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, Tensor | None, None, None, None, None]:
        scored, jacobian, *for_weight = ctx.saved_tensors
        with torch.autocast(grad.device.type, enabled=False):
            grad = grad.index_select(0, scored)  # (S,)
            grad_hidden = grad_weight = None
            if ctx.needs_input_grad[0]:
                rows = (jacobian * grad[:, None]).to(ctx.hidden_dtype)
                grad_hidden = rows.new_zeros(ctx.hidden_shape).index_copy_(0, scored, rows)
            if ctx.needs_input_grad[1]:
                x, y, peak, total, weight = for_weight
                walk = partial(_walk_gradient, x, y, weight, peak, grad / total, grad, ctx.chunk)
                if ctx.take is None:
                    grad_weight = torch.empty_like(weight)
                    walk(grad_weight.__setitem__)
                else:
                    ctx.take(walk)
        return grad_hidden, grad_weight, None, None, None, None


def _walk(x: Tensor, weight: Tensor, y: Tensor, chunk: int, wants_grad: bool) -> tuple[Tensor, Tensor, Tensor, Tensor | None]:
    """token_logps (S,), largest logit (S,), sum of exp(logit - largest) (S,), softmax-weighted mean of weight's rows (S, D)."""
    wide = _wide(x, weight)
    picked, total = x.new_zeros(2, len(x), dtype=wide)
    peak = torch.full_like(total, -torch.inf)
    expected_row = x.new_zeros(x.shape, dtype=wide) if wants_grad else None
    x = _operand(x, weight)
    for entries in _slices(len(weight), _tile_size(weight)):
        tile = _operand(weight[entries], x)  # (V', D)
        for rows in _slices(len(x), chunk):
            z = _matmul(x[rows], tile.t())  # (S', V')
            weights, shrink = take_in(z, y[rows] - entries.start, picked[rows], peak[rows], total[rows], tile.dtype)
            if expected_row is not None:
                expected_row[rows] = expected_row[rows] * shrink[:, None] + _matmul(weights, tile)
    if expected_row is not None:
        expected_row /= total[:, None]
    # Subtracted in this order, a logit of 1,000 costs no digit of a small score, and no score is positive.
    return (picked - peak) - total.log(), peak, total, expected_row


def _walk_gradient(
    x: Tensor, y: Tensor, weight: Tensor, peak: Tensor, share: Tensor, grad: Tensor, chunk: int, take: Take
) -> None:
    """sum_t grad_t (onehot(y_t) - softmax(z_t)) x_t: (V, D), a tile of rows after the other, each by those rows of the weight alone.

    share (S,) is grad over the sum of exp(logit - peak).
    """
    x = _operand(x, weight)
    for entries in _slices(len(weight), _tile_size(weight)):
        take(entries, _gradient_tile(x, y - entries.start, _operand(weight[entries], x), peak, share, grad, chunk))


def _gradient_tile(x: Tensor, column: Tensor, tile: Tensor, peak: Tensor, share: Tensor, grad: Tensor, chunk: int) -> Tensor:
    """The gradient (V', D) of a tile (V', D) of the weight; column (S,) as in `take_in`."""
    grad_tile = torch.zeros(tile.shape, dtype=peak.dtype, device=tile.device)
    for rows in _slices(len(x), chunk):
        z = _matmul(x[rows], tile.t())
        grad_z = logits_gradient(z, column[rows], peak[rows], share[rows], grad[rows], x.dtype)
        grad_tile += _matmul(grad_z.t(), x[rows])
    return grad_tile


def take_in(z: Tensor, column: Tensor, picked: Tensor, peak: Tensor, total: Tensor, dtype: torch.dtype) -> tuple[Tensor, Tensor]:
    """Adds a tile of logits z (S', V') to the running picked, peak and total (S',), in place; z is overwritten.

    column (S',): of each label in this tile, outside 0..V'-1 where the label lies in another. Returns exp(z - peak) (S', V') in `dtype`
    and what sums over earlier tiles shrink by, exp(old peak - peak) (S',).
    """
    if uses_triton(z):
        from kernels.linear_logps_triton import take_in_triton

        return take_in_triton(z, column, picked, peak, total, dtype)
    column, is_inside = _inside(column, z.shape[1])
    picked += z.gather(1, column)[:, 0].where(is_inside, 0.0)
    higher = torch.maximum(peak, z.amax(1))
    shrink = (peak - higher).exp_()
    weights = z.sub_(higher[:, None]).exp_()
    peak.copy_(higher)
    total.mul_(shrink).add_(weights.sum(1))
    return weights.to(dtype), shrink


def logits_gradient(z: Tensor, column: Tensor, peak: Tensor, share: Tensor, grad: Tensor, dtype: torch.dtype) -> Tensor:
    """grad (onehot(label) - softmax(z)) of a tile of logits z (S', V'), in `dtype`; z is overwritten, column as in `take_in`."""
    if uses_triton(z):
        from kernels.linear_logps_triton import logits_gradient_triton

        return logits_gradient_triton(z, column, peak, share, grad, dtype)
    column, is_inside = _inside(column, z.shape[1])
    grad_z = z.sub_(peak[:, None]).exp_().mul_(-share[:, None])
    return grad_z.scatter_add_(1, column, grad[:, None].where(is_inside[:, None], 0.0)).to(dtype)


def _inside(column: Tensor, width: int) -> tuple[Tensor, Tensor]:
    """Column (S', 1), 0 for one outside the tile, and whether it lies inside (S',)."""
    is_inside = (column >= 0) & (column < width)
    return column.where(is_inside, 0)[:, None], is_inside


def _slices(length: int, chunk: int) -> list[slice]:
    return [slice(start, min(start + chunk, length)) for start in range(0, length, chunk)]


def _tile_size(weight: Tensor) -> int:
    return TILE_CUDA if weight.is_cuda else TILE_CPU


def _wide(x: Tensor, other: Tensor) -> torch.dtype:
    return torch.promote_types(torch.promote_types(x.dtype, other.dtype), torch.float32)


def _operand(x: Tensor, other: Tensor) -> Tensor:
    """x as a matmul operand beside `other`: 16 bits stay 16 bits on CUDA, where the product comes out in fp32; else fp32 or fp64."""
    return x if x.is_cuda and x.dtype == other.dtype else x.to(_wide(x, other))


def _matmul(a: Tensor, b: Tensor) -> Tensor:
    """a @ b with at least fp32 in the result, before any rounding to 16 bits."""
    if a.is_cuda and a.dtype in (torch.float16, torch.bfloat16):
        return torch.mm(a, b, out_dtype=torch.float32)
    return torch.mm(a, b)
