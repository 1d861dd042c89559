"""Who computes a kernel: Triton where it can run, the plain PyTorch reference everywhere else.

VGPT2_KERNELS=auto (default): Triton on CUDA tensors of 16 or 32 bits where the package is installed. reference: never. triton: always;
on the CPU that needs Triton's interpreter (TRITON_INTERPRET=1), which is for tests, not for speed.
"""

from __future__ import annotations

import functools
import importlib.util
import os

import torch
from torch import Tensor, nn

VARIABLE = "VGPT2_KERNELS"
CHOICES = ("auto", "triton", "reference")
DTYPES = (torch.float32, torch.bfloat16, torch.float16)  # kernels accumulate in fp32, so fp64 stays with the reference
# Fused multiply-adds, said aloud: Triton 3.9 warns where nothing is said, and its default is to change.
os.environ.setdefault("TRITON_DEFAULT_FP_FUSION", "1")


def uses_triton(x: Tensor) -> bool:
    """Whether the Triton form of a kernel takes x; raises ValueError for a wrong or impossible VGPT2_KERNELS."""
    kernels = choice(os.environ.get(VARIABLE, "auto"))
    # a fake or distributed tensor has no memory that a launch could be given
    if kernels == "reference" or x.dtype not in DTYPES or type(x) not in (Tensor, nn.Parameter) or x.device.type == "meta":
        return False
    if kernels == "auto":
        return x.is_cuda and has_triton()
    if not has_triton():
        raise ValueError(f"{VARIABLE}: triton is not installed here; install it, or set {VARIABLE}=auto")
    if not x.is_cuda and os.environ.get("TRITON_INTERPRET") != "1":
        raise ValueError(f"{VARIABLE}: triton runs on {x.device.type} only with TRITON_INTERPRET=1; set that, or {VARIABLE}=auto")
    return True


def choice(value: str) -> str:
    if value not in CHOICES:
        raise ValueError(f"{VARIABLE}: {value[:40]!r} is no choice; take {', '.join(CHOICES[:-1])} or {CHOICES[-1]}")
    return value


@functools.cache
def has_triton() -> bool:
    return importlib.util.find_spec("triton") is not None
