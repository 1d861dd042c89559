"""The decoding step as one CUDA graph: a small batch's step is hundreds of short kernels, and launching them takes longest."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from vgpt2.generation.cache import KVCache
from vgpt2.model import CausalLM

WARM_UP_STEPS = 3


class GraphedStep:
    """`KVCache.step` recorded once and replayed. Every row of the cache takes part, so shapes never change.

    Rows without a request write to the last position of their row, which no prompt ever fills.
    """

    def __init__(self, model: CausalLM, cache: KVCache) -> None:
        device = cache.keys.device
        self._cache = cache
        self._ids = torch.zeros(cache.rows, dtype=torch.int64, device=device)
        self._positions = torch.full_like(self._ids, cache.width - 1)
        self._rows, self._places = torch.arange(cache.rows, device=device), torch.zeros_like(self._ids)
        model.inv_freq = model.inv_freq.to(device)  # a copy from the host cannot be recorded
        stream = torch.cuda.Stream(device)
        stream.wait_stream(torch.cuda.current_stream(device))
        with torch.cuda.stream(stream):  # lazily made handles and workspaces must exist before the recording
            for _ in range(WARM_UP_STEPS):
                self._forward(model)
        torch.cuda.current_stream(device).wait_stream(stream)
        self._graph = torch.cuda.CUDAGraph()
        # another thread may page-lock a training batch meanwhile, which would end a recording that forbids that to the whole process
        with torch.cuda.graph(self._graph, capture_error_mode="thread_local"):
            self._hidden = self._forward(model)

    def __call__(self, runs: Sequence[Sequence[int]]) -> Tensor:
        """Adds one token, a run of length 1, to every live row; their hidden states (rows, D), valid until the next call."""
        lengths, last = self._cache.lengths, [token_id for (token_id,) in runs]
        dead = self._cache.rows - len(lengths)
        self._ids.copy_(torch.tensor([*last, *[0] * dead]))
        self._positions.copy_(torch.tensor([*lengths, *[self._cache.width - 1] * dead]))
        self._graph.replay()
        self._cache.lengths = [length + 1 for length in lengths]
        return self._hidden[: len(lengths)]

    def _forward(self, model: CausalLM) -> Tensor:
        sizes = (self._cache.rows, 1, self._cache.width)
        return model.hidden(self._ids, self._positions, self._cache.attend_runs(self._rows, self._places, self._positions, sizes))
