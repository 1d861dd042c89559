import threading
import time
from dataclasses import dataclass

import pytest
import torch
from devices import on_gpu
from tiny_jobs import ROWS, sft_rows, tiny_config, tiny_job, tiny_model
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from vgpt2 import loop
from vgpt2.loop import State
from vgpt2.prefetch import DEPTH, Ahead, pinned

# what makes the host wait for a device: reading a number, and every result whose shape depends on the values
WAITS = {"aten._local_scalar_dense", "aten.nonzero", "aten.masked_select", "aten.unique2", "aten.equal", "aten.is_nonzero"}


class Waits(TorchDispatchMode):
    """Names of the operations that would wait for a GPU, though all runs on the CPU here."""

    def __init__(self):
        super().__init__()
        self.seen: list[str] = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        name = str(func.overloadpacket)
        picks = name in ("aten.index", "aten.index_put") and any(index is not None and index.dtype == torch.bool for index in args[1])
        if name in WAITS or picks:
            self.seen.append(name)
        return func(*args, **(kwargs or {}))


def test_the_counter_counts():
    with Waits() as waits:
        float(torch.ones(()))
        torch.ones(3)[torch.ones(3) > 0]
        bool(torch.ones(()) > 0)
    assert waits.seen == ["aten._local_scalar_dense", "aten.index", "aten._local_scalar_dense"]


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_a_step_waits_for_the_device_once_and_logging_once_more(stage, tmp_path, monkeypatch):
    """The one wait of a step reads the gradient's norm, by which a step may be skipped; four micro-batches, many metrics."""
    micro_batch_tokens = 16 if stage == "kto" else 32
    cfg = tiny_config(stage, batch={"packs_per_step": 4, "examples_per_step": 8, "micro_batch_tokens": micro_batch_tokens}, epochs=2)
    job, state = tiny_job(cfg, ROWS[stage](24), tmp_path), State()
    assert len(job.steps[0]) >= 3
    loop.take_step(job, state)  # the optimizer's state is made in the first
    copies = []
    for name in ("tolist", "cpu", "numpy"):
        original = getattr(Tensor, name)
        monkeypatch.setattr(Tensor, name, lambda tensor, original=original: (copies.append(original.__name__), original(tensor))[1])
    batches = iter([loop.collated(job, 1), loop.collated(job, 2)])
    job.ahead = lambda step: next(batches)
    copies.clear()
    with Waits() as waits:
        loop.take_step(job, state)
        loop.take_step(job, state)
    assert (waits.seen, copies) == (["aten._local_scalar_dense"] * 2, [])
    with Waits() as waits:
        loop.settle(job, state)
    assert (waits.seen, copies) == ([], ["tolist"])
    assert state.window["grad_norm"][1] == 3
    assert not job.pending


@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_batches_made_ahead_train_to_the_same_bits(stage, tmp_path):
    results = []
    for is_ahead in (True, False):
        cfg = tiny_config(stage, epochs=3, lora={"dropout": 0.2 if stage == "sft" else 0.0})
        job, state = tiny_job(cfg, ROWS[stage](24), tmp_path), State()
        job.model.train()
        if is_ahead:
            loop.fit(job, state)
            assert job.ahead is not None
        else:
            while state.step < len(job.steps):
                loop.take_step(job, state)
        results.append([parameter.detach().clone() for parameter in job.parameters])
    assert all(torch.equal(one, other) for one, other in zip(*results))


def test_a_few_steps_are_ready_before_they_are_asked_for_and_none_behind_the_end():
    made, ready = [], threading.Event()

    def make(step):
        made.append((step, threading.current_thread().name))
        if step == DEPTH:
            ready.set()
        return step * 10

    with Ahead(make, end=5) as batches:
        assert batches(0) == 0
        assert ready.wait(10)
        assert [step for step, _ in made] == list(range(DEPTH + 1))
        assert [batches(step) for step in range(1, 5)] == [10, 20, 30, 40]
    assert [step for step, _ in made] == [0, 1, 2, 3, 4]
    assert {name.split("_")[0] for _, name in made} == {"prefetch"}


