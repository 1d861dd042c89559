"""A recorded decoding step against an eager one and whole forwards; on the CPU a tape stands for CUDA's graph."""

import contextlib
import random

import pytest
import tiny_models
import torch
from devices import DEVICES
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from kernels.linear_logps import linear_logits
from vgpt2.generation.cache import KVCache
from vgpt2.generation.graph import GraphedStep
from vgpt2.packing import pack


class Tape(TorchDispatchMode):
    """Runs what it has seen again, on the same memory and with the same numbers of Python: what a graph does."""

    def __init__(self):
        super().__init__()
        self.calls = []

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        self.calls.append((func, args, kwargs or {}, tree_leaves(result)))
        return result

    def replay(self):
        for func, args, kwargs, places in self.calls:
            for place, value in zip(places, tree_leaves(func(*args, **kwargs))):
                if isinstance(place, torch.Tensor) and place.data_ptr() != value.data_ptr():
                    place.copy_(value)


class Stream:
    def wait_stream(self, other): ...


@pytest.fixture(autouse=True)
def graphs(device, monkeypatch):
    if device == "cpu":
        monkeypatch.setattr(torch.cuda, "Stream", lambda device: Stream())
        monkeypatch.setattr(torch.cuda, "current_stream", lambda device: Stream())
        monkeypatch.setattr(torch.cuda, "stream", contextlib.nullcontext)
        monkeypatch.setattr(torch.cuda, "CUDAGraph", Tape)
        monkeypatch.setattr(torch.cuda, "graph", lambda tape, capture_error_mode: tape)


@pytest.mark.parametrize("dtype", [torch.float64, torch.bfloat16], ids=str)
@pytest.mark.parametrize("device", DEVICES)
def test_a_recorded_step_is_as_near_to_the_whole_forward_as_an_eager_one(device, dtype):
    """Three rows of other lengths, then one that leaves, then one that arrives; whole forwards in fp64 with the same weights."""
    rng = random.Random(0)
    rows = [[rng.randrange(tiny_models.VOCAB) for _ in range(length)] for length in (20, 5, 11, 17)]
    late = rows.pop()
    model = tiny_models.twin(tiny_models.oracle("qwen2.5", dtype=dtype)).to(device)
    exact = tiny_models.twin(tiny_models.oracle("qwen2.5"))
    exact.load_state_dict(model.state_dict())
    caches = [KVCache(model.cfg, rows=4, width=40, like=model.lm_head.weight) for _ in range(2)]

    def check(hidden):
        """Logits behind every row, of both ways."""
        whole = torch.stack([exact.logits(pack([(row, [False] * len(row))]))[-1] for row in rows])
        eager, recorded = (linear_logits(states, model.lm_head.weight).cpu().double() - whole for states in hidden)
        assert recorded.norm() <= 2 * eager.norm() + 1e-10 * whole.norm()
        assert eager.norm() < 0.05 * whole.norm()

    with torch.inference_mode():
        recorded = GraphedStep(model, caches[1])
        for cache in caches:
            for row in rows:
                cache.add(row)
            cache.step(model, [])
        for event in ("all", "one leaves", "one arrives"):
            if event == "one leaves":
                for cache in caches:
                    cache.drop(0)
                rows[0] = rows.pop()
            runs = [[rng.randrange(tiny_models.VOCAB)] for _ in rows]
            if event == "one arrives":  # in an eager step of the cache that the graph writes to
                for cache in caches:
                    cache.add(late)
                hidden = [cache.step(model, runs) for cache in caches]
                rows = [row + run for row, run in zip(rows, runs)] + [late]
                check(hidden)
                runs = [[rng.randrange(tiny_models.VOCAB)] for _ in rows]
            rows = [row + run for row, run in zip(rows, runs)]
            check([caches[0].step(model, runs), recorded(runs)])
        assert caches[0].lengths == caches[1].lengths == [len(row) for row in rows]
