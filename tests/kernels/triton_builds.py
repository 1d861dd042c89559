"""Compiles every Triton kernel for real cards, without one, and prints registers and stack as its assembler counts them."""

from __future__ import annotations

import json
import re
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import triton
from triton.backends.compiler import GPUTarget
from triton.compiler import ASTSource

from kernels import linear_logps_triton, nf4_triton, rms_norm_triton, rope_triton, swiglu_triton

TOOLS = Path(triton.__file__).parent / "backends" / "nvidia" / "bin"
OTHERS = {"i32": "numel rows width q_heads k_heads half count columns row_stride", "fp32": "eps"}
POINTERS = {
    "fp32": "parts z picked peak total shrink share cos sin scale_codebook scale_scales offset codebook",
    "i64": "column",
    "u8": "codes scales",
}
NORM = {"OF_SUM": True, "ROWS": 1, "WIDTH": 4096}
HEAD = {"WIDTH": 16_384}
CASES: dict[str, tuple[Any, dict[str, Any], int]] = {
    "rms_norm": (rms_norm_triton._forward, NORM, 8),
    "rms_norm_backward": (rms_norm_triton._backward, NORM | {"TRAINS_WEIGHT": True}, 8),
    "swiglu": (swiglu_triton._forward, {"BLOCK": swiglu_triton.BLOCK}, 4),
    "swiglu_backward": (swiglu_triton._backward, {"BLOCK": swiglu_triton.BLOCK}, 4),
    "rope": (rope_triton._rotate, {"Q_HEADS": 32, "K_HEADS": 4, "HALF": 64, "BACK": True}, 8),
    "take_in": (linear_logps_triton._take_in, HEAD, 16),
    "logits_gradient": (linear_logps_triton._logits_gradient, HEAD, 16),
    "nf4": (nf4_triton._dequantise, {"SCALED": 64, "SCALE_BLOCK": 256, "BLOCK": nf4_triton.BLOCK}, 4),
}


def type_of(argument: str, kernel: str) -> str:
    if argument.isupper():
        return "constexpr"
    if not argument.endswith("_ptr"):
        return next(kind for kind, names in OTHERS.items() if argument in names.split())
    name = argument.removesuffix("_ptr")
    if (name == "total" and "norm" in kernel) or (name == "grad" and kernel != "logits_gradient"):
        return "*bf16"
    if name == "grad":
        return "*fp32"
    return "*" + next((kind for kind, names in POINTERS.items() if name in names.split()), "bf16")


def build(kernel: str, capability: int) -> dict[str, Any]:
    function, constants, warps = CASES[kernel]
    signature = {name: type_of(name, kernel) for name in function.arg_names}
    source = ASTSource(fn=function, signature=signature, constexprs=constants)
    built = triton.compile(source, target=GPUTarget("cuda", capability, 32), options={"num_warps": warps})
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "kernel.cubin"
        path.write_bytes(built.asm["cubin"])
        text = subprocess.run([TOOLS / "cuobjdump", "-res-usage", path], capture_output=True, text=True, check=True).stdout
    registers, stack = (int(n) for n in re.search(r"REG:(\d+) STACK:(\d+)", text).groups())
    return {"kernel": kernel, "capability": capability, "registers": registers, "stack_bytes": stack, "threads": warps * 32}


if __name__ == "__main__":
    for kernel in CASES:
        for capability in (80, 86, 90):
            print(json.dumps(build(kernel, capability)))
