"""Decoding against transformers' own, and the laws it keeps: no company, no slot and no budget changes an answer."""

import random
from pathlib import Path

import pytest
import tiny_models
import torch
from devices import DEVICES
from torch.testing import assert_close

from vgpt2.config import LoRAConfig
from vgpt2.generate import Request, Token, evaluating, generate, stream
from vgpt2.generation import cache as cache_module
from vgpt2.generation.cache import KVCache
from vgpt2.lora import add_lora
from vgpt2.packing import pack
from vgpt2.tokenizer import ChatTokenizer
from vgpt2.weights import load_model

NEVER = (-1,)
EMBEDDED = Path(__file__).parents[2] / "checkpoints/models/smollm2-135m-instruct"


def prompts(n: int, *, longest: int = 40, seed: int = 0) -> list[list[int]]:
    rng = random.Random(seed)
    return [[rng.randrange(tiny_models.VOCAB) for _ in range(rng.randint(1, longest))] for _ in range(n)]


def letters(ids) -> str:
    return "".join(chr(ord("0") + id) for id in ids)


def theirs(model, prompt: list[int], *, new: int, eos: int | None) -> list[int]:
    """transformers' greedy answer to one prompt, without its end token."""
    ids = torch.tensor([prompt], device=model.device)
    answer = model.generate(
        ids, attention_mask=torch.ones_like(ids), max_new_tokens=new, do_sample=False, eos_token_id=eos, pad_token_id=0, use_cache=True
    )[0, len(prompt) :].tolist()
    return answer[: answer.index(eos)] if eos in answer else answer


@pytest.mark.parametrize("device", DEVICES)
@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_greedy_answers_equal_transformers_token_for_token(family, device):
    """More prompts than rows, so that places are taken again; an end token that some answers reach."""
    oracle = tiny_models.oracle(family, dtype=torch.float32).to(device).eval()
    ours, asked = tiny_models.twin(oracle).to(device), prompts(9)
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


@pytest.mark.parametrize("family", tiny_models.FAMILIES)
def test_answers_are_the_same_with_shared_beginnings_computed_once_and_computed_each(family, monkeypatch):
    """Two schemas behind one system prompt, through three rows; both ways equal transformers' answers, fp32."""
    oracle = tiny_models.oracle(family, dtype=torch.float32).eval()
    ours = tiny_models.twin(oracle)
    system, *schemas = ([n * k % 97 for n in range(1, 25)] for k in (3, 5, 7))
    asked = [system + schemas[n % 2] + question for n, question in enumerate(prompts(8, longest=6))]
    expected = [theirs(oracle, prompt, new=12, eos=None) for prompt in asked]
    computed = []
    add = KVCache.add

    def counted(self, prompt, guess):
        cost = add(self, prompt, guess)
        computed.append(cost - len(guess))
        return cost

    monkeypatch.setattr(KVCache, "add", counted)
    assert generate(ours, asked, max_new_tokens=12, eos_ids=NEVER, token_budget=3 * 70) == expected
    shared = sum(computed)
    monkeypatch.setattr(cache_module, "MIN_REACH", 10_000)
    assert generate(ours, asked, max_new_tokens=12, eos_ids=NEVER, token_budget=3 * 70) == expected
    own = sum(len(prompt) - 48 for prompt in asked)
    assert shared <= own + 24 + 2 * 24
    assert sum(computed) - shared == sum(map(len, asked))


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


def test_the_penalty_gives_the_answers_of_transformers():
    oracle = tiny_models.oracle("qwen2.5", dtype=torch.float32).eval()
    ours = tiny_models.twin(oracle)
    asked = prompts(4)
    requests = [Request(prompt, 15, repetition_penalty=1.0 if n == 2 else 1.4) for n, prompt in enumerate(asked)]
    found: list[list[int]] = [[] for _ in asked]
    for token in stream(ours, requests, eos_ids=NEVER, token_budget=500):
        found[token.request].append(token.id)
    for n, prompt in enumerate(asked):
        ids = torch.tensor([prompt])
        penalty = {} if n == 2 else {"repetition_penalty": 1.4}
        answer = oracle.generate(ids, attention_mask=torch.ones_like(ids), max_new_tokens=15, do_sample=False, pad_token_id=0, **penalty)
        assert found[n] == answer[0, len(prompt) :].tolist()


def test_log_probabilities_are_those_that_training_scores():
    """Of each token and of the end token, whatever temperature and penalty: the packed forward of prompt and answer gives them."""
    model = tiny_models.twin(tiny_models.oracle("llama"))
    asked = prompts(5)
    eos = generate(model, asked, max_new_tokens=8, eos_ids=NEVER, token_budget=500)[1][3]
    for options in ({}, {"temperature": 0.7, "top_p": 0.9}, {"repetition_penalty": 1.5}):
        requests = [Request(prompt, 8, logps=True, **options) for prompt in asked]
        answers: list[list[Token]] = [[] for _ in asked]
        for token in stream(model, requests, eos_ids=(eos,), token_budget=500):
            answers[token.request].append(token)
        for prompt, answer in zip(asked, answers):
            ids = [*prompt, *(eos if token.id is None else token.id for token in answer)]
            with torch.no_grad():
                scored = model(pack([(ids, [False] * len(prompt) + [True] * len(answer))]))[len(prompt) - 1 : -1]
            assert_close(torch.tensor([token.logp for token in answer], dtype=scored.dtype), scored)
    assert next(stream(model, [Request([1], 2)], eos_ids=NEVER, token_budget=9)).logp is None


