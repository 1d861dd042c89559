"""Low-rank adapters on a built model: y = W x + s B A x with W frozen, s = alpha / rank or alpha / sqrt(rank).

Adapters are attached from outside (`add_lora`), stored in PEFT's folder format (`save_adapter`, `load_adapter`) and folded into the
weights when they are done (`merge_lora`). Hu et al. 2021, arXiv:2106.09685; rank-stabilised: Kalajdzievski 2023, arXiv:2312.03732.
"""

import difflib
import json
import math
import random
from functools import partial
from pathlib import Path

import safetensors
import torch
import torch.nn.functional as F
from pydantic import ValidationError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from vgpt2 import atomic
from vgpt2.config import LoRAConfig
from vgpt2.projections import Factors, kept, multiply
from vgpt2.qlora import NF4Linear

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
CONFIG_LIMIT_BYTES = 1 << 20
# Keys of PEFT's config that say where an adapter comes from or how it started, not what it computes.
INERT_KEYS = frozenset(
    {"auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "inference_mode", "layers_pattern", "loftq_config",
     "lora_ga_config", "megatron_config", "megatron_core", "peft_version", "qalora_group_size", "revision", "runtime_config", "task_type"}
)  # fmt: skip
READ_KEYS = frozenset({"r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules"})


class LoRALinear(nn.Module):
    """A frozen linear layer, perhaps in NF4, and its adapter: lora_A (R, in), lora_B (out, R), fp32 (fp64 on an fp64 base).

    The adapter's matmuls run in the autocast dtype, without autocast in the wider of its own and the input's; the result has the base's.
    """

    def __init__(self, base: nn.Linear | NF4Linear, cfg: LoRAConfig, generator: torch.Generator) -> None:
        super().__init__()
        self.base = base
        self.cfg = cfg
        self.scale = cfg.alpha / (math.sqrt(cfg.rank) if cfg.use_rslora else cfg.rank)
        device = base.device if isinstance(base, NF4Linear) else base.weight.device
        dtype = torch.promote_types(torch.float32, self._base_dtype)
        lora_A = torch.empty(cfg.rank, base.in_features, dtype=dtype)
        nn.init.kaiming_uniform_(lora_A, a=math.sqrt(5), generator=generator)
        self.lora_A = nn.Parameter(lora_A.to(device))
        self.lora_B = nn.Parameter(torch.zeros(base.out_features, cfg.rank, dtype=dtype, device=device))

    def forward(self, x: Tensor) -> Tensor:
        if (factors := self.factors(x)) is not None:
            return multiply(kept(x), [factors])[0]
        y, dtype = self.base(x), self._dtype(x)
        dropped = F.dropout(x, self.cfg.dropout, self.training).to(dtype)
        update = F.linear(F.linear(dropped, self.lora_A.to(dtype)), self.lora_B.to(dtype))
        return y + (self.scale * update).to(y.dtype)

    def factors(self, x: Tensor) -> Factors | None:
        """What `multiply` needs of this layer, or None with dropout or where the base cannot be multiplied in the adapter's dtype."""
        dtype, base = self._dtype(x), self.base
        drops = self.training and self.cfg.dropout > 0
        if drops or not (torch.is_autocast_enabled(x.device.type) or self._base_dtype == dtype):
            return None
        if isinstance(base, NF4Linear):
            return Factors(partial(base.dequantised, dtype), base.bias, dtype, self.lora_A, self.lora_B, self.scale)
        return Factors(base.weight, base.bias, dtype, self.lora_A, self.lora_B, self.scale) if type(base) is nn.Linear else None

    @property
    def _base_dtype(self) -> torch.dtype:
        return self.base.dtype if isinstance(self.base, NF4Linear) else self.base.weight.dtype

    def _dtype(self, x: Tensor) -> torch.dtype:
        """Of the adapter's matmuls."""
        if torch.is_autocast_enabled(x.device.type):
            return torch.get_autocast_dtype(x.device.type)
        return torch.promote_types(x.dtype, self.lora_A.dtype)


