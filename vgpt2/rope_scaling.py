"""Inverse frequencies of rotary embeddings for the scaling rules that published checkpoints use.

Every rule keeps fp32 and the published order of operations: an inverse frequency that is off by one bit moves the
angle of position 10,000 by 1e-3.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rope:
    """How angles are made. Fields that a rule does not read keep their default."""

    rule: str = "default"  # one of RULES
    theta: float = 10_000.0
    factor: float = 1.0
    original_length: int = 0  # context of pretraining, in tokens: llama3, yarn
    low_freq_factor: float = 1.0  # llama3
    high_freq_factor: float = 4.0  # llama3
    beta_fast: float = 32.0  # yarn
    beta_slow: float = 1.0  # yarn
    attention_factor: float = 1.0  # yarn: multiplies cosines and sines
    truncate: bool = True  # yarn: the ramp's ends are whole channels


def inverse_frequencies(rope: Rope, head_dim: int) -> Tensor:
    """theta ** (-2i / Dh) for i < Dh/2, scaled by the rule: (Dh/2,) fp32 on the CPU."""
    # The device is named: under `torch.device("meta")` the table must hold real numbers all the same.
    exponents = torch.arange(0, head_dim, 2, dtype=torch.float32, device="cpu") / head_dim
    return RULES[rope.rule](rope.theta**exponents, rope)


def _default(wavelengths: Tensor, rope: Rope) -> Tensor:
    return 1.0 / wavelengths


def _linear(wavelengths: Tensor, rope: Rope) -> Tensor:
    return 1.0 / wavelengths / rope.factor


def _llama3(wavelengths: Tensor, rope: Rope) -> Tensor:
    """Long waves are slowed by `factor`, short ones kept, those between blended. Llama 3.1's reference model."""
    fast = 1.0 / wavelengths
    slow = fast / rope.factor
    turns = rope.original_length / (2 * math.pi / fast)  # full turns within the original context
    blend = (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor)
    between = (1 - blend) * fast / rope.factor + blend * fast
    return torch.where(turns < rope.low_freq_factor, slow, torch.where(turns > rope.high_freq_factor, fast, between))


def _yarn(wavelengths: Tensor, rope: Rope) -> Tensor:
    """A ramp over the channels from kept to slowed frequencies. Peng et al. 2023, arXiv:2309.00071, section 3.2."""
    half = len(wavelengths)

    def channel(turns: float) -> float:
        """The (fractional) channel that makes `turns` full turns within the original context."""
        return 2 * half * math.log(rope.original_length / (turns * 2 * math.pi)) / (2 * math.log(rope.theta))

    low, high = channel(rope.beta_fast), channel(rope.beta_slow)
    if rope.truncate:
        low, high = math.floor(low), math.ceil(high)
    low, high = max(low, 0), min(high, 2 * half - 1)
    width = high - low if high != low else 0.001
    kept = 1 - ((torch.arange(half, dtype=torch.float32, device="cpu") - low) / width).clamp(0, 1)
    return 1.0 / (rope.factor * wavelengths) * (1 - kept) + 1.0 / wavelengths * kept


def yarn_attention_factor(factor: float, mscale: float, mscale_all_dim: float) -> float:
    """0.1 ln(factor) + 1 (arXiv:2309.00071, section 3.4), or the quotient of two such terms where both weights are given (not 0)."""

    def term(weight: float) -> float:
        return 0.1 * weight * math.log(factor) + 1.0 if factor > 1 else 1.0

    if mscale and mscale_all_dim:
        return term(mscale) / term(mscale_all_dim)
    return term(1.0)


RULES = {"default": _default, "linear": _linear, "llama3": _llama3, "yarn": _yarn}
