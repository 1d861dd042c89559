"""The peers: a plain loop over transformers and PEFT, and TRL's trainers at their defaults."""

import argparse
import tempfile
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig, get_peft_model
from transformers import AutoModelForCausalLM, PreTrainedTokenizerFast, TrainerCallback
from workload import LR, PREFERENCE_TOKENS, RANK, SFT_TOKENS, TARGETS, WARM_UP, Clock, rows_of, tokens_of

LORA = LoraConfig(r=RANK, lora_alpha=RANK, target_modules=TARGETS, task_type="CAUSAL_LM")


def run_peft(folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """A plain loop over transformers and PEFT: padded batches, the model's own loss."""
    rows, per_step = rows_of("sft", args)
    model = get_peft_model(AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32), LORA).train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trainable, lr=LR, weight_decay=0.0, fused=True)
    clock = Clock()
    for start in range(0, len(rows), per_step):
        part = rows[start : start + per_step]
        width = max(tokens_of("sft", row) for row in part)
        ids = torch.zeros(per_step, width, dtype=torch.long)
        mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
        for i, row in enumerate(part):
            whole = torch.tensor(row.prompt + row.chosen)
            ids[i, : len(whole)], mask[i, : len(whole)] = whole, 1
            labels[i, len(row.prompt) : len(whole)] = whole[len(row.prompt) :]
        loss = model(input_ids=ids, attention_mask=mask, labels=labels).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock.step()
        clock.tokens.append(int(mask.sum()))
        clock.losses.append(loss.item())
    return clock.result() | {"trained": has_moved(model)}


def run_trl(stage: str, folder: Path, args: argparse.Namespace, *, packing: bool) -> dict[str, Any]:
    """TRL's trainer for the stage, rows in order, all else at its defaults."""
    import trl  # seconds, which the plain loop need not wait for
    from datasets import Dataset
    from datasets.utils.logging import disable_progress_bar
    from torch.utils.data import SequentialSampler

    disable_progress_bar()
    rows, per_step = rows_of(stage, args, packing=packing)

    def text(ids: list[int]) -> str:
        return " ".join(f"w{i}" for i in ids if i != 1)  # TRL ends the answer itself

    data = []
    for i, row in enumerate(rows):
        prompt, chosen, rejected = text(row.prompt), " " + text(row.chosen), " " + text(row.rejected)
        answers = {"sft": {"completion": chosen}, "dpo": {"chosen": chosen, "rejected": rejected}}
        data.append({"prompt": prompt, **answers.get(stage, {"completion": chosen, "label": i % 2 == 0})})
    config, trainer_class = {
        "sft": (trl.SFTConfig, trl.SFTTrainer),
        "dpo": (trl.DPOConfig, trl.DPOTrainer),
        "kto": (trl.KTOConfig, trl.KTOTrainer),
    }[stage]
    options: dict[str, Any] = {"packing": packing} if stage == "sft" else {}
    with tempfile.TemporaryDirectory() as out:
        trainer = trainer_class(
            model=AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32),
            args=config(
                output_dir=out,
                per_device_train_batch_size=per_step,
                max_steps=WARM_UP + args.steps,
                learning_rate=LR,
                lr_scheduler_type="constant",
                optim="adamw_torch_fused",
                gradient_checkpointing=False,
                max_length=SFT_TOKENS if stage == "sft" else PREFERENCE_TOKENS,
                use_cpu=True,
                bf16=False,
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                **options,
            ),
            train_dataset=Dataset.from_list(data),
            processing_class=PreTrainedTokenizerFast.from_pretrained(folder),  # not Auto: that would make it Qwen's
            peft_config=LORA,
        )
        trainer._get_train_sampler = lambda *_: SequentialSampler(trainer.train_dataset)
        clock, inner = Clock(), trainer.training_step

        def training_step(model: Any, inputs: dict[str, Any], *rest: Any, **keywords: Any) -> Any:
            real = inputs["attention_mask"].sum() if "attention_mask" in inputs else inputs["input_ids"].numel()
            clock.tokens.append(int(real))
            loss = inner(model, inputs, *rest, **keywords)
            clock.losses.append(float(loss))
            return loss

        class Marks(TrainerCallback):
            def on_step_end(self, *_: Any, **__: Any) -> None:
                clock.step()

        trainer.training_step = training_step
        trainer.add_callback(Marks())
        trainer.train()
    expected = [sum(tokens_of(stage, row) for row in rows[start : start + per_step]) for start in range(0, len(rows), per_step)]
    if not packing and clock.tokens != expected:
        raise RuntimeError(f"TRL saw {clock.tokens} tokens a step, the rows hold {expected}: the comparison is not fair")
    return clock.result() | {"trained": has_moved(trainer.model)}


def has_moved(model: Any) -> bool:
    """Whether any lora_B has left its zero start: that training happened at all."""
    return any(bool(p.abs().max() > 0) for name, p in model.named_parameters() if "lora_B" in name)