def add_lora(model: nn.Module, cfg: LoRAConfig, *, seed: int) -> None:
    """Freezes `model` and puts an adapter on every linear layer whose name ends in one of `cfg.targets`; its outputs stay bit-identical.

    A is drawn for each layer by its name and `seed`, whatever the other layers; B is 0.
    Raises ValueError when a target matches no layer or the model already has adapters. The head never takes one: it is no matmul of
    its own, its rows go straight into the log-probabilities.
    """
    if adapters(model):
        raise ValueError("lora: the model already has adapters; merge them first, or load the folder into them")
    linear = {name: module for name, module in model.named_modules() if isinstance(module, nn.Linear | NF4Linear)}
    layers = {name: module for name, module in linear.items() if name.rpartition(".")[2] != "lm_head"}
    last_names = sorted({name.rpartition(".")[2] for name in layers})
    matched: set[str] = set()
    for target in cfg.targets:
        hits = {name for name in layers if f".{name}".endswith(f".{target}")}
        if not hits:
            near = difflib.get_close_matches(target, last_names, n=1)
            hint = f"did you mean '{near[0]}'?" if near else f"choose from {', '.join(last_names)}"
            raise ValueError(f"lora.targets: no linear layer of the model is called '{target}'; {hint}")
        matched |= hits
    model.requires_grad_(False)
    for name in sorted(matched):
        generator = torch.Generator().manual_seed(random.Random(f"{seed}/lora/{name}").getrandbits(63))
        _replace(model, name, LoRALinear(layers[name], cfg, generator))


def adapters(model: nn.Module) -> dict[str, LoRALinear]:
    """The adapted layers of `model` by the names their base layers have in the bare model."""
    return {name: module for name, module in model.named_modules() if isinstance(module, LoRALinear)}


def lora_parameters(model: nn.Module) -> dict[str, nn.Parameter]:
    """Adapter parameters by their names in the model, in the model's order."""
    return {name: parameter for name, parameter in model.named_parameters() if name.endswith((".lora_A", ".lora_B"))}


@torch.no_grad()
def merge_lora(model: nn.Module) -> None:
    """Adds every adapter to its weight, W + s B A summed in fp32 and rounded once to W's dtype, and puts the bare layers back.

    Everything stays frozen. Raises ValueError when there is nothing to merge, and for a base in NF4, which the sum would round again.
    """
    layers = adapters(model)
    if not layers:
        raise ValueError("lora: the model has no adapters to merge")
    for name, layer in layers.items():
        if isinstance(layer.base, NF4Linear):
            raise ValueError(f"{name}: is in nf4, which merging would round anew; merge into the 16-bit folder: python -m vgpt2.export")
        weight = layer.base.weight
        wide = torch.promote_types(weight.dtype, torch.float32)
        weight.copy_(weight.to(wide).addmm(layer.lora_B.to(wide), layer.lora_A.to(wide), alpha=layer.scale))
        _replace(model, name, layer.base)


def save_adapter(model: nn.Module, folder: Path, base_name: str) -> None:
    """Writes the adapters as a folder that PEFT reads; `base_name` tells it which model they belong to."""
    layers = adapters(model)
    if not layers:
        raise ValueError("lora: the model has no adapters to save")
    cfg = next(iter(layers.values())).cfg
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": cfg.rank,
        "lora_alpha": int(cfg.alpha) if float(cfg.alpha).is_integer() else cfg.alpha,
        "lora_dropout": cfg.dropout,
        "use_rslora": cfg.use_rslora,
        "target_modules": sorted(cfg.targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": None,
        "init_lora_weights": True,
        "inference_mode": True,
    }
    tensors = {key: parameter.detach().cpu().contiguous() for key, parameter in _peft_names(layers).items()}
    folder.mkdir(parents=True, exist_ok=True)
    # Serialised here: safetensors' own writer neither flushes to the disk nor respects the umask.
    atomic.write_bytes(folder / WEIGHTS_FILE, to_bytes(tensors, metadata={"format": "pt"}))
    atomic.write_text(folder / CONFIG_FILE, json.dumps(config, indent=2, sort_keys=True) + "\n")


