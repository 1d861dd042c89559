"""AdamW, the learning rate as a function of the step, gradient clipping, and the optimizer's moments as named tensors."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grads_with_norm_, get_total_norm

from vgpt2.config import OptimConfig

MOMENTS = ("exp_avg", "exp_avg_sq", "step")  # what AdamW keeps for a parameter
FUSED_DEVICES = frozenset({"cpu", "cuda"})


def build(model: nn.Module, cfg: OptimConfig) -> torch.optim.AdamW:
    """AdamW over the trainable parameters; weight decay reaches matrices only, never norms and biases.

    Fused where torch has it: a third of the CPU time, and equal bits for any number of threads.
    Raises ValueError when nothing is trainable. Loshchilov & Hutter 2017, arXiv:1711.05101.
    """
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError("optim: the model has no trainable parameter; add LoRA adapters or unfreeze it")
    matrices = [(name, parameter) for name, parameter in trainable if parameter.ndim >= 2]
    vectors = [(name, parameter) for name, parameter in trainable if parameter.ndim < 2]
    groups = [{"params": matrices, "weight_decay": cfg.weight_decay}, {"params": vectors, "weight_decay": 0.0}]
    is_fused = {parameter.device.type for _, parameter in trainable} <= FUSED_DEVICES
    return torch.optim.AdamW([group for group in groups if group["params"]], lr=cfg.lr, betas=cfg.betas, eps=cfg.eps, fused=is_fused)


def learning_rate(step: int, cfg: OptimConfig, total_steps: int) -> float:
    """Learning rate of the optimizer step number `step`, counted from 0 to total_steps - 1.

    Rises linearly, never from 0, to exactly cfg.lr at step w, the number of warm-up steps; then falls over the remaining steps towards
    min_lr_ratio * cfg.lr, which the step after the last one would have: no step is wasted at 0. wsd (warm-up, stable, decay: Hu et al.
    2024, arXiv:2404.06395) stays at cfg.lr until the last decay_ratio of all steps.
    """
    warmup = warmup_steps(cfg, total_steps)
    if step < warmup:
        return cfg.lr * (step + 1) / (warmup + 1)
    progress = (step - warmup) / (total_steps - warmup)  # [0, 1)
    share = {
        "constant": 1.0,
        "linear": 1.0 - progress,
        "cosine": 0.5 * (1.0 + math.cos(math.pi * progress)),
        "wsd": min(1.0, (total_steps - step) / (cfg.decay_ratio * total_steps)),
    }[cfg.schedule]
    return cfg.lr * (cfg.min_lr_ratio + (1.0 - cfg.min_lr_ratio) * share)


def warmup_steps(cfg: OptimConfig, total_steps: int) -> int:
    """Warm-up steps of a run: as configured, else the share of all steps, rounded up."""
    return math.ceil(cfg.warmup_ratio * total_steps) if cfg.warmup_steps is None else cfg.warmup_steps


def clip(parameters: Iterable[nn.Parameter], max_norm: float | None) -> Tensor:
    """Scales all gradients down to the global norm `max_norm` (None: never) and returns the norm they had before, ().

    Called once per optimizer step, on the accumulated gradient. A norm that is not finite says that the step must be skipped.
    """
    parameters = list(parameters)
    norm = get_total_norm(parameter.grad for parameter in parameters if parameter.grad is not None)
    if max_norm is not None:
        clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


def state_to_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as `<parameter name>.<moment>` -> tensor; empty before its first step."""
    return {
        f"{name}.{moment}": optimizer.state[parameter][moment].detach()
        for name, parameter in _named_parameters(optimizer).items()
        if parameter in optimizer.state
        for moment in MOMENTS
    }


def tensors_to_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Gives the optimizer the state that `state_to_tensors` took from one over equal parameters, copied; {} is a fresh start.

    Raises ValueError naming a tensor that is missing, unexpected, or of another shape or dtype.
    """
    parameters = _named_parameters(optimizer)
    expected = {f"{name}.{moment}" for name in parameters for moment in MOMENTS} if tensors else set()
    if expected != tensors.keys():
        missing, unexpected = sorted(expected - tensors.keys()), sorted(tensors.keys() - expected)
        key, what = (missing[0], "is missing") if missing else (unexpected[0], "belongs to no trainable parameter")
        raise ValueError(f"optimizer state: '{key}' {what} ({len(missing)} missing, {len(unexpected)} unexpected)")
    for name, parameter in parameters.items():
        for moment in MOMENTS if tensors else ():
            tensor, like = tensors[f"{name}.{moment}"], torch.zeros(()) if moment == "step" else parameter
            if tensor.shape != like.shape or tensor.dtype != like.dtype:
                found, wanted = f"{tuple(tensor.shape)} {tensor.dtype}", f"{tuple(like.shape)} {like.dtype}"
                raise ValueError(f"optimizer state: '{name}.{moment}' is {found}; the parameter needs {wanted}")
    optimizer.state.clear()
    for name, parameter in parameters.items() if tensors else ():
        optimizer.state[parameter] = {moment: tensors[f"{name}.{moment}"].to(parameter.device, copy=True) for moment in MOMENTS}


def _named_parameters(optimizer: torch.optim.Optimizer) -> dict[str, nn.Parameter]:
    return {name: parameter for group in optimizer.param_groups for name, parameter in zip(group["param_names"], group["params"])}
