"""AdamW, the learning rate as a function of the step, gradient clipping, and the optimizer's moments as named tensors."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor, nn
from torch.nn.utils import clip_grad_norm_, clip_grads_with_norm_, get_total_norm

from vgpt2.config import OptimConfig
from vgpt2.tensor_adamw import TensorAdamW

FUSED_DEVICES = frozenset({"cpu", "cuda"})


def build(model: nn.Module, cfg: OptimConfig, *, seed: int = 0, loraplus_ratio: float = 1.0) -> torch.optim.AdamW | TensorAdamW:
    """AdamW over the trainable parameters; weight decay reaches matrices only, never norms and biases.

    Fused where torch has it: a third of the CPU time, and equal bits for any number of threads. 8-bit moments and steps in the backward
    pass have an implementation of their own, in which `seed` decides how bf16 weights round. A group's `lr_ratio` multiplies the step's
    learning rate: `loraplus_ratio` for adapters' B (LoRA+, Hayou et al. 2024, arXiv:2402.12354), 1 for the rest.
    Raises ValueError when nothing is trainable. Loshchilov & Hutter 2017, arXiv:1711.05101.
    """
    trainable = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    if not trainable:
        raise ValueError("optim: the model has no trainable parameter; add LoRA adapters or unfreeze it")
    is_faster = {name: name.endswith(".lora_B") and loraplus_ratio != 1 for name, _ in trainable}
    faster = [(name, parameter) for name, parameter in trainable if is_faster[name]]
    matrices = [(name, parameter) for name, parameter in trainable if parameter.ndim >= 2 and not is_faster[name]]
    vectors = [(name, parameter) for name, parameter in trainable if parameter.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": cfg.weight_decay, "lr_ratio": 1.0},
        {"params": faster, "weight_decay": cfg.weight_decay, "lr_ratio": loraplus_ratio},
        {"params": vectors, "weight_decay": 0.0, "lr_ratio": 1.0},
    ]
    groups = [group for group in groups if group["params"]]
    if cfg.kind == "adamw8bit" or cfg.in_backward:
        optimizer = TensorAdamW(groups, cfg, seed=seed)
        if cfg.in_backward:
            optimizer.step_in_backward(max_norm=cfg.max_grad_norm)
        return optimizer
    is_fused = {parameter.device.type for _, parameter in trainable} <= FUSED_DEVICES
    return torch.optim.AdamW(groups, lr=cfg.lr, betas=cfg.betas, eps=cfg.eps, fused=is_fused)


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


def clip(parameters: Iterable[nn.Parameter], max_norm: float | None, *, each: bool = False) -> Tensor:
    """Scales all gradients down to the global norm `max_norm` (None: never) and returns the norm they had before, ().

    each: every tensor has the bound for itself. Called once per optimizer step, on the accumulated gradient. A norm that is not finite
    says that the step must be skipped.
    """
    parameters = list(parameters)
    norm = get_total_norm(parameter.grad for parameter in parameters if parameter.grad is not None)
    if max_norm is not None and each:
        for parameter in parameters:
            clip_grad_norm_(parameter, max_norm)
    elif max_norm is not None:
        clip_grads_with_norm_(parameters, max_norm, norm)
    return norm


def state_to_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """The optimizer's state as `<parameter name>.<moment>` -> tensor; empty before its first step."""
    if isinstance(optimizer, TensorAdamW) and optimizer.is_paged:
        torch.cuda.synchronize()  # sync: torch takes paged moments for the host's, and would not wait for the kernels that write them
    return {
        f"{name}.{moment}": optimizer.state[parameter][moment].detach()
        for name, parameter in _named_parameters(optimizer).items()
        if parameter in optimizer.state
        for moment in optimizer.state[parameter]
    }


def tensors_to_state(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Gives the optimizer the state that `state_to_tensors` took from one over equal parameters, copied; {} is a fresh start.

    Raises ValueError naming a tensor that is missing, unexpected, or of another shape or dtype.
    """
    parameters = _named_parameters(optimizer)
    likes = {
        f"{name}.{moment}": like
        for name, parameter in parameters.items()
        for moment, like in _moments(optimizer, parameter, "meta").items()
    }
    expected = likes.keys() if tensors else set()
    if expected != tensors.keys():
        missing, unexpected = sorted(expected - tensors.keys()), sorted(tensors.keys() - expected)
        key, what = (missing[0], "is missing") if missing else (unexpected[0], "belongs to no trainable parameter")
        raise ValueError(f"optimizer state: '{key}' {what} ({len(missing)} missing, {len(unexpected)} unexpected)")
    for key, tensor in tensors.items():
        if tensor.shape != likes[key].shape or tensor.dtype != likes[key].dtype:
            found, wanted = f"{tuple(tensor.shape)} {tensor.dtype}", f"{tuple(likes[key].shape)} {likes[key].dtype}"
            raise ValueError(f"optimizer state: '{key}' is {found}; the parameter needs {wanted}")
    optimizer.state.clear()
    for name, parameter in parameters.items() if tensors else ():
        optimizer.state[parameter] = _moments(optimizer, parameter, parameter.device)
        for moment, room in optimizer.state[parameter].items():
            room.copy_(tensors[f"{name}.{moment}"])


def state_bytes(optimizer: torch.optim.Optimizer) -> int:
    """Bytes of the tensors that `state_to_tensors` gives after the first step."""
    parameters = _named_parameters(optimizer).values()
    return sum(like.nbytes for parameter in parameters for like in _moments(optimizer, parameter, "meta").values())


def _moments(optimizer: torch.optim.Optimizer, parameter: nn.Parameter, device: torch.device | str) -> dict[str, Tensor]:
    """What the optimizer keeps for a parameter on `device`, with values of no meaning."""
    if isinstance(optimizer, TensorAdamW):
        return optimizer.fresh_state(parameter, device)
    moments = {name: torch.empty_like(parameter, device=device, requires_grad=False) for name in ("exp_avg", "exp_avg_sq")}
    return moments | {"step": torch.zeros((), device=device)}


def _named_parameters(optimizer: torch.optim.Optimizer) -> dict[str, nn.Parameter]:
    return {name: parameter for group in optimizer.param_groups for name, parameter in zip(group["param_names"], group["params"])}
