"""Adapters as PEFT's folder: adapter_config.json and adapter_model.safetensors, in both directions, every mistake by file and key.

What is written fits the original base model, PiSSA's adapters too (see pissa.py). What says more than our layers can do is refused.
"""

import json
from pathlib import Path
from typing import Any

import safetensors
import torch
from pydantic import ValidationError
from safetensors.torch import load_file
from safetensors.torch import save as to_bytes
from torch import Tensor, nn

from vgpt2 import atomic, modules_to_save, pissa
from vgpt2.config import LoRAConfig
from vgpt2.lora import LoRALinear, adapters, add_lora, linear_layers
from vgpt2.targets import EMBEDDING, HEAD, adapted, is_end, rank_of

CONFIG_FILE, WEIGHTS_FILE = "adapter_config.json", "adapter_model.safetensors"
CONFIG_LIMIT_BYTES = 1 << 20
PREFIX = "base_model.model."
# Keys of PEFT's config that say where an adapter comes from or how it started, not what it computes.
INERT_KEYS = frozenset(
    {"auto_mapping", "base_model_name_or_path", "corda_config", "eva_config", "inference_mode", "layers_pattern", "loftq_config",
     "lora_ga_config", "megatron_config", "megatron_core", "peft_version", "qalora_group_size", "revision", "runtime_config", "task_type"}
)  # fmt: skip
# ours -> PEFT's, where they differ
NAMES = {"rank": "r", "alpha": "lora_alpha", "dropout": "lora_dropout", "targets": "target_modules", "init": "init_lora_weights"}
READ_KEYS = frozenset(
    {"r", "lora_alpha", "lora_dropout", "use_rslora", "target_modules", "rank_pattern", "alpha_pattern", "modules_to_save", "use_dora",
     "ensure_weight_tying"}
)  # fmt: skip
AGREED = ("rank", "alpha", "rank_pattern", "alpha_pattern", "use_rslora", "use_dora", "init")


def save_adapter(model: nn.Module, folder: Path, base_name: str) -> None:
    """Writes the adapters and what is trained whole as a folder that PEFT reads; `base_name` tells it which model they belong to."""
    layers = adapters(model)
    if not layers:
        raise ValueError("lora: the model has no adapters to save")
    own = next(iter(layers.values())).cfg
    whole = modules_to_save.weights_of(model, own)
    is_tied = len(set(map(id, whole.values()))) < len(whole)
    config = _peft_config(pissa.as_lora(own) if own.init == "pissa" else own, base_name, is_tied=is_tied)
    tensors = {key: tensor.detach().cpu().contiguous() for key, tensor in (_parameters(layers) | _joined(layers)).items()}
    # a tied one twice, as PEFT writes it; the library refuses two names of one memory
    tensors |= {_key_of(name): weight.detach().cpu().clone() for name, weight in whole.items()}
    folder.mkdir(parents=True, exist_ok=True)
    # Serialised here: safetensors' own writer neither flushes to the disk nor respects the umask.
    atomic.write_bytes(folder / WEIGHTS_FILE, to_bytes(tensors, metadata={"format": "pt"}))
    # keys of patterns stay in their order: the first that fits decides
    atomic.write_text(folder / CONFIG_FILE, json.dumps(dict(sorted(config.items())), indent=2) + "\n")


@torch.no_grad()
def load_adapter(model: nn.Module, folder: Path) -> None:
    """Fills the model's adapters from a folder that we or PEFT wrote; a model without adapters gets the folder's, all else frozen.

    Raises ValueError naming the file and the key for a setting that is unsupported or differs from the model's adapters, a missing
    or unexpected tensor, a wrong shape, or a value that is not finite.
    """
    cfg, path = read_adapter_config(folder), folder / WEIGHTS_FILE
    tensors = _read_tensors(path)
    if _key_of(HEAD) in tensors and any(EMBEDDING.endswith(entry) or entry.endswith(EMBEDDING) for entry in cfg.modules_to_save):
        # PEFT leaves the head out of the list where it is the embedding
        cfg = cfg.model_copy(update={"modules_to_save": tuple(dict.fromkeys((*cfg.modules_to_save, HEAD)))})
    if not adapters(model):
        add_lora(model, cfg, seed=0)
    layers = adapters(model)
    own = next(iter(layers.values())).cfg
    whole = modules_to_save.weights_of(model, own)
    if whole.keys() != modules_to_save.weights_of(model, cfg).keys():
        there, here = (json.dumps(each.modules_to_save) for each in (cfg, own))
        said = f"modules_to_save is {there}, lora.modules_to_save of this run is {here}; set lora.modules_to_save={there}"
        raise ValueError(f"{folder / CONFIG_FILE}: {said}")
    holds_start = own.init == "pissa" and cfg.init != "pissa"
    _refuse_difference(folder / CONFIG_FILE, cfg, own, holds_start=holds_start)
    parameters = _parameters(layers) | {_key_of(name): weight for name, weight in whole.items()}
    _refuse_misfits(path, tensors, parameters | (_joined(layers) if holds_start else {}))
    ends = [tensors[_key_of(name)] for name in whole if is_end(name)]
    if modules_to_save.is_tied(model) and any(not torch.equal(ends[0], end) for end in ends[1:]):
        raise ValueError(f"{path}: embedding and head differ and are one tensor in this model; untie it: tie_word_embeddings=false")
    if holds_start:
        _part(path, tensors, layers)
    for key, parameter in parameters.items():
        parameter.copy_(tensors[key])


