"""A LLaMA-Factory training YAML -> ours: every key taken over, or named with the reason why it is not.

    python -m vgpt2.train --from-llamafactory theirs.yaml --config configs/mine.yaml

A key that they leave out stands for their default, which is written down where ours differs.
"""

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from vgpt2 import atomic
from vgpt2.config import TrainConfig
from vgpt2.configfile import ConfigError, read, validated

Settings = Mapping[str, Any]
Taken = dict[str, Any]  # our dotted keys and their values; {}: what they ask for is always so here
Rule = Callable[[Any, Settings], Taken | str]  # (value, all their settings) -> ours, or why not

# their defaults where ours are others, and those that a rule needs
DEFAULTS: dict[str, Any] = {
    "finetuning_type": "lora",
    "lora_rank": 8,
    "lora_target": "all",
    "cutoff_len": 2048,
    "per_device_train_batch_size": 8,
    "gradient_accumulation_steps": 1,
    "learning_rate": 5e-5,
    "lr_scheduler_type": "linear",
    "warmup_ratio": 0.0,
    "num_train_epochs": 3.0,
    "val_size": 0.0,
    "seed": 42,
    "logging_steps": 500,
    "save_steps": 500,
    "disable_gradient_checkpointing": False,
    "dataset_dir": "data",
}
SCHEDULES = {
    "linear": "linear", "cosine": "cosine", "cosine_with_min_lr": "cosine", "constant": "constant", "constant_with_warmup": "constant",
    "warmup_stable_decay": "wsd",
}  # fmt: skip
OPTIMIZERS: dict[str, Taken] = {
    **{name: {"optim.kind": "adamw"} for name in ("adamw_torch", "adamw_torch_fused", "adamw_hf")},
    **{name: {"optim.kind": "adamw8bit"} for name in ("adamw_8bit", "adamw_bnb_8bit")},
    "paged_adamw_8bit": {"optim.kind": "adamw8bit", "optim.paged": True},
}
PREFERENCES = ("sigmoid", "ipo", "hinge", "orpo", "simpo")
RENAMED = {
    "model_name_or_path": "model.path",
    "adapter_name_or_path": "init_adapter",
    "learning_rate": "optim.lr",
    "weight_decay": "optim.weight_decay",
    "adam_epsilon": "optim.eps",
    "seed": "seed",
    "max_samples": "data.max_rows",
    "preprocessing_num_workers": "data.workers",
    "default_system": "data.system",
    "eval_dataset": "data.validation",
    "eval_steps": "checkpoint.eval_every",
    "save_steps": "checkpoint.save_every",
    "save_total_limit": "checkpoint.keep",
    "logging_steps": "log_every",
}
UNNEEDED = {
    "do_train": "that is what the command does",
    "do_eval": "held-out rows are evaluated whenever there are some",
    "eval_strategy": "checkpoint.eval_every says when",
    "evaluation_strategy": "checkpoint.eval_every says when",
    "save_strategy": "checkpoint.save_every says when",
    "logging_strategy": "log_every says when",
    "per_device_eval_batch_size": "batch.micro_batch_tokens holds for evaluation too",
    "load_best_model_at_end": "RUN/best always names the best step",
    "metric_for_best_model": "checkpoint.best_metric has names of its own; --keys explains",
    "greater_is_better": "known from the metric's name",
    "template": "the tokenizer's own chat template is used",
    "trust_remote_code": "no code of a model folder is ever run",
    "flash_attn": "attention is chosen by the machine",
    "use_unsloth": "the fused operations are built in",
    "enable_liger_kernel": "the fused operations are built in",
    "overwrite_cache": "tokenised rows are kept by what they were made from",
    "overwrite_output_dir": "a run folder is never overwritten; choose another --run",
    "resume_from_checkpoint": "--resume goes on from the newest good step",
    "plot_loss": "training_loss.png is always drawn",
    "report_to": "TensorBoard files and metrics.jsonl are always written",
    "run_name": "the run has the name of its folder",
    "ddp_timeout": "one process trains",
    "deepspeed": "one process trains",
    "fsdp": "one process trains",
    "dataloader_num_workers": "data.workers tokenises; batches need none",
    "dataloader_pin_memory": "done where it helps",
    "group_by_length": "rows are packed by length",
    "remove_unused_columns": "a row's kind says which columns count",
    "include_num_input_tokens_seen": "tokens are always counted",
    "ref_model": "the reference is the policy at its start, kept as a column of numbers",
    "ref_model_adapters": "the reference is the policy at its start, kept as a column of numbers",
    "double_quantization": "scales are always quantised",
    "data_seed": "the order follows from seed",
    "log_level": "there is one",
    "cache_dir": "nothing is fetched",
    "save_only_model": "moments are saved, so that every step can be resumed",
    "logging_dir": "logs lie in the run folder",
    "pissa_iter": "singular values are exact",
    "pissa_convert": "a saved adapter always fits the original base",
}
UNBUILT = {
    "mask_history": "every answer of a conversation is trained",
    "train_on_prompt": "answers alone are trained",
    "use_galore": "not built",
    "use_badam": "not built",
    "use_apollo": "not built",
    "use_adam_mini": "not built",
    "shift_attn": "not built",
    "streaming": "rows are read whole",
    "mix_strategy": "data.weights and data.caps mix the sets",
    "freeze_trainable_layers": "freezing layers is not built; lora or a full fine-tune",
    "pure_bf16": "adapters and their moments stay in fp32",
    "upcast_layernorm": "norms compute in fp32, their weights stay as they are",
}