def test_a_stop_string_ends_the_answer_and_frees_its_row():
    """The decoder writes one letter a token; the stop string is taken from the middle of an answer."""
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    asked = prompts(6)
    texts = [letters(answer) for answer in generate(model, asked, max_new_tokens=20, eos_ids=NEVER, token_budget=500)]
    stop = texts[3][9:12]
    told, finishes = [""] * 6, [None] * 6
    requests = [Request(prompt, 20, stops=(stop,) if n % 2 else ()) for n, prompt in enumerate(asked)]
    for token in stream(model, requests, eos_ids=NEVER, token_budget=2 * 60, decode=letters):
        assert finishes[token.request] is None
        told[token.request] += token.text
        finishes[token.request] = token.finish
    expected = [text.partition(stop)[0] if n % 2 else text for n, text in enumerate(texts)]
    assert told == expected
    assert len(expected[3]) <= 9
    assert finishes == ["stop" if n % 2 and stop in text else "length" for n, text in enumerate(texts)]


class Even:
    """Allows even ids but none that was chosen already; 96 is the way out."""

    def __init__(self) -> None:
        self.seen: list[int] = []

    def allows(self, token_id: int) -> bool:
        return token_id == 96 or (token_id % 2 == 0 and token_id not in self.seen)

    def allowed(self) -> torch.Tensor:
        return torch.tensor([self.allows(n) for n in range(tiny_models.VOCAB)])

    def feed(self, token_id: int) -> None:
        assert token_id != 96, "the end token is no part of the answer"
        self.seen.append(token_id)


def test_a_constrained_row_takes_the_likeliest_allowed_token_and_its_neighbours_stay_free():
    model = tiny_models.twin(tiny_models.oracle("llama"))
    asked = prompts(4)
    requests = [Request(prompt, 12, constraint=Even if n % 2 else None) for n, prompt in enumerate(asked)]
    found: list[list[int]] = [[] for _ in asked]
    for token in stream(model, requests, eos_ids=(96,), token_budget=500):
        found[token.request] += [] if token.id is None else [token.id]
    free = generate(model, asked, max_new_tokens=12, eos_ids=(96,), token_budget=500)
    for n, prompt in enumerate(asked):
        if n % 2 == 0:
            assert found[n] == free[n]
            continue
        expected: list[int] = []
        for _ in range(12):
            with torch.no_grad():
                logits = model.logits(pack([([*prompt, *expected], [False] * (len(prompt) + len(expected)))]))[-1]
            best = max((id for id in range(97) if id == 96 or (id % 2 == 0 and id not in expected)), key=lambda id: float(logits[id]))
            if best == 96:
                break
            expected.append(best)
        assert found[n] == expected != free[n]


def test_a_constrained_row_draws_from_the_distribution_over_what_is_allowed():
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    prompt = [1, 2, 3]
    with torch.no_grad():
        logits = model.logits(pack([(prompt, [False] * 3)]))[-1]
    expected = logits.masked_fill(~Even().allowed(), -torch.inf).softmax(-1)
    requests = [Request(prompt, 1, temperature=1.0, seed=n, constraint=Even) for n in range(2000)]
    drawn = [96 if token.id is None else token.id for token in stream(model, requests, eos_ids=(96,), token_budget=2000)]
    shares = torch.bincount(torch.tensor(drawn), minlength=97) / 2000
    assert (shares - expected).abs().max() < 0.045  # four standard deviations of .5 at n = 2,000


def test_adapters_answer_unmerged_with_their_dropout_off():
    model = tiny_models.twin(tiny_models.oracle("llama", dtype=torch.float32))
    asked = prompts(4)
    bare = generate(model, asked, max_new_tokens=8, eos_ids=NEVER, token_budget=500)
    add_lora(model, LoRAConfig(rank=4, dropout=0.5), seed=0)
    assert generate(model.train(), asked, max_new_tokens=8, eos_ids=NEVER, token_budget=500) == bare
    torch.nn.init.normal_(model.model.layers[0].mlp.down_proj.lora_B)
    first, second = (generate(model, asked, max_new_tokens=8, eos_ids=NEVER, token_budget=500) for _ in range(2))
    assert first == second != bare


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
        (Request([1], 5, repetition_penalty=0.0), "repetition_penalty must be above 0"),
        (Request([1], 5, stops=("",)), "no stop string may be empty"),
        (Request([1], 5, stops=("x",)), "give the stream decode"),
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
