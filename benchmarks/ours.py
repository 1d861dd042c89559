"""Our side of the comparison: the loop's own step on the given rows."""

import argparse
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from workload import LR, PREFERENCE_TOKENS, RANK, Clock, Row, rows_of, tokens_of

from vgpt2 import loop, lora, optim, reference, weights
from vgpt2.config import TrainConfig
from vgpt2.interrupts import Interrupts
from vgpt2.metrics import RunLog
from vgpt2.stages import STAGES
from vgpt2.stages.answers import Answer
from vgpt2.stages.dpo import DPOExample
from vgpt2.stages.kto import KTOExample
from vgpt2.stages.sft import SFTExample


def run(name: str, folder: Path, args: argparse.Namespace) -> dict[str, Any]:
    """Stage `name` from the weights in `folder`; the reference pass is charged to the steps it serves."""
    rows, per_step = rows_of(name, args)
    cfg = TrainConfig.model_validate(
        {
            "stage": name,
            "model": {"path": str(folder)},
            "data": {"cutoff_tokens": 1024},
            "lora": {"rank": RANK, "alpha": RANK},
            "optim": {"lr": LR, "schedule": "constant", "warmup_steps": 0},
        }
    )
    assert cfg.lora is not None
    model = weights.load_model(folder, dtype=torch.float32, device="cpu")
    lora.add_lora(model, cfg.lora, seed=0)
    stage: loop.Stage = STAGES[name](cfg)
    examples, _ = stage.complete(encode(name, rows), [], seed=0)
    steps = [[list(range(start, start + per_step))] for start in range(0, len(rows), per_step)]
    with tempfile.TemporaryDirectory() as run_dir:
        job = loop.Job(
            cfg=cfg,
            stage=stage,
            model=model,
            optimizer=optim.build(model, cfg.optim),
            examples=examples,
            eval_examples=[],
            steps=steps,
            run_dir=Path(run_dir),
            run_id="benchmark",
            device=torch.device("cpu"),
            autocast_dtype=None,
            write=lambda *_: None,
            log=RunLog(Path(run_dir), total_steps=len(steps)),
            interrupts=Interrupts(),
        )
        reference_cpu_s = attach_reference(job) if stage.needs_reference else 0.0
        model.train()
        state, clock = loop.State(), Clock()
        for (indices,) in steps:
            loss, units = state.window.get("loss", (0.0, 0))
            loop.take_step(job, state)
            loop.settle(job, state)
            clock.step()
            clock.tokens.append(sum(tokens_of(name, rows[i]) for i in indices))
            clock.losses.append((state.window["loss"][0] - loss) / (state.window["loss"][1] - units))
        job.log.close()
    trained = any(bool(p.abs().max() > 0) for key, p in lora.lora_parameters(model).items() if key.endswith("lora_B"))
    return clock.result(extra_cpu_s=reference_cpu_s) | {"trained": trained}


def encode(stage: str, rows: list[Row]) -> list[Any]:
    if stage == "dpo":
        return [DPOExample(f"row {i}", (answer(row, row.chosen), answer(row, row.rejected)), 0) for i, row in enumerate(rows)]
    answers = [answer(row, row.chosen) for row in rows]
    if stage == "kto":
        return [KTOExample(f"row {i}", (own,), i % 2 == 0, 0) for i, own in enumerate(answers)]
    return [SFTExample(f"row {i}", own.input_ids, own.completion_mask, 0) for i, own in enumerate(answers)]


def answer(row: Row, text: list[int]) -> Answer:
    mask = np.arange(len(row.prompt) + len(text)) >= len(row.prompt)
    return Answer(np.array(row.prompt + text, np.int32), mask, len(row.prompt), 0)


def attach_reference(job: loop.Job) -> float:
    """CPU-seconds of the reference pass."""
    began = time.process_time()
    job.examples = reference.attach(
        job.model,
        job.examples,
        job.run_dir,
        key="benchmark",
        budget=4 * PREFERENCE_TOKENS,
        autocast=job.autocast,
        check=lambda: None,
        progress=lambda *_: None,
        may_compute=True,
    )
    return time.process_time() - began