@dataclass(frozen=True)
class Line:
    """What became of one of their keys: `ours` (dotted key = value, ...) or the reason why it has none."""

    key: str
    value: Any
    ours: str | None
    reason: str = ""
    is_default: bool = False


def convert(path: Path, target: Path) -> str:
    """Writes our config for the LLaMA-Factory YAML at `path` to `target`, and returns the table of what became of each key.

    Raises ValueError where `target` exists, the stage or the kind of fine-tuning is none of ours, or a value is impossible.
    """
    if target.exists() or target.is_symlink():
        raise ValueError(f"{target}: exists already; remove it, or name another file with --config")
    theirs, _ = read(path)
    refuse_foreign(theirs, path)
    tree, lines = translate(theirs)
    validated(TrainConfig, tree, path)
    head = f"# made from {path.name} by python -m vgpt2.train --from-llamafactory\n"
    target.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_text(target, head + yaml.safe_dump(tree, sort_keys=False))
    return table(lines)


def refuse_foreign(theirs: Settings, path: Path) -> None:
    allowed = {"stage": ("sft", "dpo", "kto"), "finetuning_type": ("lora", "full"), "pref_loss": PREFERENCES}
    mistakes = [
        f"{path}: {key} is {str(theirs[key])[:40]!r}; {', '.join(values)} are trained here"
        for key, values in allowed.items()
        if key in theirs and theirs[key] not in values
    ]
    needed = {"stage": "one of sft, dpo and kto", "model_name_or_path": "a folder or hub name"}
    missing = [(key, what) for key, what in needed.items() if key not in theirs]
    mistakes += [f"{path}: key '{key}' is missing; LLaMA-Factory's YAML gives it, {what}" for key, what in missing]
    if mistakes:
        raise ConfigError(mistakes)


def translate(theirs: Settings) -> tuple[dict[str, Any], list[Line]]:
    """Our config as a nested mapping, and a line for each of their keys, in their order; used defaults of theirs come last."""
    settings = DEFAULTS | dict(theirs)
    tree: dict[str, Any] = {}
    lines = []
    for key in [*theirs, *(key for key in DEFAULTS if key not in theirs)]:
        value, is_default = settings[key], key not in theirs
        result = RULES[key](value, settings) if key in RULES else "no key of that name is known here"
        if isinstance(result, str):
            lines += [] if is_default else [Line(key, value, None, result)]
            continue
        for dotted, ours in result.items():
            _put(tree, dotted, ours)
        if result or not is_default:
            said = ", ".join(f"{dotted} = {_shown(ours)}" for dotted, ours in result.items())
            lines.append(Line(key, value, said or "as always here", is_default=is_default))
    return tree, lines


def table(lines: list[Line]) -> str:
    """Two parts: what was taken over, and what has no meaning here and why."""
    taken = [(line.key + " (their default)" * line.is_default, _shown(line.value), line.ours) for line in lines if line.ours is not None]
    left = [(line.key, _shown(line.value), line.reason) for line in lines if line.ours is None]
    rows = [*taken, *left]
    widths = [max((len(str(row[column])) for row in rows), default=0) for column in range(2)]
    text = [f"  {key:{widths[0]}}  {value:{widths[1]}}  {said}" for key, value, said in rows]
    return "\n".join([f"taken over ({len(taken)}):", *text[: len(taken)], f"without meaning here ({len(left)}):", *text[len(taken) :]])


def _put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    *parents, leaf = dotted.split(".")
    for parent in parents:
        tree = tree.setdefault(parent, {})
    tree[leaf] = value


def _shown(value: Any) -> str:
    return json.dumps(value, ensure_ascii=False, default=str)[:60]


