"""Decoding: many prompts at once, token by token, over one cache of keys and values.

    for token in stream(model, requests, eos_ids=tokenizer.eos_ids, token_budget=16_384): ...
    answers = generate(model, prompts, max_new_tokens=256, eos_ids=tokenizer.eos_ids, token_budget=16_384)

Prompts go through the model end to end, as in training; after that each live row adds one token a step, so the model sees T = rows
tokens and only attention knows which row a token belongs to. A finished row's place is taken at once by the next prompt. A request's
random numbers come from its own seed, so its answer does not depend on its company (but for the rounding of other matmul shapes).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from kernels.linear_logps import linear_logits
from vgpt2.attention import Attend, packed_attention
from vgpt2.model import CausalLM
from vgpt2.model_config import ModelConfig
from vgpt2.packing import Packed, pack

PREFILL_TOKENS = 1024  # prompts of one forward: enough to keep the matmuls busy, little enough not to hold up the live rows


@dataclass(frozen=True)
class Request:
    """A prompt and how to go on from it; temperature 0 is greedy, top_k None means all tokens."""

    prompt: Sequence[int]
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    seed: int | str = 0

    @property
    def width(self) -> int:
        """Tokens it may fill in the cache."""
        return len(self.prompt) + self.max_new_tokens


@dataclass(frozen=True)
class Token:
    """One step of one request. The end token has no id of its own; `finish` tells why nothing follows."""

    request: int
    id: int | None
    finish: Literal["stop", "length"] | None = None


def generate(
    model: CausalLM,
    prompts: Sequence[Sequence[int]],
    *,
    max_new_tokens: int,
    eos_ids: Sequence[int],
    token_budget: int,
    temperature: float = 0.0,
    top_p: float = 1.0,
    top_k: int | None = None,
    seed: int = 0,
) -> list[list[int]]:
    """The answer to each prompt, in order, without its end token; equal prompts draw differently. See `stream` for errors."""
    requests = [Request(prompt, max_new_tokens, temperature, top_p, top_k, f"{seed}/{n}") for n, prompt in enumerate(prompts)]
    answers: list[list[int]] = [[] for _ in requests]
    for token in stream(model, requests, eos_ids=eos_ids, token_budget=token_budget):
        if token.id is not None:
            answers[token.request].append(token.id)
    return answers


@torch.inference_mode()
def stream(model: CausalLM, requests: Sequence[Request], *, eos_ids: Sequence[int], token_budget: int) -> Iterator[Token]:
    """Tokens as they are chosen; those of one request in order, those of different requests interleaved.

    The cache holds at most `token_budget` tokens, so that memory is bounded; longer requests go first. Module modes and random
    states are as before when the iterator ends or is closed. Raises ValueError for a request that can never be served.
    """
    _refuse_impossible(model.cfg, requests, token_budget)
    waiting = deque(sorted(range(len(requests)), key=lambda n: -requests[n].width))
    if not waiting:
        return
    weight = model.lm_head.weight
    head = weight if weight.is_cuda else weight.to(torch.promote_types(weight.dtype, torch.float32))  # once, not a step
    width = requests[waiting[0]].width
    cache = KVCache(model.cfg, rows=min(token_budget // width, len(requests)), width=width, like=model.model.embed_tokens.weight)
    live: list[_Row] = []  # in the order of the cache's rows
    with evaluating(model):
        while waiting or live:
            if admitted := _admit(requests, waiting, cache.free_rows):
                live += [_Row(n, requests[n]) for n in admitted]
                hidden, chosen_for = cache.prefill(model, [requests[n].prompt for n in admitted]), live[-len(admitted) :]
            else:
                hidden, chosen_for = cache.step(model, [row.last for row in live]), live
            chosen = choose(linear_logits(hidden, head), [row.draw() for row in chosen_for])
            first = len(live) - len(chosen_for)
            finished = []
            for place, (row, token_id) in enumerate(zip(chosen_for, chosen), first):
                token = row.take(token_id, eos_ids)
                yield token
                if token.finish:
                    finished.append(place)
            for place in reversed(finished):  # the last live row moves into the gap
                cache.drop(place)
                live[place] = live[-1]
                live.pop()


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Every module in evaluation mode; afterwards each in the mode it had."""
    modes = [(module, module.training) for module in model.modules()]
    model.eval()
    try:
        yield
    finally:
        for module, mode in modes:
            module.training = mode