@torch.no_grad()
def load_adapter(model: nn.Module, folder: Path) -> None:
    """Fills the model's adapters from a folder that we or PEFT wrote; a model without adapters gets the folder's, all else frozen.

    Raises ValueError naming the file and the key for a setting that is unsupported or differs from the model's adapters, a missing
    or unexpected tensor, a wrong shape, or a value that is not finite.
    """
    cfg = read_adapter_config(folder)
    if not adapters(model):
        add_lora(model, cfg, seed=0)
    layers = adapters(model)
    own = next(iter(layers.values())).cfg
    for key in ("rank", "alpha", "use_rslora"):
        if getattr(cfg, key) != getattr(own, key):
            there, here = getattr(cfg, key), getattr(own, key)
            raise ValueError(f"{folder / CONFIG_FILE}: {key} is {there}, lora.{key} of this run is {here}; set lora.{key}={there}")
    path = folder / WEIGHTS_FILE
    tensors = _read_tensors(path)
    parameters = _peft_names(layers)
    missing, unexpected = parameters.keys() - tensors.keys(), tensors.keys() - parameters.keys()
    if missing or unexpected:
        key, what = (min(missing), "is missing") if missing else (min(unexpected), "fits no layer here")
        count = f"{len(missing)} missing, {len(unexpected)} unexpected"
        raise ValueError(f"{path}: '{key}' {what} ({count}); the adapter is incomplete or belongs to another model")
    for key, parameter in parameters.items():
        if tensors[key].shape != parameter.shape:
            raise ValueError(f"{path}: '{key}' is {tuple(tensors[key].shape)}, the model's is {tuple(parameter.shape)}; wrong base model")
        if not tensors[key].is_floating_point() or not tensors[key].isfinite().all():
            raise ValueError(f"{path}: '{key}' holds NaN, infinity or integers; train again from an earlier checkpoint")
    for key, parameter in parameters.items():
        parameter.copy_(tensors[key])


def read_adapter_config(folder: Path) -> LoRAConfig:
    """The settings of the adapter in `folder`; raises ValueError for a file that cannot be read or asks for more than plain LoRA."""
    path = folder / CONFIG_FILE
    try:
        config = json.loads(atomic.read_small(path.resolve(), CONFIG_LIMIT_BYTES))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; an adapter folder holds {CONFIG_FILE} and {WEIGHTS_FILE}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON ({type(error).__name__}); restore it from a checkpoint") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ValueError(f"{path}: peft_type is not 'LORA'; only LoRA adapters are read")
    allowed = {"bias": ("none", None), "init_lora_weights": (True, False, "gaussian", "orthogonal", "eva"), "peft_type": ("LORA",)}
    for key in sorted(config.keys() - INERT_KEYS - READ_KEYS):
        if config[key] not in allowed[key] if key in allowed else config[key]:
            value = json.dumps(config[key])[:40]
            raise ValueError(f"{path}: '{key}' is {value}; that adapter is more than plain LoRA, merge it with the tool that made it")
    targets = config.get("target_modules")
    if not isinstance(targets, list):
        raise ValueError(f"{path}: 'target_modules' is not a list of layer names; write out the list that the pattern stands for")
    try:
        return LoRAConfig(
            rank=config.get("r", 0),
            alpha=config.get("lora_alpha", 0),
            dropout=config.get("lora_dropout", 0.0),
            use_rslora=config.get("use_rslora", False),
            targets=tuple(sorted(targets)),
        )
    except (ValidationError, TypeError) as error:
        field = str(error.errors()[0]["loc"][0]) if isinstance(error, ValidationError) else "targets"
        key = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "targets": "target_modules"}.get(field, field)
        raise ValueError(f"{path}: '{key}' is missing or has an impossible value; restore it from a checkpoint") from None


def _peft_names(layers: dict[str, LoRALinear]) -> dict[str, nn.Parameter]:
    names: dict[str, nn.Parameter] = {}
    for name, layer in layers.items():
        names[f"base_model.model.{name}.lora_A.weight"] = layer.lora_A
        names[f"base_model.model.{name}.lora_B.weight"] = layer.lora_B
    return names


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; pickled .bin adapters are never read, convert with PEFT's safe_serialization")
    try:
        return load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: is damaged ({str(error).splitlines()[0][:60]}); restore it or take an earlier checkpoint") from None


def _replace(model: nn.Module, name: str, module: nn.Module) -> None:
    parent, _, last = name.rpartition(".")
    setattr(model.get_submodule(parent), last, module)
