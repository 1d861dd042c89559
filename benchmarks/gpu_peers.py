"""The peers of the GPU benchmark: TRL's trainers over transformers and PEFT, checkpointing on, as their defaults on one card are."""

import tempfile
import time
from typing import Any

import torch
from gpu_cases import LR, SIZES, TARGETS, Case, filled
from peft import LoraConfig
from tokenizers import Tokenizer, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM, TrainerCallback
from workload import WORDS, tokens_of


def run(case: Case, device: torch.device, *, steps: int, warm_up: int, packing: bool) -> dict[str, Any]:
    """Figures of the timed steps of TRL's trainer for the stage; packed, its steps hold as many full rows as ours at most."""
    import trl
    from datasets import Dataset
    from torch.utils.data import SequentialSampler

    on_cuda = device.type == "cuda"
    rows = case.rows((warm_up + steps) * (4 if packing else 1))
    config, trainer_class = {
        "sft": (trl.SFTConfig, trl.SFTTrainer),
        "dpo": (trl.DPOConfig, trl.DPOTrainer),
        "kto": (trl.KTOConfig, trl.KTOTrainer),
    }[case.stage]
    options: dict[str, Any] = {"packing": packing} if case.stage == "sft" else {}
    lora = LoraConfig(r=case.rank, lora_alpha=case.rank, target_modules=TARGETS, task_type="CAUSAL_LM") if case.rank else None
    marks: list[float] = []
    counts: list[int] = []
    losses: list[torch.Tensor] = []

    def mark() -> None:
        if on_cuda:
            torch.cuda.synchronize(device)
        marks.append(time.perf_counter() if on_cuda else time.process_time())

    class Marks(TrainerCallback):
        def on_step_begin(self, *_: Any, **__: Any) -> None:
            if not marks:
                mark()

        def on_step_end(self, *_: Any, **__: Any) -> None:
            mark()

    with tempfile.TemporaryDirectory() as out:
        trainer = trainer_class(
            model=build(case, device),
            args=config(
                output_dir=out,
                per_device_train_batch_size=case.per_step,
                max_steps=warm_up + steps,
                learning_rate=LR,
                lr_scheduler_type="constant",
                optim="adamw_torch_fused" if case.rank else "adamw_bnb_8bit",
                gradient_checkpointing=True,
                gradient_checkpointing_kwargs={"use_reentrant": False},
                max_length=case.longest,
                use_cpu=not on_cuda,
                bf16=on_cuda,
                logging_strategy="no",
                save_strategy="no",
                report_to="none",
                disable_tqdm=True,
                **options,
            ),
            train_dataset=Dataset.from_list(records(case, rows)),
            processing_class=tokenizer(),
            **({"peft_config": lora} if lora else {}),
        )
        trainer._get_train_sampler = lambda *_: SequentialSampler(trainer.train_dataset)
        inner = trainer.training_step

        def training_step(model: Any, inputs: dict[str, Any], *rest: Any, **keywords: Any) -> Any:
            mask = inputs.get("attention_mask")
            counts.append(int(mask.sum()) if mask is not None else inputs["input_ids"].numel())
            loss = inner(model, inputs, *rest, **keywords)
            losses.append(loss.detach())
            return loss

        trainer.training_step = training_step
        trainer.add_callback(Marks())
        watched = next(p for name, p in trainer.model.named_parameters() if p.requires_grad and (not lora or "lora_B" in name))
        before = watched.detach().clone()
        trainer.train()
    expected = [sum(tokens_of(case.stage, row) for row in rows[at : at + case.per_step]) for at in range(0, len(rows), case.per_step)]
    if not packing and counts != expected:
        raise RuntimeError(f"TRL saw {counts} tokens a step, the rows hold {expected}: the comparison is not fair")
    return {
        "tokens_per_s": round(sum(counts[warm_up:]) / (marks[-1] - marks[warm_up]), 1),
        "loss_first": round(float(losses[0]), 4),
        "loss_last": round(float(losses[-1]), 4),
        "trained": not torch.equal(before, watched),
    }


def build(case: Case, device: torch.device) -> Any:
    """transformers' model with the benchmark's weights, made on the device."""
    shape = SIZES[case.size]
    config = Qwen2Config(
        hidden_size=shape.hidden_size,
        intermediate_size=shape.intermediate_size,
        num_hidden_layers=shape.num_hidden_layers,
        num_attention_heads=shape.num_attention_heads,
        num_key_value_heads=shape.num_key_value_heads,
        vocab_size=shape.vocab_size,
        tie_word_embeddings=False,
        use_cache=False,
        bos_token_id=1,
        eos_token_id=1,
        pad_token_id=0,
        rope_parameters={"rope_type": "default", "rope_theta": shape.rope.theta},
    )
    torch.set_default_dtype(torch.bfloat16 if device.type == "cuda" else torch.float32)
    try:
        with device:
            model = Qwen2ForCausalLM(config)
    finally:
        torch.set_default_dtype(torch.float32)
    return filled(model)


def tokenizer() -> PreTrainedTokenizerFast:
    """One token a word, so that lengths are exact."""
    words = {"<pad>": 0, "<eos>": 1, "<unk>": 2} | {f"w{i}": i for i in range(3, WORDS)}
    made = Tokenizer(models.WordLevel(words, unk_token="<unk>"))
    made.pre_tokenizer = pre_tokenizers.WhitespaceSplit()
    return PreTrainedTokenizerFast(tokenizer_object=made, pad_token="<pad>", eos_token="<eos>", unk_token="<unk>")


def records(case: Case, rows: list[Any]) -> list[dict[str, Any]]:
    """The rows as TRL wants them: text of words, whose end it adds itself."""

    def text(ids: list[int]) -> str:
        return " ".join(f"w{i}" for i in ids if i != 1)

    made = []
    for number, row in enumerate(rows):
        prompt, chosen, rejected = text(row.prompt), " " + text(row.chosen), " " + text(row.rejected)
        answers = {"sft": {"completion": chosen}, "dpo": {"chosen": chosen, "rejected": rejected}}
        made.append({"prompt": prompt, **answers.get(case.stage, {"completion": chosen, "label": number % 2 == 0})})
    return made
