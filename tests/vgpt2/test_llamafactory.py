"""LLaMA-Factory's YAML into ours: equal arithmetic, their defaults, and a reason for every key that is left."""

import json
from pathlib import Path

import pytest
import yaml

from vgpt2 import llamafactory, train
from vgpt2.config import LoRAConfig, TrainConfig
from vgpt2.configfile import load
from vgpt2.registry import sources

SFT = """
model_name_or_path: Qwen/Qwen2.5-7B-Instruct
trust_remote_code: true
stage: sft
do_train: true
finetuning_type: lora
lora_rank: 64
lora_target: all
use_rslora: true
dataset: vista, chat
template: qwen
cutoff_len: 2048
packing: true
output_dir: saves/qwen/lora
logging_steps: 10
save_steps: 250
save_total_limit: 2
plot_loss: true
per_device_train_batch_size: 2
gradient_accumulation_steps: 8
learning_rate: 1.0e-4
num_train_epochs: 2.0
max_steps: -1
lr_scheduler_type: cosine
warmup_ratio: 0.1
weight_decay: 0.01
max_grad_norm: 0.5
optim: paged_adamw_8bit
bf16: true
quantization_bit: 4
neftune_noise_alpha: 5
val_size: 0.1
eval_steps: 50
seed: 7
use_dora: false
"""
DPO = """
model_name_or_path: m
adapter_name_or_path: saves/sft
stage: dpo
lora_target: q_proj,v_proj
lora_alpha: 32
pref_beta: 0.2
pref_loss: simpo
simpo_gamma: 0.5
pref_ftx: 0.3
cutoff_len: 1024
per_device_train_batch_size: 1
gradient_accumulation_steps: 4
dataset: pairs
lr_scheduler_type: constant
warmup_ratio: 0.1
"""


def converted(tmp_path: Path, text: str, **changes: object) -> tuple[TrainConfig, str]:
    """Our config and the table for a YAML of theirs with some keys changed."""
    theirs, ours = tmp_path / "theirs.yaml", tmp_path / "configs" / "ours.yaml"
    theirs.write_text(yaml.safe_dump(yaml.safe_load(text) | changes), "utf-8")
    said = llamafactory.convert(theirs, ours)
    cfg = load(TrainConfig, ours)
    ours.unlink()
    return cfg, said


def line(table: str, key: str) -> str:
    (found,) = [each for each in table.splitlines() if each.split()[0] == key]
    return found


def test_an_sft_file_key_by_key(tmp_path: Path):
    cfg, table = converted(tmp_path, SFT)
    assert (cfg.stage, cfg.model.path, cfg.model.dtype, cfg.model.quantization) == ("sft", "Qwen/Qwen2.5-7B-Instruct", "bfloat16", "nf4")
    assert cfg.lora == LoRAConfig(rank=64, alpha=128, use_rslora=True)  # alpha is twice the rank where they give none
    assert cfg.data.train == ("vista", "chat")
    assert (cfg.data.validation, cfg.data.cutoff_tokens) == (0.1, 2048)
    # 2 x 8 packs of 2,048 tokens a step, two at once
    assert (cfg.batch.pack_tokens, cfg.batch.packs_per_step, cfg.batch.micro_batch_tokens) == (2048, 16, 4096)
    optim = cfg.optim
    assert (optim.lr, optim.schedule, optim.warmup_ratio, optim.warmup_steps) == (1e-4, "cosine", 0.1, None)
    assert (optim.weight_decay, optim.max_grad_norm, optim.kind, optim.paged) == (0.01, 0.5, "adamw8bit", True)
    assert (cfg.epochs, cfg.max_steps, cfg.seed, cfg.log_every) == (2, None, 7, 10)
    assert (cfg.checkpoint.save_every, cfg.checkpoint.keep, cfg.checkpoint.eval_every) == (250, 2, 50)
    assert (cfg.output, cfg.run, cfg.sft.neftune_alpha) == ("saves/qwen", "lora", 5)
    assert cfg.model.gradient_checkpointing is True  # theirs is on unless disabled
    assert line(table, "trust_remote_code").endswith("no code of a model folder is ever run")
    assert "as always here" in line(table, "use_dora")


