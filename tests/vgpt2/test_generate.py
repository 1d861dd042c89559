"""Decoding against transformers' own, and the laws it keeps: no company, no slot and no budget changes an answer."""

import random
from pathlib import Path

import pytest
import tiny_models
import torch
from torch.testing import assert_close

from vgpt2.config import LoRAConfig
from vgpt2.generate import Draw, KVCache, Request, Token, choose, evaluating, generate, stream
from vgpt2.lora import add_lora
from vgpt2.packing import pack
from vgpt2.tokenizer import ChatTokenizer
from vgpt2.weights import load_model

NEVER = (-1,)
EMBEDDED = Path(__file__).parents[2] / "checkpoints/models/smollm2-135m-instruct"


def prompts(n: int, *, longest: int = 40, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(tiny_models.VOCAB) for _ in range(rng.randint(1, longest))] for _ in range(n)]


def theirs(model, prompt: list[int], *, new: int, eos: int | None) -> list[int]:
    """transformers' greedy answer to one prompt, without its end token."""
    ids = torch.tensor([prompt])
    answer = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, eos_token_id=eos, pad_token_id=0, use_cache=True
    )[0, len(prompt) :].tolist()
    return answer[: answer.index(eos)] if eos in answer else answer


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_greedy_answers_equal_transformers_token_for_token(family):
    """More prompts than rows, so that places are taken again; an end token that some answers reach."""
    oracle = tiny_models.oracle(family, dtype=torch.float32).eval()
    ours, asked = tiny_models.twin(oracle), prompts(9)
    free = [theirs(oracle, prompt, new=20, eos=None) for prompt in asked]
    eos = free[0][7]  # taken from an answer, so that it occurs
    expected = [theirs(oracle, prompt, new=20, eos=eos) for prompt in asked]
    assert any(len(answer) < 20 for answer in expected)
    assert generate(ours, asked, max_new_tokens=20, eos_ids=(eos,), token_budget=4 * 60) == expected


def test_answers_do_not_depend_on_company_budget_or_order():
    model, asked = tiny_models.twin(tiny_models.oracle("qwen2.5")), prompts(12)
    alone = [generate(model, [prompt], max_new_tokens=15, eos_ids=NEVER, token_budget=64)[0] for prompt in asked]
    for budget in (60, 200, 10_000):
        assert generate(model, asked, max_new_tokens=15, eos_ids=NEVER, token_budget=budget) == alone
    assert generate(model, asked[::-1], max_new_tokens=15, eos_ids=NEVER, token_budget=200) == alone[::-1]


def test_sampled_answers_come_from_the_request_s_seed_alone():
    """fp64, so that other matmul shapes do not move a probability across the drawn number."""
    model, asked = tiny_models.twin(tiny_models.oracle("llama")), prompts(8)
    requests = [Request(prompt, 12, temperature=1.0, top_p=0.9, seed=f"seed/{n}") for n, prompt in enumerate(asked)]

    def answers(chosen: list[Request], budget: int) -> list[list[int]]:
        found: list[list[int]] = [[] for _ in chosen]
        for token in stream(model, chosen, eos_ids=NEVER, token_budget=budget):
            assert token.id is not None
            found[token.request].append(token.id)
        return found

    together = answers(requests, 10_000)
    assert answers(requests, 120) == together
    assert answers(requests[::-1], 10_000) == together[::-1]
    assert [answers([request], 64)[0] for request in requests] == together
    state = torch.get_rng_state()
    assert generate(model, asked, max_new_tokens=12, eos_ids=NEVER, token_budget=500, temperature=1.0, seed=1) != together
    assert torch.equal(torch.get_rng_state(), state)


def test_equal_prompts_draw_differently_and_greedy_ones_do_not():
    model, prompt = tiny_models.twin(tiny_models.oracle("llama")), [1, 2, 3]
    drawn = generate(model, [prompt] * 4, max_new_tokens=12, eos_ids=NEVER, token_budget=500, temperature=1.0)
    greedy = generate(model, [prompt] * 4, max_new_tokens=12, eos_ids=NEVER, token_budget=500)
    assert len({tuple(answer) for answer in drawn}) == 4
    assert len({tuple(answer) for answer in greedy}) == 1