def read_starts(model: nn.Module, folder: Path, cfg: LoRAConfig) -> dict[str, pissa.Start] | None:
    """PiSSA's start of each layer that `cfg` adapts, from a folder that such a run wrote; None for PEFT's folder that holds none.

    model: without adapters. Raises ValueError as load_adapter does.
    """
    there, path = read_adapter_config(folder), folder / WEIGHTS_FILE
    if there.init == "pissa":
        return None
    _refuse_difference(folder / CONFIG_FILE, there, cfg, holds_start=True)
    tensors, starts = _read_tensors(path), {}
    layers = linear_layers(model)
    for name in adapted(layers, cfg):
        key_A, key_B = _adapter_keys(name)
        out, width, rank = layers[name].out_features, layers[name].in_features, 2 * rank_of(name, cfg)
        expected = {key_A: torch.empty(rank, width, device="meta"), key_B: torch.empty(out, rank, device="meta")}
        _refuse_misfits(path, {key: tensors[key] for key in expected if key in tensors}, expected)
        starts[name] = pissa.parted(tensors[key_A], tensors[key_B])[2]
    return starts


def read_adapter_config(folder: Path) -> LoRAConfig:
    """The settings of the adapter in `folder`; raises ValueError for a file that cannot be read or asks for more than our layers do."""
    path = folder / CONFIG_FILE
    try:
        config = json.loads(atomic.read_small(path.resolve(), CONFIG_LIMIT_BYTES))
    except FileNotFoundError:
        raise ValueError(f"{path}: no such file; an adapter folder holds {CONFIG_FILE} and {WEIGHTS_FILE}") from None
    except (UnicodeDecodeError, json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: is not JSON ({type(error).__name__}); restore it from a checkpoint") from None
    if not isinstance(config, dict) or config.get("peft_type") != "LORA":
        raise ValueError(f"{path}: peft_type is not 'LORA'; only LoRA adapters are read")
    plain = (True, False, "gaussian", "orthogonal", "eva")
    allowed = {"bias": ("none", None), "init_lora_weights": (*plain, "pissa"), "peft_type": ("LORA",)}
    for key in sorted(config.keys() - INERT_KEYS - READ_KEYS):
        if config[key] not in allowed[key] if key in allowed else config[key]:
            value = json.dumps(config[key])[:40]
            raise ValueError(f"{path}: '{key}' is {value}; that adapter is more than LoRA and DoRA, merge it with the tool that made it")
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
            rank_pattern=config.get("rank_pattern") or {},
            alpha_pattern=config.get("alpha_pattern") or {},
            modules_to_save=config.get("modules_to_save") or (),
            init="pissa" if config.get("init_lora_weights") == "pissa" else "kaiming",
            use_dora=config.get("use_dora", False),
        )
    except (ValidationError, TypeError) as error:
        field = str(error.errors()[0]["loc"][0]) if isinstance(error, ValidationError) else "targets"
        key = NAMES.get(field, field)
        raise ValueError(f"{path}: '{key}' is missing or has an impossible value; restore it from a checkpoint") from None


def _peft_config(cfg: LoRAConfig, base_name: str, *, is_tied: bool) -> dict[str, Any]:
    """adapter_config.json. is_tied: one tensor is trained as embedding and head."""
    config = {
        "peft_type": "LORA",
        "task_type": "CAUSAL_LM",
        "base_model_name_or_path": base_name,
        "r": cfg.rank,
        "lora_alpha": _number(cfg.alpha),
        "lora_dropout": cfg.dropout,
        "use_rslora": cfg.use_rslora,
        "use_dora": cfg.use_dora,
        "rank_pattern": cfg.rank_pattern,
        "alpha_pattern": {pattern: _number(alpha) for pattern, alpha in cfg.alpha_pattern.items()},
        "target_modules": sorted(cfg.targets),
        "bias": "none",
        "fan_in_fan_out": False,
        "modules_to_save": list(cfg.modules_to_save) or None,
        "init_lora_weights": True,
        "inference_mode": True,
    }
    return config | ({"ensure_weight_tying": True} if is_tied else {})