def test_a_dpo_file_key_by_key(tmp_path: Path):
    cfg, _ = converted(tmp_path, DPO)
    assert (cfg.stage, cfg.init_adapter) == ("dpo", "saves/sft")
    assert cfg.lora == LoRAConfig(rank=8, alpha=32, targets=("q_proj", "v_proj"))
    assert (cfg.dpo.loss, cfg.dpo.beta, cfg.dpo.simpo_gamma, cfg.dpo.sft_weight) == ("simpo", 0.2, 0.5, 0.3)
    assert (cfg.batch.examples_per_step, cfg.batch.micro_batch_tokens) == (4, 2048)
    assert (cfg.optim.schedule, cfg.optim.warmup_ratio) == ("constant", 0.0)  # their constant has no warm-up


def test_a_kto_file_and_a_full_fine_tune(tmp_path: Path):
    changes = {"stage": "kto", "kto_chosen_weight": 1.5, "kto_rejected_weight": 1.0, "pref_loss": "sigmoid"}
    cfg, table = converted(tmp_path, DPO, **changes)
    assert (cfg.kto.beta, cfg.kto.desirable_weight, cfg.kto.undesirable_weight) == (0.2, 1.5, 1.0)
    assert "stage kto has none; only dpo" in line(table, "pref_ftx")
    changes = {"finetuning_type": "full", "quantization_bit": None, "lora_dropout": 0.1, "optim": "adamw_bnb_8bit"}
    cfg, table = converted(tmp_path, SFT, **changes)
    assert (cfg.lora, cfg.optim.kind, cfg.optim.paged) == (None, "adamw8bit", False)
    assert "no adapters" in line(table, "lora_rank")
    assert "no adapters" in line(table, "lora_dropout")


def test_their_defaults_are_written_where_ours_are_others(tmp_path: Path):
    """TrainingArguments and LLaMA-Factory's own, without a word in the file."""
    cfg, table = converted(tmp_path, "{stage: sft, model_name_or_path: m, dataset: d}")
    assert (cfg.optim.lr, cfg.optim.schedule, cfg.optim.warmup_ratio, cfg.epochs, cfg.seed) == (5e-5, "linear", 0.0, 3, 42)
    assert (cfg.lora.rank, cfg.lora.alpha, cfg.data.cutoff_tokens, cfg.data.validation) == (8, 16, 2048, 0.0)
    assert (cfg.batch.packs_per_step, cfg.batch.micro_batch_tokens) == (8, 8 * 2048)
    assert "learning_rate (their default)" in table


@pytest.mark.parametrize(
    ("key", "value", "dotted", "expected"),
    [
        ("lr_scheduler_type", "constant_with_warmup", "optim.schedule", "constant"),
        ("lr_scheduler_type", "warmup_stable_decay", "optim.schedule", "wsd"),
        ("lr_scheduler_kwargs", {"min_lr_rate": 0.1}, "optim.min_lr_ratio", 0.1),
        ("warmup_steps", 20, "optim.warmup_steps", 20),
        ("warmup_steps", 0.2, "optim.warmup_ratio", 0.2),
        ("max_steps", 100, "max_steps", 100),
        ("num_train_epochs", 1.5, "epochs", 2),
        ("max_grad_norm", 0, "optim.max_grad_norm", None),
        ("adam_beta2", 0.95, "optim.betas", (0.9, 0.95)),
        ("adam_epsilon", 1e-6, "optim.eps", 1e-6),
        ("max_samples", 50, "data.max_rows", 50),
        ("preprocessing_num_workers", 4, "data.workers", 4),
        ("default_system", "Answer.", "data.system", "Answer."),
        ("eval_dataset", "held", "data.validation", "held"),
        ("disable_gradient_checkpointing", True, "model.gradient_checkpointing", False),
        ("lora_dropout", 0.1, "lora.dropout", 0.1),
        ("optim", "adamw_torch", "optim.kind", "adamw"),
        ("loraplus_lr_ratio", 16.0, "lora.loraplus_ratio", 16.0),
        ("use_dora", True, "lora.use_dora", True),
        ("additional_target", "embed_tokens,lm_head", "lora.modules_to_save", ("embed_tokens", "lm_head")),
    ],
)
def test_a_key_arrives(tmp_path: Path, key: str, value: object, dotted: str, expected: object):
    found, table = converted(tmp_path, SFT, **{key: value})
    for part in dotted.split("."):
        found = getattr(found, part)
    assert found == expected
    assert line(table, key)


