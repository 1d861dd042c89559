"""The peers of the GPU benchmark: a plain loop over transformers and PEFT, TRL's trainers; Liger's kernels in both, Unsloth in one."""

import contextlib
import tempfile
import time
from typing import Any

import gpu_models
import torch
from gpu_cases import LR, SIZES, TARGETS, Case, Setting
from peft import LoraConfig, get_peft_model
from transformers import TrainerCallback
from workload import Row, tokens_of

from vgpt2.flops import useful_flops


class Steps:
    """The clock at the end of each step, the lengths and scored positions of its rows, its loss."""

    def __init__(self, device: torch.device) -> None:
        self.device = device
        self.marks: list[float] = []
        self.rows: list[list[tuple[torch.Tensor, torch.Tensor]]] = []  # of a step, a pair a micro-batch; on the device until the end
        self.losses: list[torch.Tensor] = []

    def mark(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)
        self.marks.append(time.perf_counter() if self.device.type == "cuda" else time.process_time())
        self.rows.append([])

    def count(self, inputs: dict[str, Any]) -> None:
        """Notes a micro-batch as a trainer sees it."""
        scored = inputs["completion_mask"].sum() if "completion_mask" in inputs else (inputs["labels"] != -100).sum()
        mask = inputs.get("attention_mask")
        if mask is not None:
            self.rows[-1].append((mask.sum(1), scored))
            return
        positions = inputs["position_ids"].flatten()  # packed: each row begins at 0
        starts = (positions == 0).nonzero().flatten()
        ends = torch.cat([starts[1:], starts.new_tensor([len(positions)])])
        self.rows[-1].append((ends - starts, scored))

    def lose(self, loss: torch.Tensor, *, of_a_new_step: bool) -> None:
        if of_a_new_step:
            self.losses.append(loss.detach())
        else:
            self.losses[-1] = self.losses[-1] + loss.detach()

    def tokens(self) -> list[int]:
        """Of each step."""
        return [int(sum(lengths.sum() for lengths, _ in step)) for step in self.rows[:-1]]

    def result(self, case: Case, warm_up: int) -> dict[str, Any]:
        seconds = self.marks[-1] - self.marks[warm_up]
        trained = None if case.rank is None else adapter_count(case)
        useful = 0.0
        for lengths, scored in (part for step in self.rows[warm_up:-1] for part in step):
            known = lengths.tolist()
            useful += useful_flops(SIZES[case.size], lengths=known, shared=[0] * len(known), scored=int(scored), trained=trained)
        return {
            "tokens_per_s": round(sum(self.tokens()[warm_up:]) / seconds, 1),
            "useful_tflops": round(useful / seconds / 1e12, 3),
            "loss_first": round(float(self.losses[0]), 4),
            "loss_last": round(float(self.losses[-1]), 4),
        }


def run(case: Case, side: str, setting: Setting, device: torch.device, *, steps: int, warm_up: int, attn: str) -> dict[str, Any]:
    """Figures of the timed steps of one side."""
    if side in ("hf", "liger"):
        return run_loop(case, setting, device, steps=steps, warm_up=warm_up, attn=attn, liger=side == "liger")
    return run_trl(case, side, setting, device, steps=steps, warm_up=warm_up, attn=attn)


def run_loop(case: Case, setting: Setting, device: torch.device, *, steps: int, warm_up: int, attn: str, liger: bool) -> dict[str, Any]:
    """Padded batches, the model's own loss, autocast, the gradient clipped; what somebody writes by hand."""
    if liger:
        from liger_kernel.transformers import apply_liger_kernel_to_qwen2

        apply_liger_kernel_to_qwen2(rope=True, rms_norm=True, swiglu=True, cross_entropy=False, fused_linear_cross_entropy=True)
    model = gpu_models.build(case, device, attn=attn)
    if case.rank:
        model = get_peft_model(model, adapters(case))
    if setting.checkpointing:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
        model.enable_input_require_grads()
    model.train()
    trainable = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer, watched, clock = optimizer_of(case, trainable, device), watch(model, case), Steps(device)
    autocast = torch.autocast("cuda", torch.bfloat16) if device.type == "cuda" else contextlib.nullcontext()
    rows = case.rows(warm_up + steps)
    clock.mark()
    for start in range(0, len(rows), case.per_step):
        step = rows[start : start + case.per_step]
        answers = sum(len(row.chosen) for row in step)
        for first in range(0, len(step), setting.rows):
            batch = padded(step[first : first + setting.rows])
            clock.count(batch)
            share = int((batch["labels"] != -100).sum()) / answers
            with autocast:
                loss = model(**{key: value.to(device, non_blocking=True) for key, value in batch.items()}).loss * share
            loss.backward()
            clock.lose(loss, of_a_new_step=first == 0)
        torch.nn.utils.clip_grad_norm_(trainable, 1.0)
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        clock.mark()
    return clock.result(case, warm_up) | {"trained": watched()}


