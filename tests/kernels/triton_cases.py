"""Runs every public kernel in Triton and prints, one JSON object a case, its errors against the same formula in fp64.

In Triton's interpreter where TRITON_INTERPRET=1, else on the CUDA device. The interpreter cuts off the digits that a card would round.
"""

from __future__ import annotations

import json
import os
from collections.abc import Callable

import torch
from torch import Tensor
from triton.runtime.interpreter import GridExecutor

import kernels.linear_logps as linear_logps_module
from kernels import nf4
from kernels.rms_norm import add_rms_norm, rms_norm
from kernels.rope import rope
from kernels.swiglu import swiglu

WIDTH = 123


class Launches:
    """How many kernels were run so far."""

    count = 0


def count_launches() -> None:
    run = GridExecutor.__call__

    def counted(self: GridExecutor, *arguments: object, **options: object) -> None:
        Launches.count += 1
        run(self, *arguments, **options)

    GridExecutor.__call__ = counted


def compare(kernel: str, operation: Callable[..., Tensor | tuple[Tensor, ...]], inputs: list[Tensor], tokens: int) -> None:
    """Launches, and errors of values and gradients relative to the largest number of the exact tensor (absolute where that is 0)."""
    before = Launches.count
    ours = results(operation, inputs)
    launches = Launches.count - before
    exact = results(operation, [tensor.double() for tensor in inputs])
    assert Launches.count == before + launches, "fp64 is for the reference"
    report(kernel, inputs[0].dtype, tokens, launches, ours, exact)


def report(kernel: str, dtype: torch.dtype, tokens: int, launches: int, ours: list[Tensor], exact: list[Tensor]) -> None:
    case = {"kernel": kernel, "dtype": _name(dtype), "tokens": tokens, "launches": launches}
    errors = [error(one, other) for one, other in zip(ours, exact, strict=True)]
    print(json.dumps(case | {"tensors": len(exact), "dtypes": sorted({_name(tensor.dtype) for tensor in ours}), "errors": errors}))


def _name(dtype: torch.dtype) -> str:
    return str(dtype).removeprefix("torch.")


def results(operation: Callable[..., Tensor | tuple[Tensor, ...]], inputs: list[Tensor]) -> list[Tensor]:
    """Outputs, then the gradients of their sum with another factor for each element."""
    leaves = [tensor.clone().requires_grad_() for tensor in inputs]
    outputs = operation(*leaves)
    outputs = outputs if isinstance(outputs, tuple) else (outputs,)
    upstream = [torch.arange(1, 1 + y.numel()).sin().view(y.shape).to(inputs[0].dtype).to(y.dtype) for y in outputs]
    return [*outputs, *torch.autograd.grad(outputs, leaves, upstream)]


def error(ours: Tensor, exact: Tensor) -> float:
    assert ours.shape == exact.shape
    if not exact.numel():
        return 0.0
    scale = exact.abs().max().item() or 1.0
    return ((ours.double() - exact).abs().max() / scale).nan_to_num(nan=1e9).item()


def elementwise(dtype: torch.dtype, T: int) -> None:
    x, update = torch.randn(2, T, WIDTH).to(dtype)
    weight = torch.randn(WIDTH).to(dtype)
    compare("rms_norm", lambda x, weight: rms_norm(x, weight, 1e-6), [x, weight], T)
    compare("add_rms_norm", lambda x, update, weight: add_rms_norm(x, update, weight, 1e-6), [x, update, weight], T)
    compare("swiglu", swiglu, [x, update], T)
    heads = torch.randn(T, 301, 6).to(dtype)  # 1,505 short rows: several programs, a ragged last one
    compare("rms_norm, many rows", lambda x, weight: rms_norm(x, weight, 1e-6), [heads, weight[:6]], T)
    cos, sin = torch.randn(2, T, 1, 3)
    q, k = torch.randn(T, 7, 6).to(dtype), torch.randn(T, 2, 6).to(dtype)
    # clones: the kernel writes into the memory of what it is given
    compare("rope", lambda q, k: rope(q.clone(), k.clone(), cos, sin), [q, k], T)


def head(dtype: torch.dtype, T: int, labelled: str) -> None:
    """V = 123 in tiles of 50, 50 and 23, three positions at once."""
    linear_logps_module.TILE_CPU = linear_logps_module.TILE_CUDA = 50
    hidden, weight = (torch.randn(rows, 40).to(dtype) for rows in (T, WIDTH))
    labels = torch.randint(WIDTH, (T,))
    ignored = {"all labels": slice(0), "some labels": slice(1, None, 2), "no labels": slice(None)}[labelled]
    labels[ignored] = linear_logps_module.IGNORE
    name = f"linear_logps, {labelled}"
    compare(name, lambda hidden, weight: linear_logps_module.linear_logps(hidden, weight, labels, 3), [hidden, weight], T)


def four_bit(dtype: torch.dtype, rows: int) -> None:
    """Codes of all sixteen values in blocks that straddle rows, into a buffer whose rows are longer than the matrix's."""
    columns, block = WIDTH, 64
    count = rows * columns
    blocks = -(-count // block)
    weight = nf4.NF4(
        codes=torch.randint(256, (-(-count // 2),), dtype=torch.uint8),
        scales=torch.randint(256, (blocks,), dtype=torch.uint8),
        scale_codebook=torch.linspace(-1, 1, 256),
        scale_scales=torch.rand(-(-blocks // 256)),
        offset=torch.tensor(1.5),
        shape=(rows, columns),
    )
    buffer = torch.full((rows, columns + 7), torch.nan, dtype=dtype)
    before = Launches.count
    nf4.dequantise(weight, buffer[:, :columns])
    launches = Launches.count - before
    assert buffer[:, columns:].isnan().all()
    exact = torch.empty(rows, columns, dtype=torch.float64)
    nf4.dequantise(weight, exact)
    report("nf4", dtype, rows, launches, [buffer[:, :columns]], [exact])


if __name__ == "__main__":
    torch.manual_seed(0)
    torch.set_default_device("cpu" if os.environ.get("TRITON_INTERPRET") == "1" else "cuda")
    count_launches()
    for dtype in (torch.float32, torch.bfloat16, torch.float16):
        for T in (5, 1, 0):
            elementwise(dtype, T)
            four_bit(dtype, T)
            for labelled in ("all labels", "some labels", "no labels"):
                head(dtype, T, labelled)