@pytest.mark.parametrize(
    ("key", "value", "reason"),
    [
        ("optim", "lion", "ours stays adamw"),
        ("lr_scheduler_type", "polynomial", "ours stays cosine"),
        ("quantization_bit", 8, "only 4 bits nf4"),
        ("val_size", 500, "a number of rows"),
        ("packing", False, "rows are always packed"),
        ("fp16", True, "16-bit floats are bfloat16"),
        ("pissa_init", True, "rounded by the quantisation"),
        ("use_galore", True, "not built"),
        ("deepspeed", "ds.json", "one process trains"),
        ("pref_beta", 0.3, "stage sft has none; only dpo, kto"),
        ("simpo_gamma", 0.3, "only pref_loss simpo"),
        ("made_up", 1, "no key of that name"),
        ("dataset_dir", "nowhere", "holds no dataset_info.json"),
    ],
)
def test_a_key_without_meaning_is_listed_with_its_reason(tmp_path: Path, key: str, value: object, reason: str):
    _, table = converted(tmp_path, SFT, **{key: value})
    _, _, left = table.partition("without meaning here")
    assert reason in line(left, key)


def test_pissa_arrives_where_nothing_is_quantised(tmp_path: Path):
    cfg, table = converted(tmp_path, SFT, quantization_bit=None, pissa_init=True, pissa_iter=16, pissa_convert=True)
    assert cfg.lora.init == "pissa"
    assert line(table, "pissa_iter").endswith("singular values are exact")
    assert line(table, "pissa_convert").endswith("a saved adapter always fits the original base")


def test_every_key_of_the_file_is_accounted_for(tmp_path: Path):
    _, table = converted(tmp_path, SFT)
    named = {each.split()[0] for each in table.splitlines()}
    assert yaml.safe_load(SFT).keys() <= named


def test_their_dataset_info_becomes_the_registry(tmp_path: Path):
    (tmp_path / "vista.jsonl").write_text("{}\n", "utf-8")
    (tmp_path / "dataset_info.json").write_text(json.dumps({"vista": {"file_name": "vista.jsonl"}}), "utf-8")
    cfg, table = converted(tmp_path, SFT, dataset="vista", dataset_dir=str(tmp_path))
    assert [source.path for source in sources(cfg.data.train, Path(cfg.data.registry))] == [tmp_path / "vista.jsonl"]
    assert "as always here" in line(table, "dataset_dir")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("{stage: ppo, model_name_or_path: m}", "stage is 'ppo'; sft, dpo, kto are trained here"),
        ("{stage: sft, finetuning_type: oft, model_name_or_path: m}", "finetuning_type is 'oft'"),
        ("{stage: dpo, pref_loss: kto_pair, model_name_or_path: m}", "pref_loss is 'kto_pair'"),
        ("{model_name_or_path: m}", "key 'stage' is missing; LLaMA-Factory's YAML gives it, one of sft, dpo and kto"),
        ("{stage: sft, model_name_or_path: m, learning_rate: -1}", "greater than 0"),
        ("{stage: sft}", "key 'model_name_or_path' is missing"),
    ],
)
def test_what_cannot_be_taken_over_is_one_line_and_nothing_is_written(tmp_path: Path, capsys, text: str, said: str):
    (tmp_path / "theirs.yaml").write_text(text, "utf-8")
    assert train.main(["--from-llamafactory", str(tmp_path / "theirs.yaml"), "--config", str(tmp_path / "ours.yaml")]) == 2
    error = capsys.readouterr().err
    assert said in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir()] == ["theirs.yaml"]


def test_the_command_prints_the_table_and_overwrites_nothing(tmp_path: Path, capsys):
    (tmp_path / "theirs.yaml").write_text(SFT, "utf-8")
    command = ["--from-llamafactory", str(tmp_path / "theirs.yaml"), "--config", str(tmp_path / "ours.yaml")]
    assert train.main(command) == 0
    said = capsys.readouterr().out
    assert said.startswith("taken over (")
    assert f"--stage sft --config {tmp_path / 'ours.yaml'}" in said
    before = (tmp_path / "ours.yaml").read_bytes()
    assert train.main(command) == 2
    assert "exists already" in capsys.readouterr().err
    assert (tmp_path / "ours.yaml").read_bytes() == before
    with pytest.raises(SystemExit):
        train.main(command[:2])
    assert "name it with --config FILE" in capsys.readouterr().err