def _renamed(ours: str) -> Rule:
    return lambda value, _: {} if value is None else {ours: value}


def _never(reason: str) -> Rule:
    return lambda *_: reason


def _unbuilt(reason: str) -> Rule:
    return lambda value, _: reason if value else {}


def _of_lora(ours: Callable[[Any], Taken]) -> Rule:
    return lambda value, s: ours(value) if s["finetuning_type"] == "lora" else "every weight is trained: no adapters"


def _of_stage(*stages: str, ours: Callable[[Any, str], Taken]) -> Rule:
    return lambda value, s: ours(value, s["stage"]) if s["stage"] in stages else f"stage {s['stage']} has none; only {', '.join(stages)}"


def _names(value: Any) -> list[str]:
    return value if isinstance(value, list) else [name.strip() for name in str(value).split(",")]


def _targets(value: Any) -> Taken:
    return {} if _names(value) == ["all"] else {"lora.targets": _names(value)}


def _pissa(value: Any, s: Settings) -> Taken | str:
    if value and s.get("quantization_bit"):
        return "what it leaves of a weight would be rounded by the quantisation"
    return _of_lora(lambda value: {"lora.init": "pissa"} if value else {})(value, s)


def _rank(value: Any, s: Settings) -> Taken | str:
    """Theirs scales by twice the rank where it gives no alpha."""
    if s["finetuning_type"] != "lora":
        return "every weight is trained: no adapters"
    return {"lora.rank": value} | ({} if s.get("lora_alpha") else {"lora.alpha": 2 * value})


def _cutoff(value: Any, s: Settings) -> Taken:
    return {"data.cutoff_tokens": value} | ({"batch.pack_tokens": value} if s["stage"] == "sft" else {})


def _micro_batch(value: Any, s: Settings) -> Taken:
    """A row of cutoff_len tokens each, two for a pair."""
    return {"batch.micro_batch_tokens": value * s["cutoff_len"] * (2 if s["stage"] == "dpo" else 1)}


def _accumulation(value: Any, s: Settings) -> Taken:
    rows = value * s["per_device_train_batch_size"]
    return {"batch.packs_per_step" if s["stage"] == "sft" else "batch.examples_per_step": rows}


def _packing(value: Any, s: Settings) -> Taken | str:
    if s["stage"] != "sft":
        return "answers lie end to end without padding in any case"
    return {} if value else "rows are always packed; a step has as many packs as theirs rows: lower batch.packs_per_step for short ones"


def _schedule(value: Any, s: Settings) -> Taken | str:
    if value not in SCHEDULES:
        return f"not among {', '.join(dict.fromkeys(SCHEDULES.values()))}; ours stays cosine"
    floor = (s.get("lr_scheduler_kwargs") or {}).get("min_lr_rate")
    wanted = {"optim.schedule": SCHEDULES[value]} | ({"optim.min_lr_ratio": floor} if floor else {})
    return wanted | ({"optim.warmup_ratio": 0.0} if value == "constant" else {})


def _schedule_options(value: Any, _: Settings) -> Taken | str:
    others = sorted((value or {}).keys() - {"min_lr_rate"})
    return f"{', '.join(others)}: optim.min_lr_ratio and optim.decay_ratio shape ours" if others else {}


def _warmup_ratio(value: Any, s: Settings) -> Taken:
    return {} if s["lr_scheduler_type"] == "constant" else {"optim.warmup_ratio": value}


def _warmup_steps(value: Any, s: Settings) -> Taken:
    """0 leaves it to warmup_ratio; newer versions take a number below 1 for a share."""
    if not value or s["lr_scheduler_type"] == "constant":
        return {}
    return {"optim.warmup_ratio": value} if value < 1 else {"optim.warmup_steps": int(value)}


def _epochs(value: Any, _: Settings) -> Taken:
    return {"epochs": math.ceil(value)}


def _max_steps(value: Any, _: Settings) -> Taken:
    return {"max_steps": value} if value and value > 0 else {}


def _optimizer(value: Any, _: Settings) -> Taken | str:
    return OPTIMIZERS[value] if value in OPTIMIZERS else f"not built; ours stays adamw of {', '.join(OPTIMIZERS)}"


def _half_precision(value: Any, _: Settings) -> Taken | str:
    return "16-bit floats are bfloat16 here; set model.dtype" if value else {}


def _quantization(value: Any, s: Settings) -> Taken | str:
    kind = s.get("quantization_type", "nf4")
    if value in (None, 4) and kind == "nf4":
        return {"model.quantization": "nf4"} if value else {}
    return f"{value} bits {kind}: only 4 bits nf4 are built"


