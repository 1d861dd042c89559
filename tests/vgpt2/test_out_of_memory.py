"""A step that runs out of memory starts over with more layers recomputed, and ends as if nothing had been."""

import gc
from dataclasses import replace

import numpy as np
import pytest
import torch
from devices import DEVICES, on_gpu
from tiny_jobs import ROWS, VOCAB, tiny_config, tiny_job, tiny_model

from vgpt2 import loop
from vgpt2.loop import State
from vgpt2.model import CausalLM, ModelConfig
from vgpt2.stages.sft import SFTExample


@pytest.fixture(autouse=True)
def same_bits(monkeypatch):
    """Two runs can be compared on a card too."""
    monkeypatch.setenv("CUBLAS_WORKSPACE_CONFIG", ":4096:8")
    torch.use_deterministic_algorithms(True)
    yield
    torch.use_deterministic_algorithms(False)


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


def job_of(stage: str, folder, device: str = "cpu", **keys) -> loop.Job:
    cfg = tiny_config(stage, batch={"micro_batch_tokens": 32 if stage != "kto" else 16}, epochs=2, **keys)  # several micro-batches a step
    job = tiny_job(cfg, ROWS[stage](12), folder, model=tiny_model(dtype=torch.float32), device=device)
    if stage != "sft":
        job.examples = [replace(row, ref_logps=(-3.0,) * len(row.answers)) for row in job.examples]
    job.model.train()
    return job


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_the_step_ends_with_the_undisturbed_weights_and_metrics(stage, device, tmp_path):
    keys = {"lora": {"dropout": 0.2}} if stage == "sft" else {}
    results = []
    for below in (0, 2):
        job, state = job_of(stage, tmp_path, device, **keys), State()
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


@on_gpu
def test_a_card_that_is_too_small_for_what_all_layers_keep_ends_the_step_with_the_same_bits(tmp_path):
    """Twelve layers, 8,192 tokens, D=256: a layer keeps 52 MiB, a recomputed one 4. The cap lies half-way between none and all of them."""
    ids, mask = np.arange(1024, dtype=np.int32) % VOCAB, np.ones(1024, bool)
    rows = [SFTExample(f"rows.jsonl:{n}", ids, mask, 0) for n in range(8)]
    batch = {"pack_tokens": 1024, "packs_per_step": 8, "micro_batch_tokens": 8192}
    cfg = tiny_config("sft", data={"cutoff_tokens": 1024}, batch=batch)

    def stepped(recomputed: int) -> tuple[int, loop.Job]:
        """Bytes that the allocator took at most, and the job after a step."""
        gc.collect()
        torch.cuda.empty_cache()
        torch.cuda.reset_peak_memory_stats()
        torch.manual_seed(0)
        model = CausalLM(ModelConfig("llama", VOCAB, 256, 1024, 12, 4, 2, 64)).to(torch.bfloat16)
        job = tiny_job(cfg, rows, tmp_path, model=model, device="cuda")
        job.model.recompute_layers, job.autocast_dtype = recomputed, torch.bfloat16
        loop.take_step(job, State())
        return torch.cuda.max_memory_reserved(), job

    least, most = (stepped(recomputed)[0] for recomputed in (12, 0))
    undisturbed = [parameter.detach().cpu() for parameter in stepped(0)[1].parameters]
    torch.cuda.set_per_process_memory_fraction((least + most) / 2 / torch.cuda.mem_get_info()[1])
    try:
        job = stepped(0)[1]
    finally:
        torch.cuda.set_per_process_memory_fraction(1.0)
    assert job.log.warnings[0].startswith("step 1: out of memory; 4 of 12 layers are recomputed")
    assert all(torch.equal(parameter.cpu(), other) for parameter, other in zip(job.parameters, undisturbed))
