"""The logits of a decoding step: all of a vocabulary for a few tokens, so on a CPU the time is that of reading the head's weight."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from kernels.linear_logps import linear_logits
from vgpt2.cpu_layout import BlockedLinear, by_column, has_blocks

Head = Callable[[Tensor], Tensor]
BLOCK = 64  # words of the vocabulary that are computed anew together
ROUNDING = 2.0**-7  # four times what rounding to bf16 takes from a logit


def head_of(weight: Tensor) -> Head:
    """(T, D) -> (T, V) fp32 by the weight (V, D); on the CPU an fp32 weight is copied into another layout."""
    if weight.is_cuda:
        return partial(linear_logits, weight=weight)
    if weight.dtype == torch.bfloat16 and has_blocks(weight) and len(weight) % BLOCK == 0:
        return RoundedHead(weight)
    wide = weight.to(torch.promote_types(weight.dtype, torch.float32))
    return WideHead(wide) if has_blocks(wide) else partial(linear_logits, weight=by_column(wide))


class WideHead:
    """All logits in fp32, by a weight in oneDNN's blocks: a quarter less time than by column."""

    def __init__(self, weight: Tensor) -> None:
        self._linear = BlockedLinear(weight, None)

    def __call__(self, hidden: Tensor) -> Tensor:
        with torch.autocast(hidden.device.type, enabled=False):
            logits: Tensor = self._linear(hidden.float())
            return logits


class RoundedHead:
    """Logits of a bf16 weight: rounded to bf16, a quarter of the time, but for every block in which the largest one may lie.

    Those are in fp32, so the likeliest token is that of fp32 logits. Rounded ones are off by 2^-9 of their value at most, to either side,
    which moves a log-probability by about 1e-4.
    """

    def __init__(self, weight: Tensor) -> None:
        self._rough = BlockedLinear(weight, None)
        self._blocks = weight.detach().unflatten(0, (-1, BLOCK))  # (V / 64, 64, D)

    def __call__(self, hidden: Tensor) -> Tensor:
        logits = self._rough(hidden).float()
        blocks = logits.unflatten(1, (-1, BLOCK))  # (T, V / 64, 64)
        best = blocks.amax(-1)
        top = best.amax(-1, keepdim=True)
        token, block = (best >= top - ROUNDING * top.abs()).nonzero(as_tuple=True)
        exact = self._blocks[block].float() @ hidden[token].float()[:, :, None]  # (N, 64, 1)
        blocks[token, block] = exact[..., 0]
        return logits
