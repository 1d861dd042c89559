"""What `kernels.bench` compares: each kernel's formula and operation, inputs of a named model, and the work that cannot be avoided."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from kernels.linear_logps import linear_logps
from kernels.nf4 import NF4, SCALE_BLOCK, codebook, dequantise, dequantise_reference
from kernels.rms_norm import add_rms_norm, rms_norm, rms_norm_reference
from kernels.rope import rope, rope_reference, rope_tables
from kernels.swiglu import swiglu, swiglu_reference

Operation = Callable[..., Tensor | tuple[Tensor, ...]]
EPS = 1e-6


@dataclass(frozen=True)
class Shapes:
    """D hidden, H and K heads of width Dh, I of the feed-forward block, V entries."""

    model: str
    D: int
    H: int
    K: int
    Dh: int
    I: int
    V: int


QWEN_7B = Shapes("Qwen2.5-7B", 3584, 28, 4, 128, 18_944, 152_064)
QWEN_05B = Shapes("Qwen2.5-0.5B", 896, 14, 2, 64, 4864, 151_936)
ODD = Shapes("odd sizes", 123, 7, 2, 6, 61, 123)


@dataclass(frozen=True)
class Case:
    """formula: plain PyTorch under autograd; operation: the public one. Both take `inputs`, which get gradients and may be overwritten.

    traffic: bytes that forward and backward must move, each input read once and each result written once; flops where matmuls decide.
    exact: what errors are measured against, where it is not the formula on inputs in fp64. matrix: the 4-bit one, for a peer to read.
    """

    kernel: str
    shape: str
    formula: Operation
    operation: Operation
    inputs: tuple[Tensor, ...]
    traffic: int
    flops: int | None = None
    exact: Operation | None = None
    matrix: NF4 | None = None


def cases(sizes: Shapes, tokens: int, scored: int, dtype: torch.dtype, device: torch.device) -> list[Case]:
    """One case a kernel for `tokens` tokens of the model, `scored` of them at the head; random inputs, drawn anew each call."""

    def random(*shape: int) -> Tensor:
        return torch.randn(shape, dtype=dtype, device=device)

    T, D, I, V, width, itemsize = tokens, sizes.D, sizes.I, sizes.V, (sizes.H + sizes.K) * sizes.Dh, dtype.itemsize
    x, update, weight = random(T, D).requires_grad_(), random(T, D).requires_grad_(), random(D)
    gate, up = random(T, I).requires_grad_(), random(T, I).requires_grad_()
    q, k = random(T, sizes.H, sizes.Dh).requires_grad_(), random(T, sizes.K, sizes.Dh).requires_grad_()
    inv_freq = 10_000.0 ** -(torch.arange(sizes.Dh // 2, device=device) * 2 / sizes.Dh)
    cos, sin = rope_tables(torch.arange(T, device=device), inv_freq, 1.0)
    hidden, head, labels = random(scored, D).requires_grad_(), random(V, D) / D**0.5, torch.randint(V, (scored,), device=device)
    matrix, values = random_nf4(I, D, device), codebook(device)
    buffer = torch.empty(I, D, dtype=dtype, device=device)

    def add_then_norm(x: Tensor, update: Tensor) -> tuple[Tensor, Tensor]:
        return x + update, rms_norm_reference(x + update, weight, EPS)

    def whole_logits(hidden: Tensor) -> Tensor:
        logits = hidden @ head.to(hidden.dtype).t()
        return logits.to(torch.promote_types(hidden.dtype, torch.float32)).log_softmax(-1).gather(1, labels[:, None])[:, 0]

    return [
        Case(
            "rms_norm",
            f"T={T} D={D}",
            lambda x: rms_norm_reference(x, weight, EPS),
            lambda x: rms_norm(x, weight, EPS),
            (x,),
            5 * T * D * itemsize,
        ),
        Case(
            "add_rms_norm",
            f"T={T} D={D}",
            add_then_norm,
            lambda x, update: add_rms_norm(x, update, weight, EPS),
            (x, update),
            8 * T * D * itemsize,
        ),
        Case("swiglu", f"T={T} I={I}", swiglu_reference, swiglu, (gate, up), 8 * T * I * itemsize),
        Case(
            "rope",
            f"T={T} H={sizes.H} K={sizes.K} Dh={sizes.Dh}",
            lambda q, k: (rope_reference(q, cos, sin), rope_reference(k, cos, sin)),
            lambda q, k: rope(q, k, cos, sin),
            (q, k),
            4 * T * width * itemsize + 2 * 4 * T * sizes.Dh,
        ),
        Case(
            "linear_logps",
            f"scored={scored} D={D} V={V}",
            whole_logits,
            lambda hidden: linear_logps(hidden, head, labels),
            (hidden,),
            (2 * V * D + 3 * scored * D) * itemsize,
            flops=4 * scored * V * D,
        ),
        Case(
            "nf4",
            f"{I} x {D}",
            lambda: buffer.copy_(dequantise_reference(matrix, values)),
            lambda: dequantise(matrix, buffer),
            (),
            I * D // 2 + I * D // matrix.block + I * D * itemsize,
            exact=lambda: dequantise_reference(matrix, values),
            matrix=matrix,
        ),
    ]


def random_nf4(rows: int, columns: int, device: torch.device) -> NF4:
    blocks = -(-rows * columns // 64)
    return NF4(
        codes=torch.randint(256, (-(-rows * columns // 2),), dtype=torch.uint8, device=device),
        scales=torch.randint(256, (blocks,), dtype=torch.uint8, device=device),
        scale_codebook=torch.linspace(-1, 1, 256, device=device),
        scale_scales=torch.rand(-(-blocks // SCALE_BLOCK), device=device),
        offset=torch.tensor(1.5, device=device),
        shape=(rows, columns),
    )
