"""Trains the tiny model a few steps in every way on two threads; says the hash of each result and of sums: two_threads.py MODEL."""

import hashlib
import random
import sys
import tempfile
from pathlib import Path

import numpy as np
import torch
from tiny_jobs import tiny_config, tiny_job

from vgpt2 import loop
from vgpt2.losses.logps import sequence_logps
from vgpt2.stages.answers import Answer
from vgpt2.stages.dpo import DPOExample
from vgpt2.stages.kto import KTOExample
from vgpt2.stages.sft import SFTExample
from vgpt2.weights import load_model

STEPS = 4
BATCH = {"pack_tokens": 512, "packs_per_step": 1, "examples_per_step": 4, "micro_batch_tokens": 1024}


def answer(rng: random.Random) -> Answer:
    prompt, said = rng.randint(20, 60), rng.randint(20, 60)
    ids = np.array([rng.randrange(3, 2048) for _ in range(prompt + said)], np.int32)
    return Answer(ids, np.array([False] * prompt + [True] * said), prompt, 0)


def rows(stage: str) -> list:
    rng = random.Random(stage)
    if stage == "sft":
        answers = [answer(rng) for _ in range(24)]
        return [SFTExample("here:1", each.input_ids, each.completion_mask, 0) for each in answers]
    if stage == "dpo":
        return [DPOExample("here:1", (answer(rng), answer(rng)), 0, (-300.0, -310.0)) for _ in range(16)]
    return [KTOExample("here:1", (answer(rng),), i % 2 == 0, 0, (-300.0, -300.0)) for i in range(16)]


def main() -> None:
    assert torch.get_num_threads() == 2
    for stage, lora in (("sft", {}), ("sft", None), ("dpo", {}), ("kto", {})):
        keys = {} if lora is None else {"rank": 8, "dropout": 0.1 if stage == "sft" else 0.0}
        cfg = tiny_config(stage, max_steps=STEPS, batch=BATCH, data={"cutoff_tokens": 256}, lora=None if lora is None else keys)
        model = load_model(sys.argv[1], dtype=torch.float32, device="cpu")
        with tempfile.TemporaryDirectory() as folder:
            job = tiny_job(cfg, rows(stage), Path(folder), model=model)
            state = loop.State()
            loop.fit(job, state)
        assert state.step == STEPS
        digest = hashlib.sha256()
        for parameter in model.parameters():
            if parameter.requires_grad:
                digest.update(parameter.detach().numpy().tobytes())
        print(stage, "lora" if lora is not None else "full", digest.hexdigest())
    print("sums", digest_of_sums())


def digest_of_sums() -> str:
    """Of sequence_logps and its gradient over enough tokens that torch shares the sum among its threads."""
    token_logps = torch.randn(50_000, generator=torch.Generator().manual_seed(0), requires_grad=True)
    sums = sequence_logps(token_logps, torch.arange(0, 50_001, 500, dtype=torch.int32))
    sums.square().sum().backward()
    return hashlib.sha256(sums.detach().numpy().tobytes() + token_logps.grad.numpy().tobytes()).hexdigest()


if __name__ == "__main__":
    main()
