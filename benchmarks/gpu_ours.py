"""Our side of the GPU benchmark: the loop's own step, with the layers that the memory plan recomputes."""

import tempfile
import time
from pathlib import Path
from typing import Any

import ours
import torch
from gpu_cases import LR, SIZES, Case, Setting, fill, filled

from vgpt2 import loop, lora, memory, optim
from vgpt2.config import TrainConfig
from vgpt2.flops import recomputed_flops, useful_flops
from vgpt2.interrupts import Interrupts
from vgpt2.model import CausalLM
from vgpt2.offload import HostMemory
from vgpt2.packing import cut, label_count, shared_prompts
from vgpt2.qlora import empty_nf4
from vgpt2.stages import STAGES
from vgpt2.step_bytes import GIB


class Losses:
    """Stands for the run's log: keeps the loss of each step and the warnings."""

    rows = 0

    def __init__(self) -> None:
        self.values: list[float] = []
        self.warnings: list[str] = []

    def advance(self, step: int, *, tokens: int) -> None: ...

    def train(self, step: int, values: dict[str, float], *, tokens: int) -> None:
        self.values.append(values["loss"])

    def warn(self, text: str) -> None:
        self.warnings.append(text)


def run(
    case: Case, setting: Setting, device: torch.device, *, steps: int, warm_up: int, cap_gib: float | None, offload: bool
) -> dict[str, Any]:
    """Figures of the timed steps; the reference pass is charged to the steps it serves."""
    budget = setting.rows * case.longest * (2 if case.stage == "dpo" else 1)
    cfg, dtype = config(case, setting, budget, offload=offload), torch.bfloat16 if device.type == "cuda" else torch.float32
    stage: loop.Stage = STAGES[case.stage](cfg)
    examples, _ = stage.complete(ours.encode(case.stage, case.rows(warm_up + steps)), [], seed=0)
    tokens = [example.tokens for example in examples]
    starts = range(0, len(examples), case.per_step)
    planned = [cut(range(start, start + case.per_step), tokens, budget) for start in starts]
    if cfg.optim.in_backward:
        planned = [[[index for rows in step for index in rows]] for step in planned]
    setup = memory.setup_of(SIZES[case.size], cfg, compute=dtype.itemsize, on_cuda=device.type == "cuda")
    fullest = memory.fullest_of(examples, planned, budget=cfg.batch.micro_batch_tokens)
    plan = memory.chosen(cfg, setup, fullest, memory.room_on(device, cap_gib))
    model = build(case, dtype if case.rank or cfg.optim.in_backward else torch.float32, device)
    model.recompute_layers = plan.recomputed
    model.offload = HostMemory(device) if offload else None
    if cfg.lora:
        lora.add_lora(model, cfg.lora, seed=0)
    log = Losses()
    with tempfile.TemporaryDirectory() as folder:
        job = loop.Job(
            cfg=cfg,
            stage=stage,
            model=model,
            optimizer=optim.build(model, cfg.optim),
            examples=examples,
            eval_examples=[],
            steps=planned,
            run_dir=Path(folder),
            run_id="benchmark",
            device=device,
            autocast_dtype=dtype if dtype != torch.float32 else None,
            write=lambda *_: None,
            log=log,  # type: ignore[arg-type]
            interrupts=Interrupts(),
        )
        began = time.perf_counter()
        if stage.needs_reference:
            ours.attach_reference(job)
        wait(device)
        reference_s = (time.perf_counter() - began) * steps / (warm_up + steps)
        model.train()
        state, marks = loop.State(), []
        for _ in planned:
            marks.append(mark(device))
            loop.take_step(job, state)
            loop.log_window(job, state)
        marks.append(mark(device))
    timed = examples[warm_up * case.per_step :]
    seconds = marks[-1] - marks[warm_up]
    trained = sum(p.numel() for p in job.parameters) if cfg.lora else None
    useful, again = operations(case, timed, trained, model.recompute_layers)
    return {
        "tokens_per_s": round(sum(len(ids) for example in timed for ids, _ in example.sequences) / (seconds + reference_s), 1),
        "useful_tflops": round(useful / seconds / 1e12, 3),
        "hardware_tflops": round((useful + again) / seconds / 1e12, 3),
        "planned_gib": round(plan.peak / GIB, 2),
        "recomputed_layers": model.recompute_layers,
        "host_gib": round(plan.host / GIB, 2),
        "reference_s": round(reference_s, 2),
        "loss_first": round(log.values[0], 4),
        "loss_last": round(log.values[-1], 4),
        "trained": bool(state.skipped == 0 and log.values[-1] != log.values[0]),
        "warnings": log.warnings,
    }


def config(case: Case, setting: Setting, budget: int, *, offload: bool) -> TrainConfig:
    optimizer: dict[str, Any] = {"lr": LR, "schedule": "constant", "warmup_steps": 0}
    if case.has_8_bit_moments:
        optimizer["kind"] = "adamw8bit"
    if case.rank is None:
        optimizer |= {"in_backward": True, "clip": "tensor"}
    model = {"path": case.size, "quantization": "nf4" if case.nf4 else None, "offload_checkpoints": offload}
    return TrainConfig.model_validate(
        {
            "stage": case.stage,
            "model": model | {"gradient_checkpointing": True if setting.checkpointing else "auto"},
            "data": {"cutoff_tokens": case.longest},
            "lora": {"rank": case.rank, "alpha": case.rank} if case.rank else None,
            "batch": {"pack_tokens": case.longest, "micro_batch_tokens": max(budget, 2 * case.longest)},
            "optim": optimizer,
        }
    )


def build(case: Case, dtype: torch.dtype, device: torch.device) -> CausalLM:
    """The model with the benchmark's weights, made where they stay; an NF4 layer at a time."""
    with torch.device("meta"):
        model = CausalLM(SIZES[case.size]).to(dtype)
    quantised = empty_nf4(model) if case.nf4 else {}
    for name, layer in quantised.items():
        weight = torch.empty(layer.out_features, layer.in_features, dtype=dtype, device=device)
        fill(name, weight)
        layer.store(weight, name)
    model = model.to_empty(device=device)
    return filled(model)


def operations(case: Case, examples: list[Any], trained: int | None, layers: int) -> tuple[float, float]:
    """Useful operations of the policy's forward and backward over the examples, and those of running layers again."""
    cfg, useful, again = SIZES[case.size], 0.0, 0.0
    for example in examples:
        ids, masks = zip(*example.sequences)
        shape: dict[str, Any] = {"lengths": list(map(len, ids)), "shared": shared_prompts(ids, masks), "trained": trained}
        useful += useful_flops(cfg, **shape, scored=sum(map(label_count, masks)))
        again += recomputed_flops(cfg, **shape, layers=layers)
    return useful, again


def mark(device: torch.device) -> float:
    wait(device)
    return time.perf_counter() if device.type == "cuda" else time.process_time()


def wait(device: torch.device) -> None:
    if device.type == "cuda":
        torch.cuda.synchronize(device)
