"""The gated activation of the feed-forward block: the formula in plain PyTorch."""

from __future__ import annotations

from torch import Tensor
from torch.nn.functional import silu


def swiglu(gate: Tensor, up: Tensor) -> Tensor:
    """silu(gate) * up, elementwise, any one shape. Shazeer 2020, arXiv:2002.05202, Eq. 6 (SwiGLU, beta = 1)."""
    return silu(gate) * up
