"""Tiny real jobs for loop, stage and reference tests: a 2-layer decoder, ragged random rows, no disk but the run folder."""

import random
from pathlib import Path

import numpy as np
import torch

from vgpt2 import optim
from vgpt2.config import TrainConfig
from vgpt2.interrupts import Interrupts
from vgpt2.loop import Job, State, plan_run
from vgpt2.lora import add_lora
from vgpt2.model import CausalLM
from vgpt2.model_config import ModelConfig
from vgpt2.stages import STAGES
from vgpt2.stages.answers import Answer
from vgpt2.stages.dpo import DPOExample
from vgpt2.stages.kto import KTOExample
from vgpt2.stages.sft import SFTExample

VOCAB = 97


def tiny_model(*, dtype: torch.dtype = torch.float64, seed: int = 0) -> CausalLM:
    """Two layers, D=64, H=4, K=2, V=97, with weights large enough that answers differ."""
    torch.manual_seed(seed)
    cfg = ModelConfig("llama", VOCAB, 64, 96, 2, 4, 2, 16, tie_word_embeddings=False)
    model = CausalLM(cfg).to(dtype)
    for parameter in model.parameters():
        if parameter.dim() > 1:
            torch.nn.init.normal_(parameter, std=0.15)
    return model


def tiny_answer(rng: random.Random, prompt: list[int] | None = None) -> Answer:
    prompt = prompt or [rng.randrange(VOCAB) for _ in range(rng.randint(2, 9))]
    answer = [rng.randrange(VOCAB) for _ in range(rng.randint(1, 7))]
    mask = np.array([False] * len(prompt) + [True] * len(answer))
    return Answer(np.array(prompt + answer, np.int32), mask, len(prompt), 0)


def sft_rows(n: int, seed: int = 0) -> list[SFTExample]:
    answers = [tiny_answer(random.Random(f"{seed}/{i}")) for i in range(n)]
    return [SFTExample(f"rows.jsonl:{i + 1}", answer.input_ids, answer.completion_mask, 0) for i, answer in enumerate(answers)]


def dpo_rows(n: int, seed: int = 0) -> list[DPOExample]:
    rows = []
    for i in range(n):
        rng = random.Random(f"{seed}/{i}")
        prompt = [rng.randrange(VOCAB) for _ in range(rng.randint(2, 9))]
        rows.append(DPOExample(f"rows.jsonl:{i + 1}", (tiny_answer(rng, prompt), tiny_answer(rng, prompt)), 0))
    return rows


def kto_rows(n: int, seed: int = 0) -> list[KTOExample]:
    return [KTOExample(f"rows.jsonl:{i + 1}", (tiny_answer(random.Random(f"{seed}/{i}")),), i % 3 != 0, 0) for i in range(n)]


ROWS = {"sft": sft_rows, "dpo": dpo_rows, "kto": kto_rows}


def tiny_config(stage: str, **keys) -> TrainConfig:
    """A config with small budgets; `keys` are parts or top-level values: tiny_config("dpo", epochs=2, optim={"lr": 1e-3})."""
    tree = {
        "stage": stage,
        "device": "cpu",
        "log_every": 1,
        "model": {"path": "tiny", "dtype": "float32"},
        "data": {"train": ["rows.jsonl"], "cutoff_tokens": 16},
        "lora": {"rank": 4, "alpha": 8},
        "batch": {"pack_tokens": 32, "packs_per_step": 2, "examples_per_step": 4, "micro_batch_tokens": 64},
        "optim": {"lr": 1e-2, "schedule": "constant", "warmup_steps": 0},
        "checkpoint": {"save_every": 100, "eval_every": 100},
    }
    for key, value in keys.items():
        tree[key] = tree.get(key, {}) | value if isinstance(value, dict) else value
    return TrainConfig.model_validate(tree)


class SilentLog:
    """RunLog's calls, kept in lists."""

    def __init__(self) -> None:
        self.lines: list[tuple[str, int, dict[str, float]]] = []
        self.warnings: list[str] = []

    @property
    def rows(self) -> int:
        return len(self.lines)

    def advance(self, step: int, *, tokens: int) -> None: ...

    def train(self, step: int, values: dict[str, float], *, tokens: int) -> None:
        self.lines.append(("train", step, values))

    def eval(self, step: int, values: dict[str, float], *, took_s: float) -> None:
        self.lines.append(("eval", step, values))

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def tiny_job(
    cfg: TrainConfig,
    rows: list,
    folder: Path,
    *,
    held_out: list = (),
    model: CausalLM | None = None,
    policy=None,
    write=None,
    device: str = "cpu",
) -> Job:
    """A job over `rows`; `policy` may stand in for the model in the losses, `write` for the weights in a checkpoint."""
    model = (model or tiny_model()).to(device)
    if cfg.lora:
        add_lora(model, cfg.lora, seed=cfg.seed)
    stage = STAGES[cfg.stage](cfg)
    rows, held_out = stage.complete(list(rows), list(held_out), seed=cfg.seed)
    job = Job(
        cfg=cfg,
        stage=stage,
        model=model,
        optimizer=optim.build(model, cfg.optim, seed=cfg.seed, loraplus_ratio=cfg.lora.loraplus_ratio if cfg.lora else 1.0),
        examples=rows,
        eval_examples=held_out,
        steps=plan_run(stage, [row.tokens for row in rows], cfg),
        run_dir=folder,
        run_id="tiny",
        device=torch.device(device),
        autocast_dtype=None,
        write=write or (lambda path, state: (path / "state.txt").write_text(str(state.step))),
        log=SilentLog(),
        interrupts=Interrupts(),
    )
    return job


def gradients(job: Job, step: int = 0) -> dict[str, torch.Tensor]:
    """The gradient that step `step` would hand to the optimizer, before clipping, by the loop's own code."""
    from vgpt2 import loop

    seen: dict[str, torch.Tensor] = {}
    job.optimizer.step = lambda: seen.update({n: p.grad.clone() for n, p in job.model.named_parameters() if p.grad is not None})
    loop.take_step(job, State(step=step))
    return seen
