"""AdamW that steps one tensor at a time: moments in 8 bits, bf16 weights that round stochastically, steps inside the backward pass.

A full fine-tune of bf16 weights on one card holds 4 bytes a weight (weight, two 8-bit moments) and one gradient at a time. bf16 keeps 8
bits: rounded to the nearest, an update below 2^-9 of its weight would always vanish; rounded up with the probability of what is cut off,
it arrives on average. Dettmers et al. 2021, arXiv:2110.02861; Lv et al. 2023, arXiv:2306.09782.
"""

from __future__ import annotations

import functools
import math
import random
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor, nn

from kernels.linear_logps import Walk, hand_tiles_to
from vgpt2.config import OptimConfig
from vgpt2.qlora import bitsandbytes_functional
from vgpt2.targets import HEAD

BLOCK = 256  # values that share a scale, fixed by bitsandbytes
SMALLEST_IN_8_BITS = 4096  # values; smaller tensors (norms, biases) are sensitive and cost nothing
SLICE = 1 << 24  # values stepped at once: their fp32 forms are all that exists beside weight, gradient and moments; whole blocks


class TensorAdamW(torch.optim.Optimizer):
    """AdamW (decoupled decay, corrected moments) over groups of (name, parameter).

    fp32 weights take the step as it is; bf16 weights are widened, stepped and rounded stochastically. What is drawn follows from
    (seed, name, step) alone, so a run that goes on is the run that was never interrupted.
    """

    def __init__(self, groups: list[dict[str, Any]], cfg: OptimConfig, *, seed: int) -> None:
        super().__init__(groups, {"lr": cfg.lr, "betas": cfg.betas, "eps": cfg.eps})
        self.has_8_bits = cfg.kind == "adamw8bit"
        self.is_paged = cfg.paged
        self.seed = seed
        self._squared_norms: dict[str, Tensor] = {}

    @torch.no_grad()
    def step(self, closure: None = None) -> None:  # type: ignore[override]
        for group in self.param_groups:
            for name, parameter in zip(group["param_names"], group["params"]):
                if parameter.grad is not None:
                    self.step_tensor(name, parameter, group)

    def step_in_backward(self, *, max_norm: float | None) -> None:
        """From now on each parameter steps as soon as its gradient is whole, which is freed then; `step` finds nothing left.

        max_norm bounds each tensor's own norm. A gradient that is not finite is not stepped. The head's is never whole: its tiles are
        computed twice, first for the norm that decides about all of them, then to step. A head that is also the embedding has a gradient
        of two parts, whose sum is whole.
        """
        for group in self.param_groups:
            for name, parameter in zip(group["param_names"], group["params"]):
                if name == f"{HEAD}.weight":  # a tied one goes by the embedding's name
                    hand_tiles_to(functools.partial(self._take_tiles, name, group, max_norm, parameter), parameter)
                else:
                    parameter.register_post_accumulate_grad_hook(functools.partial(self._take, name, group, max_norm))

    def pop_norm(self) -> Tensor:
        """Norm () of all gradients that stepped in the backward pass since the last call, before clipping; not finite if one was not."""
        norm = torch.stack(list(self._squared_norms.values())).sum().sqrt()
        self._squared_norms.clear()
        return norm

    def fresh_state(self, parameter: nn.Parameter, device: torch.device | str) -> dict[str, Tensor]:
        """Moments of a parameter before its first step; paged ones are CPU tensors to torch, whatever the device."""
        step = torch.zeros((), device="meta" if device == "meta" else "cpu")  # read by Python: never a reason to wait for the GPU
        if not self.has_8_bits or parameter.numel() < SMALLEST_IN_8_BITS:
            moments = {name: torch.zeros(parameter.shape, device=device) for name in ("exp_avg", "exp_avg_sq")}
            return moments | {"step": step}
        blocks = math.ceil(parameter.numel() / BLOCK)
        is_here = device == "meta" or not self.is_paged
        zeros: Callable[..., Tensor] = functools.partial(torch.zeros, dtype=torch.uint8) if is_here else paged_zeros
        return {
            # 0 has the code 127 in the signed map; with a scale of 0 every code means 0
            **{name: zeros(parameter.numel(), device=device) for name in ("exp_avg", "exp_avg_sq")},
            **{name: torch.zeros(blocks, device=device) for name in ("exp_avg_scale", "exp_avg_sq_scale")},
            "step": step,
        }

    def step_tensor(self, name: str, parameter: nn.Parameter, group: dict[str, Any]) -> None:
        """One step of one parameter by its `.grad`."""
        assert parameter.grad is not None
        self._begin_step(parameter)
        self._step_values(name, parameter, group, parameter.grad.reshape(-1), first=0)

    def _begin_step(self, parameter: nn.Parameter) -> None:
        if parameter not in self.state:
            self.state[parameter] = self.fresh_state(parameter, parameter.device)
        self.state[parameter]["step"] += 1

    def _step_values(self, name: str, parameter: nn.Parameter, group: dict[str, Any], grad: Tensor, *, first: int) -> None:
        """Steps the values that `grad` (n,) is of: those of the flat parameter from number `first` on, where a block of moments begins."""
        assert first % BLOCK == 0, first
        state, values = self.state[parameter], parameter.detach().view(-1)
        step = int(state["step"])
        for start in range(0, grad.numel(), SLICE):
            stop = min(start + SLICE, grad.numel())
            part = slice(first + start, first + stop)
            weight = values[part]
            assert weight.dtype in (torch.float32, torch.bfloat16), weight.dtype
            wide = weight.float()  # the weight itself where it is fp32
            if "exp_avg_scale" in state:
                _step_8_bits(wide, grad[start:stop].float(), state, part, step, group)
            else:
                _step_fp32(wide, grad[start:stop].float(), state, part, step, group)
            if weight.dtype == torch.bfloat16:
                seed = random.Random(f"{self.seed}/rounding/{name}/{step}/{part.start}").getrandbits(63)
                weight.copy_(round_stochastically(wide, torch.Generator(weight.device).manual_seed(seed)))

    @torch.no_grad()
    def _take(self, name: str, group: dict[str, Any], max_norm: float | None, parameter: nn.Parameter) -> None:
        assert parameter.grad is not None
        norm = torch.linalg.vector_norm(parameter.grad, dtype=torch.float32)
        self._squared_norms[name] = norm.square()
        if norm.isfinite():  # sync
            if max_norm is not None:
                parameter.grad.mul_(_shrink(norm, max_norm))
            self.step_tensor(name, parameter, group)
        parameter.grad = None

    @torch.no_grad()
    def _take_tiles(self, name: str, group: dict[str, Any], max_norm: float | None, parameter: nn.Parameter, walk: Walk) -> None:
        assert name not in self._squared_norms, f"{name} has stepped: its gradients of two forward passes are never summed"
        squares: list[Tensor] = []
        walk(lambda _, tile: squares.append(torch.linalg.vector_norm(tile).square()))
        self._squared_norms[name] = torch.stack(squares).sum()
        norm = self._squared_norms[name].sqrt()
        if not norm.isfinite():  # sync
            return

        def step(rows: slice, tile: Tensor) -> None:
            if max_norm is not None:
                tile.mul_(_shrink(norm, max_norm))
            self._step_values(name, parameter, group, tile.view(-1), first=rows.start * parameter.shape[1])

        self._begin_step(parameter)
        walk(step)