def test_a_resumed_run_starts_anywhere():
    with Ahead(lambda step: step, end=9) as batches:
        assert [batches(step) for step in (6, 7, 8)] == [6, 7, 8]


def test_an_error_is_raised_at_its_own_step():
    def make(step):
        if step == 2:
            raise ValueError("row 2")
        return step

    with Ahead(make, end=9) as batches:
        assert [batches(0), batches(1)] == [0, 1]
        with pytest.raises(ValueError, match="row 2"):
            batches(2)


def test_leaving_early_ends_the_thread_and_what_waits():
    made = []

    def make(step):
        made.append(step)
        time.sleep(0.05)
        return step

    with Ahead(make, end=100) as batches:
        batches(0)
    assert not any(thread.name.startswith("prefetch") for thread in threading.enumerate())
    assert len(made) <= 2


def test_a_row_that_cannot_be_collated_ends_the_run_where_its_step_begins(tmp_path):
    job, state = tiny_job(tiny_config("sft", epochs=4), sft_rows(12), tmp_path), State()
    collate, calls = job.stage.collate, []

    def breaks(examples):
        calls.append(examples)
        if len(calls) > 2 * len(job.steps[0]):
            raise ValueError("broken")
        return collate(examples)

    job.stage.collate = breaks
    with pytest.raises(ValueError, match="broken"):
        loop.fit(job, state)
    assert state.step >= 1


@dataclass(frozen=True)
class Inner:
    ids: Tensor
    lengths: tuple[int, ...] | None


@dataclass(frozen=True)
class Outer:
    inner: Inner
    other: Inner | None
    values: Tensor
    units: int


def test_every_tensor_of_a_batch_is_pinned_and_the_rest_stays(monkeypatch):
    """A stand-in for page-locking, which needs a GPU: what was pinned is marked by its sign."""
    monkeypatch.setattr(Tensor, "pin_memory", lambda tensor: -tensor)
    batch = pinned(Outer(Inner(torch.ones(2), (1, 1)), None, torch.ones(3), 7))
    assert (batch.inner.ids.tolist(), batch.values.tolist()) == ([-1, -1], [-1, -1, -1])
    assert (batch.inner.lengths, batch.other, batch.units) == ((1, 1), None, 7)


@on_gpu
@pytest.mark.parametrize("optim", [{}, {"kind": "adamw8bit"}, {"kind": "adamw8bit", "paged": True}], ids=str)
@pytest.mark.parametrize("stage", ["sft", "dpo", "kto"])
def test_a_step_on_cuda_waits_only_where_it_says_so(stage, optim, tmp_path):
    """As a card trains: bf16 under autocast, adapters of 4,096 numbers and more, several micro-batches; the norm is what it waits for."""
    batch = {"packs_per_step": 4, "micro_batch_tokens": 16 if stage == "kto" else 32}
    cfg = tiny_config(stage, batch=batch, epochs=2, lora={"rank": 64}, optim=optim)
    job = tiny_job(cfg, ROWS[stage](24), tmp_path, model=tiny_model(dtype=torch.bfloat16), device="cuda")
    job.autocast_dtype, state = torch.bfloat16, State()
    assert all(batch.packed.input_ids.is_pinned() for batch in loop.collated(job, 0))
    for _ in range(2):  # kernels are compiled and the optimizer's state is made
        loop.take_step(job, state)
    torch.cuda.set_sync_debug_mode("warn")
    try:
        with pytest.warns(UserWarning, match="synchronizing") as caught:
            loop.take_step(job, state)
    finally:
        torch.cuda.set_sync_debug_mode("default")
    assert len([warning for warning in caught if "synchronizing" in str(warning.message)]) == 1