def _validation(value: Any, s: Settings) -> Taken | str:
    if s.get("eval_dataset"):
        return "eval_dataset is what is held out"
    return {"data.validation": value} if value < 1 else "a number of rows; give data.validation a share or a file"


def _dataset(value: Any, s: Settings) -> Taken:
    """Our registry has the shape of their dataset_info.json, so that it may be one."""
    info = Path(s["dataset_dir"]) / "dataset_info.json"
    return {"data.train": _names(value)} | ({"data.registry": info.as_posix()} if info.is_file() else {})


def _dataset_dir(value: Any, _: Settings) -> Taken | str:
    return {} if (Path(value) / "dataset_info.json").is_file() else "holds no dataset_info.json here; names are looked up in data.registry"


def _output(value: Any, _: Settings) -> Taken:
    folder = Path(value)
    return {"output": folder.parent.as_posix(), "run": folder.name}


RULES: dict[str, Rule] = {
    **{key: _renamed(ours) for key, ours in RENAMED.items()},
    **{key: _never(reason) for key, reason in UNNEEDED.items()},
    **{key: _unbuilt(reason) for key, reason in UNBUILT.items()},
    "stage": _renamed("stage"),
    "finetuning_type": lambda value, _: {"lora": None} if value == "full" else {},
    "lora_rank": _rank,
    "lora_alpha": _of_lora(lambda value: {"lora.alpha": value} if value else {}),
    "lora_dropout": _of_lora(lambda value: {"lora.dropout": value}),
    "lora_target": _of_lora(_targets),
    "use_rslora": _of_lora(lambda value: {"lora.use_rslora": value}),
    "use_dora": _of_lora(lambda value: {"lora.use_dora": True} if value else {}),
    "pissa_init": _pissa,
    "additional_target": _of_lora(lambda value: {"lora.modules_to_save": _names(value)} if value else {}),
    "loraplus_lr_ratio": _of_lora(lambda value: {"lora.loraplus_ratio": value} if value else {}),
    "cutoff_len": _cutoff,
    "packing": _packing,
    "neat_packing": lambda *_: {},
    "per_device_train_batch_size": _micro_batch,
    "gradient_accumulation_steps": _accumulation,
    "num_train_epochs": _epochs,
    "max_steps": _max_steps,
    "lr_scheduler_type": _schedule,
    "lr_scheduler_kwargs": _schedule_options,
    "warmup_ratio": _warmup_ratio,
    "warmup_steps": _warmup_steps,
    "max_grad_norm": lambda value, _: {"optim.max_grad_norm": value or None},
    "adam_beta1": lambda value, s: {"optim.betas": [value, s.get("adam_beta2", 0.999)]},
    "adam_beta2": lambda value, s: {"optim.betas": [s.get("adam_beta1", 0.9), value]},
    "optim": _optimizer,
    "bf16": lambda value, _: {"model.dtype": "bfloat16"} if value else {},
    "fp16": _half_precision,
    "quantization_bit": _quantization,
    "quantization_type": lambda value, s: {} if s.get("quantization_bit") == 4 and value == "nf4" else "see quantization_bit",
    "quantization_method": lambda value, _: {} if value in ("bitsandbytes", "bnb") else "bitsandbytes is the one that is built",
    "gradient_checkpointing": lambda value, _: {"model.gradient_checkpointing": value},
    "disable_gradient_checkpointing": lambda value, s: {"model.gradient_checkpointing": s.get("gradient_checkpointing", not value)},
    "neftune_noise_alpha": _of_stage("sft", ours=lambda value, _: {"sft.neftune_alpha": value}),
    "pref_loss": _of_stage("dpo", ours=lambda value, _: {"dpo.loss": value}),
    "pref_beta": _of_stage("dpo", "kto", ours=lambda value, stage: {f"{stage}.beta": value}),
    "pref_ftx": _of_stage("dpo", ours=lambda value, _: {"dpo.sft_weight": value}),
    "dpo_label_smoothing": _of_stage("dpo", ours=lambda value, _: {"dpo.label_smoothing": value}),
    "simpo_gamma": lambda value, s: {"dpo.simpo_gamma": value} if s.get("pref_loss") == "simpo" else "only pref_loss simpo has one",
    "kto_chosen_weight": _of_stage("kto", ours=lambda value, _: {"kto.desirable_weight": value}),
    "kto_rejected_weight": _of_stage("kto", ours=lambda value, _: {"kto.undesirable_weight": value}),
    "val_size": _validation,
    "dataset": _dataset,
    "dataset_dir": _dataset_dir,
    "output_dir": _output,
}