def paged_zeros(size: int, *, device: torch.device) -> Tensor:
    """Zeros (size,) uint8 that lie on the host or on the card, as its driver decides; bitsandbytes never gives such memory back."""
    torch.cuda.synchronize(device)  # sync: not every driver lets the host touch such memory while a kernel runs
    zeros: Tensor = bitsandbytes_functional().get_paged(size, dtype=torch.uint8, device=device)
    return zeros.zero_()


def _part_of(codes: Tensor, part: slice) -> Tensor:
    """codes[part]; of paged ones marked as bitsandbytes wants it, and on its way: a kernel would fetch it page by page."""
    values = codes[part]
    if getattr(codes, "is_paged", False):
        values.is_paged, values.page_deviceid = True, codes.page_deviceid  # type: ignore[attr-defined]
        bitsandbytes_functional().prefetch_tensor(values)
    return values


def _shrink(norm: Tensor, max_norm: float) -> Tensor:
    """What a gradient of `norm` () is multiplied by, so that its own is at most max_norm."""
    return (max_norm / (norm + 1e-6)).clamp(max=1.0)


def round_stochastically(wide: Tensor, generator: torch.Generator) -> Tensor:
    """wide (fp32, finite) as bf16: one of its two neighbours, the nearer the likelier, so that the mean is wide itself."""
    noise = torch.randint(0, 1 << 16, wide.shape, dtype=torch.int32, device=wide.device, generator=generator)
    bits = wide.view(torch.int32) + noise  # bf16 is the upper half of fp32: what is cut off carries over with its own probability
    return (bits & -(1 << 16)).view(torch.float32).to(torch.bfloat16)


def _step_fp32(weight: Tensor, grad: Tensor, state: dict[str, Tensor], part: slice, step: int, group: dict[str, Any]) -> None:
    beta1, beta2 = group["betas"]
    exp_avg, exp_avg_sq = state["exp_avg"].view(-1)[part], state["exp_avg_sq"].view(-1)[part]
    exp_avg.lerp_(grad, 1 - beta1)
    exp_avg_sq.mul_(beta2).addcmul_(grad, grad, value=1 - beta2)
    root = exp_avg_sq.sqrt().div_(math.sqrt(1 - beta2**step)).add_(group["eps"])
    weight.mul_(1 - group["lr"] * group["weight_decay"]).addcdiv_(exp_avg, root, value=-group["lr"] / (1 - beta1**step))


def _step_8_bits(weight: Tensor, grad: Tensor, state: dict[str, Tensor], part: slice, step: int, group: dict[str, Any]) -> None:
    beta1, beta2 = group["betas"]
    first = part.start // BLOCK
    blocks = slice(first, first + math.ceil(weight.numel() / BLOCK))
    signed, unsigned = _codes(weight.device)
    bitsandbytes_functional().optimizer_update_8bit_blockwise(
        "adam",
        grad,
        weight,
        _part_of(state["exp_avg"], part),
        _part_of(state["exp_avg_sq"], part),
        beta1,
        beta2,
        0.0,  # of optimizers with a third moment
        0.0,
        group["eps"],
        step,
        group["lr"],
        signed,
        unsigned,
        state["exp_avg_scale"][blocks],
        state["exp_avg_sq_scale"][blocks],
        group["weight_decay"],
    )


@functools.cache
def _codes(device: torch.device) -> tuple[Tensor, Tensor]:
    """bitsandbytes' 256 levels of signed and of unsigned values."""
    functional = bitsandbytes_functional()
    signed, unsigned = (functional.create_dynamic_map(signed=is_signed).to(device) for is_signed in (True, False))
    return signed, unsigned