def _refuse_difference(path: Path, cfg: LoRAConfig, own: LoRAConfig, *, holds_start: bool) -> None:
    """holds_start: the folder must be what PiSSA's adapters of `own` are written as."""
    expected = pissa.as_lora(own) if holds_start else own
    for key in AGREED:
        there, wanted, here = (json.dumps(getattr(each, key)) for each in (cfg, expected, own))
        if there != wanted:
            if holds_start:
                cure = f"PiSSA with lora.{key}={here} writes {wanted}; set lora.init=kaiming and lora.{key}={there}"
                raise ValueError(f"{path}: {key} is {there}, this run's {cure}")
            raise ValueError(f"{path}: {key} is {there}, lora.{key} of this run is {here}; set lora.{key}={there}")


def _refuse_misfits(path: Path, tensors: dict[str, Tensor], expected: dict[str, Tensor]) -> None:
    missing, unexpected = expected.keys() - tensors.keys(), tensors.keys() - expected.keys()
    if missing or unexpected:
        key, what = (min(missing), "is missing") if missing else (min(unexpected), "fits no layer here")
        count = f"{len(missing)} missing, {len(unexpected)} unexpected"
        raise ValueError(f"{path}: '{key}' {what} ({count}); the adapter is incomplete or belongs to another model")
    for key, tensor in expected.items():
        if tensors[key].shape != tensor.shape:
            raise ValueError(f"{path}: '{key}' is {tuple(tensors[key].shape)}, the model's is {tuple(tensor.shape)}; wrong base model")
        if not tensors[key].is_floating_point() or not tensors[key].isfinite().all():
            raise ValueError(f"{path}: '{key}' holds NaN, infinity or integers; train again from an earlier checkpoint")


def _parameters(layers: dict[str, LoRALinear]) -> dict[str, Tensor]:
    """The adapters' parameters by PEFT's names."""
    named: dict[str, Tensor] = {}
    for name, layer in layers.items():
        key_A, key_B = _adapter_keys(name)
        named |= {key_A: layer.lora_A, key_B: layer.lora_B}
        if layer.lora_magnitude_vector is not None:
            named[f"{PREFIX}{name}.lora_magnitude_vector"] = layer.lora_magnitude_vector
    return named


def _joined(layers: dict[str, LoRALinear]) -> dict[str, Tensor]:
    """A and B of PiSSA's layers with their starts, by the names of A and B."""
    named: dict[str, Tensor] = {}
    for name, layer in layers.items():
        if layer.start:
            named |= zip(_adapter_keys(name), pissa.joined(layer.lora_A.detach(), layer.lora_B.detach(), layer.start))
    return named


def _part(path: Path, tensors: dict[str, Tensor], layers: dict[str, LoRALinear]) -> None:
    """Leaves A and B alone in `tensors`; raises ValueError where a start is another than the layer's, which is out of its base."""
    for name, layer in layers.items():
        key_A, key_B = _adapter_keys(name)
        tensors[key_A], tensors[key_B], start = pissa.parted(tensors[key_A], tensors[key_B])
        assert layer.start is not None, "a layer of PiSSA has a start"
        if not (torch.equal(start.lora_A, layer.start.lora_A) and torch.equal(start.lora_B, layer.start.lora_B)):
            raise ValueError(f"{path}: {name} began elsewhere than in this run; for a plain adapter set lora.init=kaiming and its rank")


def _adapter_keys(name: str) -> tuple[str, str]:
    return f"{PREFIX}{name}.lora_A.weight", f"{PREFIX}{name}.lora_B.weight"


def _key_of(module: str) -> str:
    return f"{PREFIX}{module}.weight"


def _read_tensors(path: Path) -> dict[str, Tensor]:
    if not path.is_file():
        raise ValueError(f"{path}: no such file; pickled .bin adapters are never read, convert with PEFT's safe_serialization")
    try:
        return load_file(path)
    except safetensors.SafetensorError as error:
        raise ValueError(f"{path}: is damaged ({str(error).splitlines()[0][:60]}); restore it or take an earlier checkpoint") from None


def _number(value: float) -> float:
    return int(value) if float(value).is_integer() else value
