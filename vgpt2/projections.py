"""Linear layers that share an input, as one operation: the input is kept once, or made again from what is kept anyway.

A norm's output and SwiGLU's product cost an elementwise pass, not a matmul, so the backward pass makes them again from the residual
stream and from gate and up. Knows a low-rank update (LoRA) as four factors of arithmetic, not as a module, and DoRA as a fifth.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.autograd.function import once_differentiable

from vgpt2.cpu_layout import BlockedLinear

PLAIN = (nn.Linear, BlockedLinear)  # layers that are what they hold, of no class of their own


@dataclass(frozen=True)
class Derived:
    """value == make(*sources). Who needs the value in the backward pass keeps the sources and makes it again."""

    value: Tensor
    make: Callable[..., Tensor]
    sources: tuple[Tensor, ...]


def derive(make: Callable[..., Tensor], *sources: Tensor) -> Derived:
    """make(*sources), an elementwise function without randomness, to be made again instead of kept."""
    return Derived(make(*sources), make, sources)


def kept(value: Tensor) -> Derived:
    """A value that is its own source: cheaper to keep than to make again."""
    return Derived(value, lambda source: source, (value,))


@dataclass(frozen=True)
class Factors:
    """y = x W^T + b + s (x A^T) B^T, computed in `dtype`; W (out, in), A (R, in), B (out, R).

    The factors stay in their own dtype: what is cast is cast again in the backward pass, so no copy outlives the matmul. weight may be
    a function that makes a frozen one in `dtype` when it is wanted (dequantises it). row_scale c (out,) is DoRA's: y = c (y - b) + b.
    """

    weight: Tensor | Callable[[], Tensor]
    bias: Tensor | None
    dtype: torch.dtype
    lora_A: Tensor | None = None
    lora_B: Tensor | None = None
    scale: float = 1.0
    row_scale: Tensor | None = None


@runtime_checkable
class Factored(Protocol):
    def factors(self, x: Tensor) -> Factors | None:
        """The factors that `self(x)` would use, or None where the layer is more than these factors."""


def project(x: Derived, *layers: nn.Module) -> tuple[Tensor, ...]:
    """layer(x.value) for each layer, computed as one operation where every layer is plain: (..., in) -> (..., out) each.

    A grouped layer's own forward and its hooks do not run. Where nothing is kept for a backward pass, plain layers have nothing to share;
    under autocast they would leave copies of their weights in its cache.
    """
    is_free = not (torch.is_grad_enabled() or torch.is_autocast_enabled(x.value.device.type))
    if is_free and all(type(layer) in PLAIN for layer in layers):
        return tuple(layer(x.value) for layer in layers)
    factors = [_factors(layer, x.value) for layer in layers]
    known = [f for f in factors if f is not None]
    if len(known) < len(layers) or len({f.dtype for f in known}) > 1:
        return tuple(layer(x.value) for layer in layers)
    return multiply(x, known)


def multiply(x: Derived, layers: Sequence[Factors]) -> tuple[Tensor, ...]:
    """y of each layer for the input they share. Kept for the backward pass: x's sources, a single layer's x A^T, the factors.

    A layer with a row_scale also keeps its output before that and the bias come to it.
    """
    dtype = layers[0].dtype
    makers = [None if isinstance(f.weight, Tensor) else f.weight for f in layers]
    biases = [f.bias if f.row_scale is None else None for f in layers]
    factors = [
        t for f, bias in zip(layers, biases) for t in (f.weight if isinstance(f.weight, Tensor) else None, bias, f.lora_A, f.lora_B)
    ]
    outputs: tuple[Tensor, ...] = GroupedLinear.apply(x.value.to(dtype), x, makers, [f.scale for f in layers], *factors)
    return tuple(y if f.row_scale is None else rescaled(y, f.row_scale, f.bias) for f, y in zip(layers, outputs))


def rescaled(y: Tensor, row_scale: Tensor, bias: Tensor | None) -> Tensor:
    """c y + b in the dtype of y (..., out). c (out,) stays in fp32: bf16 holds it to 0.4 % only."""
    scaled: Tensor = Rescaled.apply(y, row_scale)
    return scaled if bias is None else scaled + bias.to(y.dtype)


class GroupedLinear(torch.autograd.Function):
    """The layers' A are stacked: x A^T, dA and A's part of dx are one skinny matmul each. No pass over y or dx but the matmuls' own.

    dx = sum_i dy_i W_i + s_i (dy_i B_i) A_i,   dA_i = s_i (dy_i B_i)^T x,   dB_i = s_i dy_i^T (x A_i^T),   dW_i = dy_i^T x

    x A^T of several layers comes again in the backward pass, from the x that is made there anyway: 0.2 % of a 7B step for 0.7 % of
    what q, k and v keep and alike for gate and up.
    """

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, derived: Derived, makers: list[Callable[[], Tensor] | None], scales: list[float], *factors: Tensor | None
    ) -> tuple[Tensor, ...]:
        weights, biases, lora_As, lora_Bs = (factors[kind::4] for kind in range(4))
        ctx.make, ctx.makers, ctx.scales, ctx.shape, ctx.dtype = derived.make, makers, scales, x.shape, x.dtype
        ranks = _ranks(lora_As)
        xA = x.flatten(0, -2) @ _stacked(lora_As, x.dtype).t() if any(ranks) else None  # (T, sum of R)
        outputs = [
            F.linear(x, _made(weight, make, x.dtype), None if bias is None else bias.to(x.dtype))
            for weight, make, bias in zip(weights, makers, biases)
        ]
        if xA is not None:
            for y, xA_i, lora_B, scale in zip(outputs, xA.split(ranks, 1), lora_Bs, scales):
                if lora_B is not None:
                    y.view(-1, y.shape[-1]).addmm_(xA_i, lora_B.to(x.dtype).t(), alpha=scale)
        sources = (source.detach() for source in derived.sources)
        ctx.save_for_backward(xA if len(outputs) == 1 else None, *weights, *biases, *lora_As, *lora_Bs, *sources)
        return tuple(outputs)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Tensor) -> tuple[Any, ...]:
        layers, wanted = len(ctx.scales), ctx.needs_input_grad[4:]
        xA, *rest = ctx.saved_tensors
        weights, biases, lora_As, lora_Bs = (rest[kind * layers : (kind + 1) * layers] for kind in range(4))
        dys = [grad.reshape(-1, grad.shape[-1]) for grad in grads]  # (T, out)
        dx = _sum_of_products(dys, weights, ctx.makers) if ctx.needs_input_grad[0] else None
        dW, dA, dB = ([None] * layers for _ in range(3))
        db = [dy.sum(0).to(bias.dtype) if trains else None for dy, bias, trains in zip(dys, biases, wanted[1::4])]
        ranks = _ranks(lora_As)
        if any(ranks) or any(wanted[0::4]):
            x = ctx.make(*rest[4 * layers :]).to(ctx.dtype).flatten(0, -2)  # (T, in)
            dW = [(dy.t() @ x).to(weight.dtype) if trains else None for dy, weight, trains in zip(dys, weights, wanted[0::4])]
        if any(ranks):
            stacked_A = _stacked(lora_As, ctx.dtype)
            xAs = (x @ stacked_A.t() if xA is None else xA).split(ranks, 1)
            dxA = torch.cat([(dy @ B.to(dy.dtype)).mul_(scale) for dy, B, scale in zip(dys, lora_Bs, ctx.scales) if B is not None], 1)
            dB = [None if B is None else (dy.t() @ xA_i).mul_(scale).to(B.dtype)
                  for dy, xA_i, B, scale in zip(dys, xAs, lora_Bs, ctx.scales)]  # fmt: skip
            dA = [None if A is None else part.to(A.dtype) for A, part in zip(lora_As, (dxA.t() @ x).split(ranks))]
            if dx is not None:
                dx.addmm_(dxA, stacked_A)
        by_layer = (grad for layer in zip(dW, db, dA, dB) for grad in layer)
        return None if dx is None else dx.view(ctx.shape), None, None, None, *by_layer


class Rescaled(torch.autograd.Function):
    """z = c y,   dy = c dz,   dc = sum of dz y over the tokens. No tensor of y's size is ever in fp32.

    y is kept, not z: whoever takes z may write over it (kernels/rope.py).
    """

    @staticmethod
    def forward(ctx: Any, y: Tensor, row_scale: Tensor) -> Tensor:
        ctx.save_for_backward(y, row_scale)
        return torch.mul(y, row_scale, out=torch.empty_like(y))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor, Tensor | None]:
        y, row_scale = ctx.saved_tensors
        grad_row_scale = (grad * y).flatten(0, -2).sum(0, dtype=row_scale.dtype) if ctx.needs_input_grad[1] else None
        return torch.mul(grad, row_scale, out=torch.empty_like(grad)), grad_row_scale


def _ranks(lora_As: Sequence[Tensor | None]) -> list[int]:
    return [0 if lora_A is None else len(lora_A) for lora_A in lora_As]


def _stacked(lora_As: Sequence[Tensor | None], dtype: torch.dtype) -> Tensor:
    """(sum of R, in)"""
    return torch.cat([lora_A.to(dtype) for lora_A in lora_As if lora_A is not None])


def _sum_of_products(dys: Sequence[Tensor], weights: Sequence[Tensor | None], makers: Sequence[Callable[[], Tensor] | None]) -> Tensor:
    """sum_i dy_i W_i: (T, in), each product added by its own matmul."""
    dtype = dys[0].dtype
    total = dys[0] @ _made(weights[0], makers[0], dtype)
    for dy, weight, make in zip(dys[1:], weights[1:], makers[1:]):
        total.addmm_(dy, _made(weight, make, dtype))
    return total


def _made(weight: Tensor | None, make: Callable[[], Tensor] | None, dtype: torch.dtype) -> Tensor:
    if make is not None:
        return make()
    assert weight is not None  # a layer has one of the two
    return weight.to(dtype)


def _factors(layer: nn.Module, x: Tensor) -> Factors | None:
    if isinstance(layer, Factored):
        return layer.factors(x)
    if type(layer) is not nn.Linear:
        return None
    dtype = torch.get_autocast_dtype(x.device.type) if torch.is_autocast_enabled(x.device.type) else layer.weight.dtype
    return Factors(layer.weight, layer.bias, dtype)