def run_trl(case: Case, side: str, setting: Setting, device: torch.device, *, steps: int, warm_up: int, attn: str) -> dict[str, Any]:
    """TRL's trainer for the stage; packed, its steps hold as many full rows as ours at most."""
    import trl
    from datasets import Dataset
    from torch.utils.data import SequentialSampler

    on_cuda, is_unsloth = device.type == "cuda", side == "unsloth"
    packing = "packed" in side or (is_unsloth and case.lengths == "mix")
    rows = case.rows((warm_up + steps) * (4 if packing else 1))
    config, trainer_class = {
        "sft": (trl.SFTConfig, trl.SFTTrainer),
        "dpo": (trl.DPOConfig, trl.DPOTrainer),
        "kto": (trl.KTOConfig, trl.KTOTrainer),
    }[case.stage]
    options: dict[str, Any] = {"packing": packing} if case.stage == "sft" else {}
    if side.endswith("liger"):
        options["use_liger_kernel"] = True
    model = (
        gpu_models.unsloth(case, device, checkpointing=setting.checkpointing)
        if is_unsloth
        else gpu_models.build(case, device, attn=attn)
    )
    if not is_unsloth:  # which has its own
        options |= {"gradient_checkpointing": setting.checkpointing, "gradient_checkpointing_kwargs": {"use_reentrant": False}}
    clock = Steps(device)

    class Marks(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if not clock.marks:
                clock.mark()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            clock.mark()

    with tempfile.TemporaryDirectory() as out:
        trainer = trainer_class(
            model=model,
            args=config(
                output_dir=out,
                per_device_train_batch_size=setting.rows,
                gradient_accumulation_steps=case.per_step // setting.rows,
                max_steps=warm_up + steps,
                learning_rate=LR,
                lr_scheduler_type="constant",
                optim="adamw_bnb_8bit" if case.has_8_bit_moments else "adamw_torch_fused",
                max_length=case.longest,
                use_cpu=not on_cuda,
                bf16=on_cuda,
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                **options,
            ),
            train_dataset=Dataset.from_list(tokenised(rows) if is_unsloth else records(case, rows)),
            processing_class=gpu_models.tokenizer(),
            **({"peft_config": adapters(case)} if case.rank and not is_unsloth else {}),
        )
        trainer._get_train_sampler = lambda *_: SequentialSampler(trainer.train_dataset)
        inner = trainer.training_step

        def training_step(model: Any, inputs: dict[str, Any], *rest: Any, **keywords: Any) -> Any:
            is_first = not clock.rows[-1]
            clock.count(inputs)
            loss = inner(model, inputs, *rest, **keywords)
            clock.lose(loss, of_a_new_step=is_first)
            return loss

        trainer.training_step = training_step
        trainer.add_callback(Marks())
        watched = watch(trainer.model, case)
        trainer.train()
    expected = [sum(tokens_of(case.stage, row) for row in rows[at : at + case.per_step]) for at in range(0, len(rows), case.per_step)]
    if not packing and clock.tokens() != expected:
        raise RuntimeError(f"TRL saw {clock.tokens()} tokens a step, the rows hold {expected}: the comparison is not fair")
    return clock.result(case, warm_up) | {"trained": watched()}


def adapters(case: Case) -> LoraConfig:
    return LoraConfig(r=case.rank, lora_alpha=case.rank, target_modules=TARGETS, task_type="CAUSAL_LM")


def adapter_count(case: Case) -> int:
    from vgpt2 import step_bytes
    from vgpt2.config import LoRAConfig

    assert case.rank is not None
    return step_bytes.adapter_count(SIZES[case.size], LoRAConfig(rank=case.rank))


def optimizer_of(case: Case, parameters: list[Any], device: torch.device) -> torch.optim.Optimizer:
    if case.has_8_bit_moments:
        import bitsandbytes as bnb

        return bnb.optim.AdamW8bit(parameters, lr=LR, weight_decay=0.0)
    return torch.optim.AdamW(parameters, lr=LR, weight_decay=0.0, fused=True)


def watch(model: Any, case: Case) -> Any:
    """A function that says whether training has moved a lora_B, or without adapters any first weight."""
    watched = next(p for name, p in model.named_parameters() if p.requires_grad and (case.rank is None or "lora_B" in name))
    before = watched.detach().clone()
    return lambda: not torch.equal(before, watched)


def padded(rows: list[Row]) -> dict[str, torch.Tensor]:
    width = max(tokens_of("sft", row) for row in rows)
    ids = torch.zeros(len(rows), width, dtype=torch.long)
    mask, labels = torch.zeros_like(ids), torch.full_like(ids, -100)
    for i, row in enumerate(rows):
        whole = torch.tensor(row.prompt + row.chosen)
        ids[i, : len(whole)], mask[i, : len(whole)] = whole, 1
        labels[i, len(row.prompt) : len(whole)] = whole[len(row.prompt) :]
    return {"input_ids": ids, "attention_mask": mask, "labels": labels}


def tokenised(rows: list[Row]) -> list[dict[str, list[int]]]:
    """Numbers for Unsloth, which would tokenise text in its own way and then train on a few tokens of it."""
    return [{"input_ids": row.prompt + row.chosen, "labels": [-100] * len(row.prompt) + row.chosen} for row in rows]


def records(case: Case, rows: list[Row]) -> list[dict[str, Any]]:
    """The rows as TRL wants them: text of words, whose end it adds itself."""

    def text(ids: list[int]) -> str:
        return " ".join(f"w{i}" for i in ids if i != 1)

    made = []
    for number, row in enumerate(rows):
        prompt, chosen, rejected = text(row.prompt), " " + text(row.chosen), " " + text(row.rejected)
        answers = {"sft": {"completion": chosen}, "dpo": {"chosen": chosen, "rejected": rejected}}
        made.append({"prompt": prompt, **answers.get(case.stage, {"completion": chosen, "label": number % 2 == 0})})
    return made
