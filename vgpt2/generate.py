"""Decoding: many prompts at once, token by token, over one cache of keys and values.

    for token in stream(model, requests, eos_ids=tokenizer.eos_ids, token_budget=16_384): ...
    answers = generate(model, prompts, max_new_tokens=256, eos_ids=tokenizer.eos_ids, token_budget=16_384)

Prompts go through the model end to end, as in training, each from where an earlier one differs; after that each live row adds one token
a step and on the CPU some guessed ones (generation/drafts.py), so the model sees little more than T = rows tokens and only attention
knows which row a token belongs to. A finished row's place is taken by the next prompt in the very next step. A request's random numbers
come from its own seed and a guess counts only where it is the token chosen, so an answer does not depend on its company (but for the
rounding of other matmul shapes).
"""

from __future__ import annotations

import random
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from itertools import accumulate
from typing import Literal, Protocol

import torch
from torch import Tensor, nn

from vgpt2.generation.cache import KVCache, serving_order
from vgpt2.generation.choice import Draw, choose, logps_of, penalised
from vgpt2.generation.drafts import Continuations, Drafter
from vgpt2.generation.graph import GraphedStep
from vgpt2.generation.head import head_of
from vgpt2.generation.transcript import Decode, Transcript
from vgpt2.model import CausalLM
from vgpt2.model_config import ModelConfig

__all__ = ["Constraint", "Request", "Token", "evaluating", "generate", "stream"]

PREFILL_TOKENS = 1024  # of prompts beside one step of the live rows: keeps the matmuls busy and does not hold the live rows up for long
STEP_TOKENS = 64  # of one decoding step on the CPU, guesses included: up to here a step's time grows slowly


class Constraint(Protocol):
    """What an answer may go on with, told token by token; end tokens are asked about and not fed."""

    def allows(self, token_id: int) -> bool: ...

    def allowed(self) -> Tensor:
        """(V,) bool, true somewhere, not at the token just refused; what it holds may be refused in its turn."""
        ...

    def feed(self, token_id: int) -> None: ...


@dataclass(frozen=True)
class Request:
    """A prompt and how to go on from it; temperature 0 is greedy, top_k None means all tokens, repetition_penalty 1 none.

    `stops` end the answer where its text would contain one of them. `constraint` makes the constraint of one answer.
    """

    prompt: Sequence[int]
    max_new_tokens: int
    temperature: float = 0.0
    top_p: float = 1.0
    top_k: int | None = None
    seed: int | str = 0
    repetition_penalty: float = 1.0
    stops: Sequence[str] = ()
    logps: bool = False
    constraint: Callable[[], Constraint] | None = None

    @property
    def width(self) -> int:
        """Tokens it may fill in the cache."""
        return len(self.prompt) + self.max_new_tokens


