"""The cache against whole forwards: rows that move, are taken again, and take their beginning from another row."""

import random

import numpy as np
import pytest
import tiny_models
import torch
from torch.testing import assert_close

from vgpt2.generation import cache as module
from vgpt2.generation.cache import KVCache, common_prefix, serving_order
from vgpt2.packing import pack


def ids(n: int, seed: object) -> list[int]:
    rng = random.Random(str(seed))
    return [rng.randrange(tiny_models.VOCAB) for _ in range(n)]


def whole(model, sequence: list[int]) -> torch.Tensor:
    return model.logits(pack([(sequence, [False] * len(sequence))]))[-1]


def fill(cache: KVCache, model, prompts: list[list[int]]) -> list[int]:
    """Tokens that each prompt cost; the last hidden states are those of the whole prompts."""
    costs = [cache.add(prompt) for prompt in prompts]
    for got, prompt in zip(cache.step(model, [[] for _ in cache.lengths]), prompts):
        assert_close(got @ model.lm_head.weight.T, whole(model, prompt), atol=1e-10, rtol=0)
    return costs


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_steps_rows_and_borrowed_beginnings_see_what_a_whole_forward_sees(family):
    """fp64: two groups of shared beginnings in one prefill, a moved row, a row taken again that borrows from a live or a finished one."""
    model = tiny_models.twin(tiny_models.oracle(family))
    first, second = ids(30, "first"), ids(40, "second")
    a, b, c, d = first + ids(5, 1), second + ids(3, 2), first + ids(9, 3), second[:20] + ids(6, 4)
    cache = KVCache(model.cfg, rows=4, width=80, like=model.model.embed_tokens.weight)
    with torch.no_grad():
        assert fill(cache, model, [a, b, c, d]) == [35, 43, 9, 6]
        cache.step(model, [[5], [6], [7], [8]])
        cache.drop(0)  # d moves into the place of a
        cache.drop(1)  # c moves into the place of b
        assert cache.free_rows == 2
        e = b[:42] + ids(4, 5)
        f = e[:-1] + [e[-1] ^ 1]
        assert fill(cache, model, [e, f]) == [26, 1]  # b is overwritten: 20 of its tokens live on in d, the rest is computed
        got = cache.step(model, [[1], [2], [3], [4]])
        for row, sequence in enumerate(([*d, 8, 1], [*c, 7, 2], [*e, 3], [*f, 4])):
            assert_close(got[row] @ model.lm_head.weight.T, whole(model, sequence), atol=1e-10, rtol=0)


def test_runs_of_several_tokens_see_what_whole_forwards_see_and_grow_by_what_is_kept():
    """fp64, three rows with runs of 3, 1 and 2 tokens: every token of a run is scored, what is not kept leaves no trace."""
    model = tiny_models.twin(tiny_models.oracle("qwen2.5"))
    cache = KVCache(model.cfg, rows=3, width=40, like=model.model.embed_tokens.weight)
    rows, runs = [ids(n, n) for n in (20, 5, 11)], [[1, 2, 3], [4], [5, 6]]
    with torch.no_grad():
        fill(cache, model, rows)
        seen = [row + run[: n + 1] for row, run in zip(rows, runs) for n in range(len(run))]
        for got, sequence in zip(cache.step(model, runs), seen):
            assert_close(got @ model.lm_head.weight.T, whole(model, sequence), atol=1e-10, rtol=0)
        cache.keep(0)
        for got, row in zip(cache.step(model, [[7], [8], [9]]), ([*rows[0], 1, 2, 7], [*rows[1], 4, 8], [*rows[2], 5, 9])):
            assert_close(got @ model.lm_head.weight.T, whole(model, row), atol=1e-10, rtol=0)


def test_a_prompt_is_computed_beside_runs_of_live_rows_in_one_forward():
    """fp64: two live rows, one of them pausing, and two arrivals of which one borrows from a live row."""
    model = tiny_models.twin(tiny_models.oracle("qwen2.5"))
    cache = KVCache(model.cfg, rows=4, width=60, like=model.model.embed_tokens.weight)
    rows = [ids(30, 0), ids(12, 1)]
    new = [rows[0][:25] + ids(4, 2), ids(9, 3)]
    with torch.no_grad():
        fill(cache, model, rows)
        assert [cache.add(prompt) for prompt in new] == [4, 9]
        got = cache.step(model, [[1, 2], []])
        for each, sequence in zip(got, ([*rows[0], 1], [*rows[0], 1, 2], *new), strict=True):
            assert_close(each @ model.lm_head.weight.T, whole(model, sequence), atol=1e-10, rtol=0)
        assert cache.lengths == [31, 12, 29, 9]
        for each, sequence in zip(cache.step(model, [[3], [4], [5], [6]]), ([*rows[0], 1, 3], [*rows[1], 4], [*new[0], 5], [*new[1], 6])):
            assert_close(each @ model.lm_head.weight.T, whole(model, sequence), atol=1e-10, rtol=0)


