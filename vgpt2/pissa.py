"""PiSSA: an adapter begins as the largest singular directions of its weight, and what is left of the weight is frozen in its place.

W = W_res + s B0 A0 at the start, so the function is the same; s B A is trained. The saved folder must fit the original base, so it holds
s (B A - B0 A0) as a plain LoRA of twice the rank, from which the start can be read back. Meng et al. 2024, arXiv:2404.02948.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor

from vgpt2.config import LoRAConfig


@dataclass(frozen=True)
class Start:
    """A0 (R, in) and B0 (out, R), on the CPU: they are wanted when a folder is written or read."""

    lora_A: Tensor
    lora_B: Tensor


@torch.no_grad()
def principal(weight: Tensor, rank: int, scale: float) -> Start:
    """s B0 A0 = the `rank` largest singular values of weight (out, in) with their directions, sqrt(sigma / s) on either side.

    By the eigenvectors of the smaller of W W^T and W^T W in fp64: half the time of an SVD in fp32, and nearer to the exact one.
    """
    is_wide = weight.shape[0] <= weight.shape[1]
    W = weight.double() if is_wide else weight.double().t()
    values, vectors = torch.linalg.eigh(W @ W.t())
    root = (values[-rank:].flip(0).clamp_min(0).sqrt() / scale).sqrt()  # (R,), the largest first
    directions = vectors[:, -rank:].flip(1)
    near = directions * root  # (smaller side, R)
    far = torch.where(root > 0, W.t() @ directions / (scale * root), 0.0)  # (larger side, R); sigma = s root^2
    lora_A, lora_B = (far.t(), near) if is_wide else (near.t(), far)
    dtype = torch.promote_types(weight.dtype, torch.float32)
    return Start(lora_A.to("cpu", dtype).contiguous(), lora_B.to("cpu", dtype).contiguous())


@torch.no_grad()
def take_out(weight: Tensor, start: Start, scale: float) -> None:
    """Leaves W - s B0 A0 in `weight`, rounded once to its dtype."""
    lora_A, lora_B = start.lora_A.to(weight.device), start.lora_B.to(weight.device)
    weight.copy_(weight.to(lora_A.dtype).addmm(lora_B, lora_A, alpha=-scale))


def as_lora(cfg: LoRAConfig) -> LoRAConfig:
    """The config of the folder that fits the original base: every rank twice, and alphas with which every scale stays what it is."""
    alphas = math.sqrt(2) if cfg.use_rslora else 2
    changes = {
        "init": "kaiming",
        "rank": 2 * cfg.rank,
        "alpha": alphas * cfg.alpha,
        "rank_pattern": {pattern: 2 * rank for pattern, rank in cfg.rank_pattern.items()},
        "alpha_pattern": {pattern: alphas * alpha for pattern, alpha in cfg.alpha_pattern.items()},
    }
    return cfg.model_copy(update=changes)


def joined(lora_A: Tensor, lora_B: Tensor, start: Start) -> tuple[Tensor, Tensor]:
    """[A; A0] (2R, in) and [B, -B0] (out, 2R), on the CPU: their product is B A - B0 A0, and nothing is rounded."""
    return torch.cat([lora_A.cpu(), start.lora_A]), torch.cat([lora_B.cpu(), -start.lora_B], 1)


def parted(lora_A: Tensor, lora_B: Tensor) -> tuple[Tensor, Tensor, Start]:
    """A, B and the start that `joined` put together."""
    (A, A0), (B, minus_B0) = lora_A.chunk(2), lora_B.chunk(2, 1)
    return A, B, Start(A0.contiguous(), (-minus_B0).contiguous())
