"""Frozen linear layers in 4-bit NormalFloat with doubly quantised scales: what QLoRA puts under its adapters.

A layer holds its codes, 4.127 bits a weight, and is dequantised when a matmul wants it. bitsandbytes does the arithmetic and is imported
with the first layer. Dettmers et al. 2023, arXiv:2305.14314.
"""

from __future__ import annotations

import functools
import logging
from types import ModuleType
from typing import Any

import torch
from torch import Tensor, nn

from kernels.dispatch import uses_triton
from kernels.nf4 import NF4, dequantise
from vgpt2.projections import Factors, kept, multiply

BLOCK, NESTED_BLOCK = 64, 256  # weights that share a scale, scales that share one of theirs
SLICE = 1 << 20  # weights quantised at once: bitsandbytes needs 20 bytes of room for each on the CPU


class Workspace:
    """Room for one dequantised weight, shared by all layers of a model: each matmul is done before the next weight is made."""

    def __init__(self) -> None:
        self._rooms: dict[tuple[torch.device, torch.dtype], Tensor] = {}

    def room(self, shape: torch.Size, dtype: torch.dtype, device: torch.device) -> Tensor:
        """An uninitialised tensor that the next call overwrites."""
        room = self._rooms.get((device, dtype))
        if room is None or room.numel() < shape.numel():
            room = self._rooms[device, dtype] = torch.empty(shape.numel(), dtype=dtype, device=device)
        return room[: shape.numel()].view(shape)


class NF4Linear(nn.Module):
    """y = x W^T + b with a frozen W (out, in) in NF4; no part of W is a parameter or in the state dict, the bias is both."""

    def __init__(self, linear: nn.Linear, workspace: Workspace) -> None:
        """Empty, with the shape and the bias of `linear`; `store` fills it."""
        super().__init__()
        self.in_features, self.out_features = linear.in_features, linear.out_features
        self.bias = linear.bias
        self.workspace = workspace
        self.codes: Tensor | None = None  # (out * in / 2, 1) uint8, two weights a byte
        self.scales: Any = None  # bitsandbytes' QuantState
        self.dtype = linear.weight.dtype

    def store(self, weight: Tensor, name: str) -> None:
        """Quantises `weight` (out, in), whose dtype and device the layer takes; raises ValueError for NaN or infinity under `name`."""
        low, high = weight.aminmax()
        if not (low.isfinite() and high.isfinite()):  # sync
            raise ValueError(f"{name}: holds NaN or infinite weights; the file is damaged or overflowed in {weight.dtype}")
        functional = bitsandbytes_functional()
        # As a vector: bitsandbytes' CPU kernel starts a block at every row of a matrix, which is wrong for rows of no multiple of 64.
        flat = weight.contiguous().view(-1)
        parts = [functional.quantize_4bit(part, blocksize=BLOCK, quant_type="nf4") for part in flat.split(SLICE)]
        scales = torch.cat([state.absmax for _, state in parts])
        offset, code = scales.mean(), parts[0][1].code
        nested, outer = functional.quantize_blockwise(scales - offset, blocksize=NESTED_BLOCK)
        self.codes, self.dtype = torch.cat([codes for codes, _ in parts]), weight.dtype
        self.scales = functional.QuantState(nested, flat.shape, code, BLOCK, "nf4", weight.dtype, offset, outer)

    @property
    def device(self) -> torch.device:
        return self._codes.device

    def dequantised(self, dtype: torch.dtype) -> Tensor:
        """W (out, in) in `dtype`, good until the next layer's is made.

        Our kernel and on CUDA bitsandbytes write into the shared room; on the CPU bitsandbytes makes a tensor that lives as long as the
        matmul.
        """
        codes, shape = self._codes, (self.out_features, self.in_features)
        if uses_triton(torch.empty(0, dtype=self.dtype, device=codes.device)):
            nested = self.scales.state2
            stored = NF4(codes.view(-1), self.scales.absmax, nested.code, nested.absmax, self.scales.offset, shape, BLOCK)
            return dequantise(stored, self.workspace.room(torch.Size(shape), self.dtype, codes.device)).to(dtype)
        room = self.workspace.room(self.scales.shape, self.dtype, codes.device) if codes.is_cuda else None
        weight: Tensor = bitsandbytes_functional().dequantize_4bit(codes, self.scales, out=room)
        return weight.view(shape).to(dtype)

    def factors(self, x: Tensor) -> Factors:
        device = x.device.type
        dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else self.dtype
        return Factors(functools.partial(self.dequantised, dtype), self.bias, dtype)

    def forward(self, x: Tensor) -> Tensor:
        return multiply(kept(x), [self.factors(x)])[0]

    @property
    def _codes(self) -> Tensor:
        assert self.codes is not None, "an NF4 layer was used before its weight was stored"
        return self.codes


def empty_nf4(model: nn.Module) -> dict[str, NF4Linear]:
    """Puts an empty NF4 layer in the place of every linear layer of the decoder, never of the head; by the names of their weights."""
    workspace = Workspace()
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear) and ".layers." in name}
    layers = {name: NF4Linear(module, workspace) for name, module in linear.items()}
    for name, layer in layers.items():
        model.set_submodule(name, layer)
    return {f"{name}.weight": layer for name, layer in layers.items()}


@functools.cache
def bitsandbytes_functional() -> ModuleType:
    """bitsandbytes.functional; raises ValueError where the package is missing.

    On a CPU with bfloat16 it looks for a distribution that is also called `kernels`, finds ours, and logs that as a failure.
    """
    logger = logging.getLogger("bitsandbytes.backends.cpu.ops")
    logger.addFilter(lambda record: "gemm_4bit_forward" not in record.getMessage())
    try:
        from bitsandbytes import functional
    except ImportError as error:
        raise ValueError(f"bitsandbytes is not installed ({error.name}); nf4 and adamw8bit need it: pip install bitsandbytes") from None
    module: ModuleType = functional
    return module