class KVCache:
    """Keys and values of the live rows, which are always the first ones; a row is a sequence of at most `width` tokens."""

    def __init__(self, cfg: ModelConfig, *, rows: int, width: int, like: Tensor) -> None:
        """Room for rows x width tokens in the dtype and on the device of `like`."""
        shape = (cfg.num_hidden_layers, rows, cfg.num_key_value_heads, width, cfg.head_dim)
        # zeros, not empty: what is masked still takes part in 0 x value, and memory never written could hold NaN
        self.keys = torch.zeros(shape, dtype=like.dtype, device=like.device)
        self.values = torch.zeros_like(self.keys)
        self.lengths: list[int] = []  # of the live rows

    @property
    def free_rows(self) -> int:
        return self.keys.shape[1] - len(self.lengths)

    def prefill(self, model: CausalLM, prompts: Sequence[Sequence[int]]) -> Tensor:
        """Adds a row for each prompt; hidden states (rows, D) of their last tokens."""
        packed = pack([(prompt, [False] * len(prompt)) for prompt in prompts]).to(self.keys.device)
        hidden = model.hidden(packed.input_ids, packed.position_ids, self._attend_prompts(packed))
        self.lengths += [len(prompt) for prompt in prompts]
        return hidden[packed.cu_seqlens[1:].long() - 1]

    def step(self, model: CausalLM, last: Sequence[int]) -> Tensor:
        """Adds one token, `last`, to every live row; their hidden states (rows, D)."""
        positions = torch.tensor(self.lengths, device=self.keys.device)  # (rows,)
        hidden = model.hidden(torch.tensor(last, device=self.keys.device), positions, self._attend_rows(positions))
        self.lengths = [length + 1 for length in self.lengths]
        return hidden

    def drop(self, row: int) -> None:
        """Forgets a live row; the last live row takes its place."""
        length = self.lengths[row] = self.lengths[-1]
        end = len(self.lengths) - 1
        if row != end:
            for cached in (self.keys, self.values):
                cached[:, row, :, :length] = cached[:, end, :, :length]
        self.lengths.pop()

    def _attend_prompts(self, packed: Packed) -> Attend:
        """Attention within each prompt, which also notes its keys and values in the rows behind the live ones."""
        within, first, lengths = packed_attention(packed), len(self.lengths), packed.lengths
        assert lengths is not None  # Packed fills it in

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            for cached, new in ((self.keys[layer], k), (self.values[layer], v)):
                for row, part in enumerate(new.split(lengths), first):
                    cached[row, :, : len(part)] = part.transpose(0, 1)  # (K, t, Dh)
            return within(layer, q, k, v)

        return attend

    def _attend_rows(self, positions: Tensor) -> Attend:
        """Attention of one new token a row over the row's cached tokens and itself, at `positions` (rows,)."""
        rows, width = torch.arange(len(positions), device=positions.device), max(self.lengths) + 1
        bias = self.keys.new_zeros(len(positions), 1, 1, width)
        bias.masked_fill_(torch.arange(width, device=positions.device) > positions[:, None, None, None], -torch.inf)

        def attend(layer: int, q: Tensor, k: Tensor, v: Tensor) -> Tensor:
            keys, values = self.keys[layer], self.values[layer]
            keys[rows, :, positions] = k
            values[rows, :, positions] = v
            # the query heads of one key head stand where queries of one sequence would: no key is repeated
            grouped = q.unflatten(1, (k.shape[1], -1))  # (rows, K, H/K, Dh)
            out = scaled_dot_product_attention(grouped, keys[: len(rows), :, :width], values[: len(rows), :, :width], attn_mask=bias)
            return out.flatten(1, 2)  # (rows, H, Dh)

        return attend


@dataclass(frozen=True)
class Draw:
    """How the next token of a row is chosen; `uniform` in [0, 1) picks from the distribution, None takes the likeliest."""

    uniform: float | None
    temperature: float = 1.0
    top_p: float = 1.0
    top_k: int | None = None


