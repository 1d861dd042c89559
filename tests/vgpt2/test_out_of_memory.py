"""A step that runs out of memory starts over with more layers recomputed, and ends as if nothing had been."""

from dataclasses import replace

import pytest
import torch
from tiny_jobs import ROWS, tiny_config, tiny_job, tiny_model

from vgpt2 import loop
from vgpt2.loop import State


def failing(job: loop.Job, *, below: int, at_call: int = 2) -> list[int]:
    """Lets the job's model run out of memory in the `at_call`-th forward with n recomputed layers, for every n < `below`.

    The list of layers that each forward was run with.
    """
    original, calls = job.model.forward, []

    def forward(packed):
        if not torch.is_grad_enabled():  # KTO's mismatched answers
            return original(packed)
        calls.append(job.model.recompute_layers)
        if calls[-1] < below and calls.count(calls[-1]) == at_call:
            raise torch.OutOfMemoryError("CUDA out of memory")
        return original(packed)

    job.model.forward = forward
    return calls


def job_of(stage: str, folder, **keys) -> loop.Job:
    batch = {"micro_batch_tokens": 32 if stage != "kto" else 16}  # several micro-batches a step
    job = tiny_job(tiny_config(stage, batch=batch, epochs=2, **keys), ROWS[stage](12), folder, model=tiny_model(dtype=torch.float32))
    if stage != "sft":
        job.examples = [replace(row, ref_logps=(-3.0,) * len(row.answers)) for row in job.examples]
    job.model.train()
    return job


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_the_step_ends_with_the_undisturbed_weights_and_metrics(stage, tmp_path):
    keys = {"lora": {"dropout": 0.2}} if stage == "sft" else {}
    results = []
    for below in (0, 2):
        job, state = job_of(stage, tmp_path, **keys), State()
        calls = failing(job, below=below)
        for _ in range(2):
            loop.take_step(job, state)
        loop.settle(job, state)
        assert (0 in calls, 2 in calls) == (True, below == 2)
        results.append((state, [p.detach().clone() for p in job.parameters], list(job.log.warnings)))
    (state, weights, silent), (state_again, weights_again, warned) = results
    assert state == state_again
    assert all(torch.equal(one, other) for one, other in zip(weights, weights_again))
    assert silent == []
    assert warned == ["step 1: out of memory; 2 of 2 layers are recomputed from now on, and the step starts over"]


def test_with_every_layer_recomputed_the_run_ends_and_no_half_gradient_is_left(tmp_path):
    job = job_of("sft", tmp_path)
    failing(job, below=99)
    before = [p.detach().clone() for p in job.parameters]
    with pytest.raises(torch.OutOfMemoryError):
        loop.take_step(job, State())
    assert all(parameter.grad is None for parameter in job.parameters)
    assert all(torch.equal(one, other) for one, other in zip(before, job.parameters))


def test_layers_are_added_a_few_at_a_time(tmp_path, monkeypatch):
    monkeypatch.setattr(loop, "MORE_LAYERS", 1)
    job = job_of("sft", tmp_path)
    calls = failing(job, below=2)
    loop.take_step(job, State())
    assert sorted(set(calls)) == [0, 1, 2]
    assert job.model.recompute_layers == 2