def test_the_stream_ends_each_request_once_and_says_why():
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    asked = prompts(6)
    whole = generate(model, asked, max_new_tokens=10, eos_ids=NEVER, token_budget=500)
    eos = whole[2][4]
    tokens = list(stream(model, [Request(prompt, 10) for prompt in asked], eos_ids=(eos,), token_budget=500))
    for n, answer in enumerate(whole):
        mine = [token for token in tokens if token.request == n]
        cut = answer.index(eos) if eos in answer else None
        expected = [Token(n, id) for id in answer[:cut]]
        expected = [*expected, Token(n, None, "stop")] if cut is not None else [*expected[:-1], Token(n, answer[-1], "length")]
        assert mine == expected


def test_tokens_arrive_before_the_others_are_finished():
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    tokens = stream(model, [Request([1, 2], 5), Request([3], 9)], eos_ids=NEVER, token_budget=500)
    assert [next(tokens).request for _ in range(4)] == [1, 0, 1, 0]  # the longer one was admitted first
    tokens.close()


def test_a_closed_stream_leaves_mode_and_gradients_as_they_were():
    """INVARIANT 45's spirit: modes of single modules too, and training goes on."""
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    model.train()
    model.model.layers[0].eval()
    before = [module.training for module in model.modules()]
    tokens = stream(model, [Request([1, 2], 5)], eos_ids=NEVER, token_budget=50)
    next(tokens)
    assert not any(module.training for module in model.modules())
    tokens.close()
    assert [module.training for module in model.modules()] == before
    assert torch.is_grad_enabled()
    model(pack([([1, 2, 3], [False, True, True])])).sum().backward()
    assert model.model.embed_tokens.weight.grad is not None


def test_an_error_in_the_block_still_restores_the_modes():
    model = torch.nn.Sequential(torch.nn.Dropout(0.5))

    def fail() -> None:
        with evaluating(model):
            assert not model[0].training
            raise RuntimeError

    with pytest.raises(RuntimeError):
        fail()
    assert model[0].training


def test_adapters_answer_unmerged_with_their_dropout_off():
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    asked = prompts(4)
    bare = generate(model, asked, max_new_tokens=8, eos_ids=NEVER, token_budget=500)
    add_lora(model, LoRAConfig(rank=4, dropout=0.5), seed=0)
    assert generate(model.train(), asked, max_new_tokens=8, eos_ids=NEVER, token_budget=500) == bare
    torch.nn.init.normal_(model.model.layers[0].mlp.down_proj.lora_B)
    first, second = (generate(model, asked, max_new_tokens=8, eos_ids=NEVER, token_budget=500) for _ in range(2))
    assert first == second != bare


def test_a_cached_step_sees_what_a_whole_forward_sees():
    """fp64: hidden states of step, refilled row and moved row equal those of the whole sequence."""
    model = tiny_models.twin(tiny_models.oracle("qwen3"))
    a, b, c = prompts(3, seed=4)
    cache = KVCache(model.cfg, rows=2, width=60, like=model.model.embed_tokens.weight)
    with torch.no_grad():
        cache.prefill(model, [a, b])
        cache.step(model, [5, 6])
        cache.drop(0)  # b moves into the place of a
        assert cache.free_rows == 1
        cache.prefill(model, [c])
        got = cache.step(model, [7, 8])
        for row, ids in enumerate(([*b, 6, 7], [*c, 8])):
            packed = pack([(ids, [False] * len(ids))])
            whole = model.logits(packed)[-1]
            assert_close(got[row] @ model.lm_head.weight.T, whole, atol=1e-10, rtol=0)


def test_the_cache_never_holds_more_than_the_budget(monkeypatch):
    """Memory is bounded: tokens held <= budget, and what is allocated is what is bounded."""
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    caches = []
    init = KVCache.__init__
    monkeypatch.setattr(KVCache, "__init__", lambda self, *args, **kwargs: (init(self, *args, **kwargs), caches.append(self))[0])
    for budget in (50, 130, 1000):
        generate(model, prompts(30), max_new_tokens=10, eos_ids=NEVER, token_budget=budget)
        _, rows, heads, width, head_width = caches[-1].keys.shape
        assert rows * width <= budget
        assert caches[-1].keys.nbytes == model.cfg.num_hidden_layers * rows * width * heads * head_width * 4