def choose(logits: Tensor, draws: Sequence[Draw]) -> list[int]:
    """A token id for each row of logits (rows, V) fp32, by inverse transform over the row's kept tokens, likeliest first.

    Kept are the top_k likeliest tokens and of these the fewest whose probabilities reach top_p (nucleus sampling: Holtzman et al. 2020,
    arXiv:1904.09751v2, Eq. 2-3).
    """
    if all(draw.uniform is None for draw in draws):
        return list(logits.argmax(-1).tolist())  # sync
    columns = [(draw.uniform or 0.0, draw.temperature, draw.top_p, draw.top_k or logits.shape[1]) for draw in draws]
    uniform, temperature, top_p, top_k = torch.tensor(columns, dtype=torch.float64).to(logits.device, logits.dtype).T[:, :, None]
    ordered, order = logits.sort(dim=-1, descending=True, stable=True)  # (rows, V)
    rank = torch.arange(logits.shape[1], device=logits.device)
    below_best = (ordered - ordered[:, :1]) / temperature  # the likeliest stays finite at any temperature
    probabilities = below_best.masked_fill(rank >= top_k, -torch.inf).softmax(-1)
    before = probabilities.cumsum(-1) - probabilities
    kept = probabilities.masked_fill((before >= top_p) & (rank > 0), 0.0).cumsum(-1)
    total = kept[:, -1:]
    place = ((kept <= uniform * total) & (kept < total)).sum(-1, keepdim=True)  # never behind the last kept token
    place.masked_fill_(torch.tensor([[draw.uniform is None] for draw in draws], device=logits.device), 0)
    return list(order.gather(-1, place)[:, 0].tolist())  # sync


class _Row:
    """A live request: its last token, how many it has, its random numbers."""

    def __init__(self, index: int, request: Request) -> None:
        self.index, self.request = index, request
        self.last = -1
        self.count = 0
        self._random = random.Random(f"{request.seed}/generation")

    def draw(self) -> Draw:
        request = self.request
        if request.temperature == 0:
            return Draw(None)
        return Draw(self._random.random(), request.temperature, request.top_p, request.top_k)

    def take(self, token_id: int, eos_ids: Sequence[int]) -> Token:
        if token_id in eos_ids:
            return Token(self.index, None, "stop")
        self.last = token_id
        self.count += 1
        return Token(self.index, token_id, "length" if self.count == self.request.max_new_tokens else None)


def _admit(requests: Sequence[Request], waiting: deque[int], free_rows: int) -> list[int]:
    """Takes from `waiting` what one prefill serves: at most `free_rows` prompts and, but for a single one, PREFILL_TOKENS."""
    admitted: list[int] = []
    tokens = 0
    while waiting and len(admitted) < free_rows:
        tokens += len(requests[waiting[0]].prompt)
        if admitted and tokens > PREFILL_TOKENS:
            break
        admitted.append(waiting.popleft())
    return admitted


def _refuse_impossible(cfg: ModelConfig, requests: Sequence[Request], token_budget: int) -> None:
    positions = cfg.passengers.get("max_position_embeddings") or token_budget
    for n, request in enumerate(requests):
        room = f"{len(request.prompt)} prompt + {request.max_new_tokens} new tokens"
        if not request.prompt or max(request.prompt) >= cfg.vocab_size or min(request.prompt) < 0:
            raise ValueError(f"prompt {n}: is empty or holds ids outside 0 to {cfg.vocab_size - 1}; encode it with the model's tokenizer")
        if request.width > token_budget:
            raise ValueError(f"prompt {n}: {room}, the token budget is {token_budget}; shorten it or raise the budget")
        if request.width > positions:
            raise ValueError(f"prompt {n}: {room}, the model has {positions} positions; shorten it or lower max_new_tokens")
        if request.max_new_tokens < 1 or request.temperature < 0 or not 0 < request.top_p <= 1 or (request.top_k or 1) < 1:
            raise ValueError(f"prompt {n}: max_new_tokens and top_k must be >= 1, temperature >= 0 and top_p above 0, at most 1")