@dataclass(frozen=True)
class Token:
    """One step of one request. The end token has no id of its own; `finish` tells why nothing follows.

    `logp`, where asked for, is what the model gives to the token (the end token too) before temperature, penalty and constraint.
    `text`, where the stream got `decode`, is the next piece of the answer; the pieces end before a stop string, whose ids are told.
    """

    request: int
    id: int | None
    finish: Literal["stop", "length"] | None = None
    logp: float | None = None
    text: str = ""


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
def stream(
    model: CausalLM, requests: Sequence[Request], *, eos_ids: Sequence[int], token_budget: int, decode: Decode | None = None
) -> Iterator[Token]:
    """Tokens as they are chosen; those of one request in order, those of different requests interleaved.

    The cache holds at most `token_budget` tokens, so that memory is bounded; longer requests go first. Module modes and random
    states are as before when the iterator ends or is closed. Raises ValueError for a request that can never be served.
    """
    _refuse_impossible(model.cfg, requests, token_budget, decode)
    waiting = deque(serving_order([request.prompt for request in requests], [request.width for request in requests]))
    if not waiting:
        return
    live: list[_Row] = []  # in the order of the cache's rows
    with evaluating(model):
        nothing = model.model.embed_tokens(model.lm_head.weight.new_empty(0, dtype=torch.int64))  # (0, D) of the residual stream
        weight = model.head_weight(nothing)
        head = head_of(weight)
        width = max(request.width for request in requests)
        cache = KVCache(model.cfg, rows=min(token_budget // width, len(requests)), width=width, like=nothing)
        answers = None if weight.is_cuda else Continuations()  # a recorded step has room for one token a row
        step = GraphedStep(model, cache) if weight.is_cuda else partial(cache.step, model)  # of live rows alone
        while waiting or live:
            runs = [row.run(STEP_TOKENS // len(live)) for row in live]
            if admitted := _admit(requests, waiting, cache, lambda n: _Row(n, requests[n], decode, answers)):
                hidden = cache.step(model, runs)
            else:
                hidden = step(runs)
            live += [row for row, _ in admitted]
            runs += [run for _, run in admitted]
            finished = []
            for place, token, was_guessed in _taken(head(hidden), runs, live, eos_ids):
                yield token
                if token.finish:
                    finished.append(place)
                elif was_guessed:
                    cache.keep(place)
            for place in sorted(finished, reverse=True):  # the last live row moves into the gap
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


class _Row:
    """A live request: its tokens, its random numbers, its text and its constraint."""

    def __init__(self, index: int, request: Request, decode: Decode | None, answers: Continuations | None) -> None:
        self.index, self.request = index, request
        self.last = request.prompt[-1]
        self.count = 0
        self.seen = set(request.prompt) if request.repetition_penalty != 1 else set[int]()
        self.constraint = request.constraint() if request.constraint else None
        self._transcript = Transcript(decode, request.stops) if decode else None
        self._drafter = None if answers is None else Drafter(request.prompt, answers)
        self._random = random.Random(f"{request.seed}/generation")

    def run(self, longest: int) -> list[int]:
        """The last token and, up to `longest` tokens in all, guesses at what will be chosen behind it."""
        room = min(longest, self.request.max_new_tokens - self.count) - 1
        return [self.last, *self._drafter.guess(room)] if self._drafter and room > 0 else [self.last]

    def learn(self, right: int) -> None:
        """How many guesses of the last run were chosen."""
        if self._drafter:
            self._drafter.learn(right)

    def draw(self) -> Draw:
        request = self.request
        if request.temperature == 0:
            return Draw(None)
        return Draw(self._random.random(), request.temperature, request.top_p, request.top_k)

    def take(self, token_id: int, logp: float | None, eos_ids: Sequence[int]) -> Token:
        told = self._transcript
        if token_id in eos_ids:
            return Token(self.index, None, "stop", logp, told.rest() if told else "")
        self.last = token_id
        self.count += 1
        if self._drafter:
            self._drafter.take(token_id)
        if self.request.repetition_penalty != 1:
            self.seen.add(token_id)
        if self.constraint:
            self.constraint.feed(token_id)
        text = told.add(token_id) if told else ""
        if told and told.stopped:
            return Token(self.index, token_id, "stop", logp, text)
        if self.count == self.request.max_new_tokens:
            return Token(self.index, token_id, "length", logp, text + (told.rest() if told else ""))
        return Token(self.index, token_id, None, logp, text)


def _taken(
    logits: Tensor, runs: Sequence[Sequence[int]], rows: Sequence[_Row], eos_ids: Sequence[int]
) -> Iterator[tuple[int, Token, bool]]:
    """What each row takes: (its place, the token, whether that is the guess at its place), first the first token of every row.

    logits (T, V) follow the tokens of all runs. A row takes tokens until one is not the guess, or ends it; the last one is no guess.
    """
    starts = list(accumulate(map(len, runs), initial=0))
    going, depth = list(range(len(rows))), 0
    while going:
        chosen = _next_tokens(logits[[starts[n] + depth for n in going]], [rows[n] for n in going])
        asked, going, depth = going, [], depth + 1
        for n, (token_id, logp) in zip(asked, chosen):
            token = rows[n].take(token_id, logp, eos_ids)
            was_guessed = not token.finish and depth < len(runs[n]) and runs[n][depth] == token.id
            if was_guessed:
                going.append(n)
            else:
                rows[n].learn(depth - 1)
            yield n, token, was_guessed


def _next_tokens(logits: Tensor, rows: Sequence[_Row]) -> list[tuple[int, float | None]]:
    """The next token of each row of logits (rows, V), and its log-probability where the row asks for it.

    A constraint is asked about the token that was chosen without it; where it refuses, the row chooses again among what it allows. A
    greedy row so gets the likeliest allowed token, and a row without top_p and top_k draws from the model's distribution over them.
    """
    scores = penalised(logits, [row.seen for row in rows], [row.request.repetition_penalty for row in rows])
    chosen = choose(scores, [row.draw() for row in rows])
    while refused := [n for n, row in enumerate(rows) if row.constraint and not row.constraint.allows(chosen[n])]:
        masks = torch.stack([constraint.allowed() for n in refused if (constraint := rows[n].constraint)])
        assert masks.any(1).all(), "a constraint allows nothing"
        narrowed = scores[refused].masked_fill(~masks.to(scores.device), -torch.inf)
        for n, token_id in zip(refused, choose(narrowed, [rows[n].draw() for n in refused])):
            chosen[n] = token_id
    if not any(row.request.logps for row in rows):
        return [(token_id, None) for token_id in chosen]
    return [(token_id, logp if row.request.logps else None) for row, token_id, logp in zip(rows, chosen, logps_of(logits, chosen))]


def _admit(requests: Sequence[Request], waiting: deque[int], cache: KVCache, seat: Callable[[int], _Row]) -> list[tuple[_Row, list[int]]]:
    """Takes from `waiting` what one step serves: at most the free rows, until PREFILL_TOKENS are to be computed. Rows and their runs."""
    admitted: list[tuple[_Row, list[int]]] = []
    tokens = 0
    while waiting and cache.free_rows and tokens < PREFILL_TOKENS:
        row = seat(waiting.popleft())
        run = row.run(STEP_TOKENS // cache.rows)
        tokens += cache.add(row.request.prompt, run[1:])
        admitted.append((row, run))
    return admitted


def _refuse_impossible(cfg: ModelConfig, requests: Sequence[Request], token_budget: int, decode: Decode | None) -> None:
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
        if request.repetition_penalty <= 0 or "" in request.stops:
            raise ValueError(f"prompt {n}: repetition_penalty must be above 0 (1 is off) and no stop string may be empty")
        if request.stops and decode is None:
            raise ValueError(f"prompt {n}: stop strings are found in the text; give the stream decode=tokenizer.decode")