@pytest.mark.parametrize(
    ("request_", "says"),
    [
        (Request([], 5), "is empty"),
        (Request([97], 5), "outside 0 to 96"),
        (Request([1] * 60, 50), "the token budget is 100"),
        (Request([1], 0), "must be >= 1"),
        (Request([1], 5, top_p=0.0), "top_p above 0"),
    ],
)
def test_a_request_that_can_never_be_served_is_refused_by_its_number(request_, says):
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    with pytest.raises(ValueError, match=f"prompt 1: .*{says}"):
        list(stream(model, [Request([1], 5), request_], eos_ids=NEVER, token_budget=100))


def test_more_tokens_than_the_model_has_positions_are_refused():
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    with pytest.raises(ValueError, match="the model has 512 positions"):
        generate(model, [[1] * 500], max_new_tokens=20, eos_ids=NEVER, token_budget=10_000)


def test_no_request_gives_no_token():
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    assert generate(model, [], max_new_tokens=5, eos_ids=NEVER, token_budget=10) == []


@pytest.mark.slow
@pytest.mark.skipif(not EMBEDDED.is_dir(), reason="the embedded model is not here; python -m vgpt2.embedded makes it")
def test_the_embedded_model_answers_as_in_transformers():
    """Pretrained weights, fp32, three questions in one call."""
    from transformers import AutoModelForCausalLM

    tokenizer = ChatTokenizer.load(EMBEDDED, system="You know SQL.")
    asked = [tokenizer.prompt([{"role": "user", "content": text}]) for text in ("What is SQL?", "Name a city.", "Count the rows of APTH.")]
    oracle = AutoModelForCausalLM.from_pretrained(EMBEDDED, dtype=torch.float32).eval()
    expected = [theirs(oracle, prompt, new=16, eos=tokenizer.eos_ids[0]) for prompt in asked]
    del oracle
    model = load_model(EMBEDDED, dtype=torch.float32, device="cpu")
    assert generate(model, asked, max_new_tokens=16, eos_ids=tokenizer.eos_ids, token_budget=500) == expected


# probabilities .5 .3 .15 .05 of the tokens 2 0 3 1
LOGITS = torch.tensor([[0.3, 0.05, 0.5, 0.15]]).log()


@pytest.mark.parametrize(
    ("draw", "expected"),
    [
        (Draw(None), 2),
        (Draw(0.0), 2),
        (Draw(0.49), 2),
        (Draw(0.51), 0),
        (Draw(0.79), 0),
        (Draw(0.81), 3),
        (Draw(0.96), 1),
        (Draw(1 - 2**-53), 1),  # rounds to 1 in fp32 and must not run off the end
        (Draw(0.96, top_p=0.8), 0),  # .5 + .3 reach .8
        (Draw(0.96, top_p=0.81), 3),
        (Draw(0.99, top_p=1e-9), 2),  # the likeliest is always kept
        (Draw(0.99, top_k=1), 2),
        (Draw(0.62, top_k=2), 2),  # .5 / .8 = .625
        (Draw(0.63, top_k=2), 0),
        (Draw(1 - 2**-53, top_k=2), 0),
        (Draw(0.7, top_p=0.6, top_k=2), 2),  # of .625 and .375 the first alone reaches .6
        (Draw(0.99, temperature=1e-6), 2),
    ],
)
def test_the_drawn_number_chooses_by_hand(draw, expected):
    assert choose(LOGITS, [draw]) == [expected]


def test_temperature_flattens_by_hand():
    # T = 2: square roots .707 .548 .387 .224 of a sum 1.866; the first two reach .6727
    assert choose(LOGITS, [Draw(0.67, temperature=2.0)]) == [0]
    assert choose(LOGITS, [Draw(0.68, temperature=2.0)]) == [3]


def test_greedy_and_sampled_rows_stand_side_by_side():
    assert choose(LOGITS.expand(3, -1), [Draw(0.96), Draw(None), Draw(0.6)]) == [1, 2, 0]


def test_drawn_shares_are_the_probabilities():
    rng = random.Random(0)
    drawn = choose(LOGITS.expand(4000, -1), [Draw(rng.random()) for _ in range(4000)])
    shares = torch.bincount(torch.tensor(drawn), minlength=4) / 4000
    assert_close(shares, LOGITS.exp()[0], atol=0.03, rtol=0)  # four standard deviations of .5 at n = 4,000
