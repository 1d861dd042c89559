"""Guesses by hand, and the law they must keep: an answer is what it is without them."""

import random

import pytest
import tiny_models
import torch

from vgpt2 import generate as module
from vgpt2.generate import Request, stream
from vgpt2.generation import drafts
from vgpt2.generation.cache import KVCache
from vgpt2.generation.drafts import Continuations, Drafter

NEVER = (-1,)


def drafter(prompt: list[int], answer: list[int], answers: Continuations | None = None) -> Drafter:
    made = Drafter(prompt, Continuations() if answers is None else answers)
    for token_id in answer:
        made.take(token_id)
    return made


def watch_steps(monkeypatch, note) -> None:
    """Calls note(cache, runs) before every step."""
    step = KVCache.step

    def watched(self, model, runs):
        note(self, runs)
        return step(self, model, runs)

    monkeypatch.setattr(KVCache, "step", watched)


def test_a_guess_is_what_followed_the_longest_context_that_occurred():
    """Behind 7 stood 8 the last time; behind 5 6 7 stood 9, and the longer context decides."""
    assert drafter([5, 6, 7, 9, 1, 7, 8], [5, 6, 7]).guess(2) == [9, 1]
    assert drafter([5, 6, 7, 9, 1, 7, 8], [7]).guess(1) == [8]


def test_the_latest_occurrence_counts_and_the_own_text_before_those_of_others():
    answers = Continuations()
    drafter([90], [3, 4, 50, 51], answers)
    assert drafter([91], [3, 4], answers).guess(2) == [50, 51]
    assert drafter([3, 4, 60, 3, 4, 70], [3, 4], answers).guess(1) == [70]


def test_a_prompt_is_no_source_for_other_rows():
    answers = Continuations()
    drafter([3, 4, 50], [90], answers)
    assert drafter([91], [3, 4], answers).guess(3) == []


def test_nothing_is_guessed_where_the_end_is_new_or_nothing_is_wanted():
    assert drafter([1, 2], [3]).guess(4) == []
    assert drafter([1, 2, 1], [2]).guess(0) == []


def test_guesses_reach_further_after_right_ones_and_shorter_after_wrong_ones():
    made = drafter(list(range(40)), [0, 1, 2])
    assert made.guess(40) == [3, 4]
    made.learn(3)
    assert len(made.guess(40)) == drafts.LONGEST_REACH
    made.learn(0)
    assert len(made.guess(40)) == drafts.FIRST_REACH


def test_what_is_remembered_is_bounded_and_the_oldest_goes_first(monkeypatch):
    monkeypatch.setattr(drafts, "PLACES", 30)
    known = Continuations()
    known.add(list(range(100)), 0)
    assert known.find([98], 1) is not None
    assert known.find([5], 1) is None


@pytest.mark.parametrize("options", [{}, {"temperature": 1.0, "top_p": 0.95}, {"repetition_penalty": 1.2}, {"logps": True}])
def test_answers_are_the_same_with_and_without_guesses_and_take_fewer_steps(options, monkeypatch):
    """fp64. A tiny model repeats itself; drawn tokens come from the same random numbers in both ways."""
    model, rng = tiny_models.twin(tiny_models.oracle("qwen2.5")), random.Random(0)
    prompts = [[rng.randrange(tiny_models.VOCAB) for _ in range(rng.randint(3, 30))] * 2 for _ in range(10)]
    requests = [Request(prompt, 40, seed=n, **options) for n, prompt in enumerate(prompts)]
    steps: list[int] = []
    watch_steps(monkeypatch, lambda cache, runs: steps.append(max(map(len, runs), default=1)))

    def answers() -> tuple[list[list[tuple[int | None, float | None]]], int]:
        steps.clear()
        found: list[list[tuple[int | None, float | None]]] = [[] for _ in requests]
        for token in stream(model, requests, eos_ids=(17,), token_budget=4 * 110):
            found[token.request].append((token.id, None if token.logp is None else round(token.logp, 8)))
        return found, len(steps)

    guessed, few = answers()
    assert max(steps) > 1, "no guess was made"
    monkeypatch.setattr(module, "STEP_TOKENS", 0)
    plain, many = answers()
    assert max(steps) == 1
    assert guessed == plain
    assert few < many or "temperature" in options  # drawn tokens of random weights repeat nothing


def test_a_stop_string_inside_a_right_guess_ends_the_answer_there():
    model = tiny_models.twin(tiny_models.oracle("llama"))

    def text(ids) -> str:
        return "".join(chr(ord("0") + id) for id in ids)

    def answer(stops: tuple[str, ...]) -> str:
        request = Request([1, 2, 3], 60, stops=stops)
        return "".join(token.text for token in stream(model, [request], eos_ids=NEVER, token_budget=100, decode=text))

    whole = answer(())
    assert all(answer((whole[at : at + 2],)) == whole.partition(whole[at : at + 2])[0] for at in range(len(whole) - 1))


def test_a_guess_never_reaches_behind_the_last_token_wanted(monkeypatch):
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    held: list[int] = []
    watch_steps(monkeypatch, lambda cache, runs: held.extend(length + len(run) for length, run in zip(cache.lengths, runs)))
    tokens = list(stream(model, [Request([5, 6] * 10, 9)], eos_ids=NEVER, token_budget=29))
    assert len(tokens) == 9
    assert max(held) <= 20 + 9 - 1