def test_a_guess_behind_a_prompt_is_scored_and_kept_only_when_asked():
    """fp64: of three guessed tokens one is kept; the next row borrows the prompt and never the guess."""
    model = tiny_models.twin(tiny_models.oracle("llama"))
    cache = KVCache(model.cfg, rows=2, width=60, like=model.model.embed_tokens.weight)
    prompt = ids(20, 0)
    with torch.no_grad():
        assert cache.add(prompt, [1, 2, 3]) == 23
        got = cache.step(model, [])
        for each, sequence in zip(got, (prompt, [*prompt, 1], [*prompt, 1, 2], [*prompt, 1, 2, 3]), strict=True):
            assert_close(each @ model.lm_head.weight.T, whole(model, sequence), atol=1e-10, rtol=0)
        cache.keep(0)
        assert cache.lengths == [21]
        assert cache.add([*prompt, 1, 9]) == 2
        got = cache.step(model, [[5]])
        for each, sequence in zip(got, ([*prompt, 1, 5], [*prompt, 1, 9]), strict=True):
            assert_close(each @ model.lm_head.weight.T, whole(model, sequence), atol=1e-10, rtol=0)


def test_one_row_still_borrows_from_the_prompt_before():
    model = tiny_models.twin(tiny_models.oracle("llama"))
    cache = KVCache(model.cfg, rows=1, width=60, like=model.model.embed_tokens.weight)
    shared = ids(30, "shared")
    with torch.no_grad():
        for n in range(3):
            assert fill(cache, model, [shared + ids(4, n)]) == [4 if n else 34]
            cache.step(model, [[9]])
            cache.drop(0)


def test_the_same_prompt_costs_one_token():
    model = tiny_models.twin(tiny_models.oracle("llama"))
    cache = KVCache(model.cfg, rows=3, width=60, like=model.model.embed_tokens.weight)
    with torch.no_grad():
        assert fill(cache, model, [ids(30, 0)] * 3) == [30, 1, 1]


def test_short_beginnings_are_computed_again(monkeypatch):
    model = tiny_models.twin(tiny_models.oracle("llama"))
    cache = KVCache(model.cfg, rows=2, width=60, like=model.model.embed_tokens.weight)
    shared = ids(module.MIN_REACH - 1, 0)
    with torch.no_grad():
        assert fill(cache, model, [[*shared, 1, 2], [*shared, 3]]) == [17, 16]


def test_random_arrivals_and_departures_never_show_a_wrong_beginning():
    """Two hundred prompts off a few stems through four rows, each answered for a few steps, in fp64."""
    model, rng = tiny_models.twin(tiny_models.oracle("llama")), random.Random(0)
    stems = [ids(rng.randint(16, 40), f"stem {n}") for n in range(4)]
    cache = KVCache(model.cfg, rows=4, width=64, like=model.model.embed_tokens.weight)
    live: list[list[int]] = []
    with torch.no_grad():
        for _ in range(60):
            arrivals = [rng.choice(stems)[: rng.randint(10, 40)] + ids(rng.randint(1, 4), rng.random()) for _ in range(cache.free_rows)]
            if arrivals:
                fill(cache, model, arrivals)
                live += arrivals
            last = [rng.randrange(tiny_models.VOCAB) for _ in live]
            live = [[*row, token] for row, token in zip(live, last)]
            for got, row in zip(cache.step(model, [[token] for token in last]), live):
                assert_close(got @ model.lm_head.weight.T, whole(model, row), atol=1e-10, rtol=0)
            for row in sorted(rng.sample(range(len(live)), rng.randint(1, 3)), reverse=True):
                cache.drop(row)
                live[row] = live[-1]
                live.pop()


def test_beginnings_in_common_by_hand():
    pairs = (([1, 2, 3], [1, 2]), ([1, 2], [1, 3]), ([2], [1]), ([], [1]))
    assert [common_prefix(np.array(a), np.array(b)) for a, b in pairs] == [2, 1, 0, 0]


def test_prompts_of_a_group_stand_together_the_widest_first():
    schema, other = list(range(20)), list(range(50, 80))
    prompts = [[*schema, 90], [*other, 91], [1, 2, 3], [*schema, 92, 93], [*other, 94], [1, 2, 3, 4]]
    assert serving_order(prompts, [len(p) + 5 for p in prompts]) == [1, 4, 3, 0, 5, 2]
