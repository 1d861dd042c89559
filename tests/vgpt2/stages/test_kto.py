import random
from dataclasses import replace

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from tiny_jobs import gradients, kto_rows, tiny_answer, tiny_config, tiny_job, tiny_model
from torch.testing import assert_close

from vgpt2.config import KTOConfig
from vgpt2.losses.logps import sequence_logps
from vgpt2.packing import pack
from vgpt2.stages.kto import KTO, KTOExample, class_weights, join, mismatched_partners, swap_answer


def prompt_of(answer):
    return answer.input_ids[: answer.prompt_tokens].tolist()


@given(st.lists(st.integers(0, 4), min_size=1, max_size=14), st.integers(0, 3))
def test_mismatched_answers_never_share_a_prompt_and_are_used_once(prompts, seed):
    """INVARIANT 19, for any multiset of prompts; a row stays alone only where one prompt has more than half of the rows."""
    answers = [tiny_answer(random.Random(i), [prompt + 1] * 3) for i, prompt in enumerate(prompts)]
    partners = mismatched_partners(answers, seed=seed)
    found = [partner for partner in partners if partner is not None]
    assert len(found) == len(set(found))
    for row, partner in enumerate(partners):
        assert partner is None or prompts[partner] != prompts[row]
    largest = max(prompts.count(prompt) for prompt in prompts)
    if 2 * largest <= len(prompts):
        assert None not in partners


@pytest.mark.parametrize("rows", [2, 3, 5, 8])
def test_distinct_prompts_all_find_a_partner_fixed_by_the_seed(rows):
    """INVARIANT 19."""
    answers = [row.answers[0] for row in kto_rows(rows)]
    partners = mismatched_partners(answers, seed=0)
    assert sorted(partners) == list(range(rows))
    assert all(partner != row for row, partner in enumerate(partners))
    assert partners == mismatched_partners(answers, seed=0)
    if rows == 8:
        assert partners != mismatched_partners(answers, seed=1)


def test_a_swapped_answer_is_this_prompt_and_the_others_answer():
    own, other = tiny_answer(random.Random(1)), tiny_answer(random.Random(2))
    swapped = swap_answer(own, other, 64)
    assert swapped.input_ids.tolist() == prompt_of(own) + other.input_ids[other.prompt_tokens :].tolist()
    assert int(swapped.completion_mask.sum()) == int(other.completion_mask.sum())
    assert swap_answer(own, other, len(swapped.input_ids) - 1) is None


def test_class_weights_even_out_the_counts():
    cfg = KTOConfig()
    assert class_weights(cfg, [True] * 6 + [False] * 2) == (1.0, 3.0)
    assert class_weights(cfg, [True] + [False] * 4) == (4.0, 1.0)
    assert class_weights(KTOConfig(desirable_weight=0.5, undesirable_weight=2), [True]) == (0.5, 2.0)


def referenced(job, model, shift=0.0):
    """The job's rows with the reference of `model`, lowered by `shift`, so that the KL estimate is shift per answer."""
    rows = []
    for row in job.examples:
        packed = pack([(answer.input_ids, answer.completion_mask) for answer in row.answers])
        with torch.no_grad():
            rows.append(replace(row, ref_logps=tuple((sequence_logps(model(packed), packed.cu_seqlens) - shift).tolist())))
    return rows


@pytest.mark.parametrize("micro_batch_tokens", [16, 48, 4096])
def test_kl_is_the_mean_over_the_step_whatever_the_micro_batches(micro_batch_tokens, tmp_path):
    """INVARIANT 20: against the mean worked out row by row; right at one example a micro-batch."""
    cfg = tiny_config("kto", batch={"examples_per_step": 8, "micro_batch_tokens": micro_batch_tokens})
    model = tiny_model()
    job = tiny_job(cfg, kto_rows(8), tmp_path, model=model)
    rng = random.Random(0)
    job.examples = [replace(row, ref_logps=(-9.0, -20.0 - rng.random())) for row in job.examples]
    batches = [job.stage.collate([job.examples[i] for i in indices]) for indices in job.steps[0]]
    prepared = job.stage.prepare(model, batches)
    ratios = []
    for row in job.examples:
        packed = pack([(row.answers[1].input_ids, row.answers[1].completion_mask)])
        ratios.append(float(model(packed).detach().sum()) - row.ref_logps[1])
    expected = max(0.0, sum(ratios) / len(ratios))
    assert expected > 0, "the made-up reference must leave something to clamp"
    for batch in prepared:
        assert float(batch.kl) == pytest.approx(expected, abs=1e-6)
        assert not batch.kl.requires_grad


def test_a_negative_estimate_is_clamped_at_zero(tmp_path):
    """INVARIANT 20."""
    model = tiny_model()
    job = tiny_job(tiny_config("kto"), kto_rows(4), tmp_path, model=model)
    job.examples = referenced(job, model, shift=-3.0)
    (batch,) = job.stage.prepare(model, [job.stage.collate(job.examples)])
    assert float(batch.kl) == 0


def long_prompts(count: int) -> list[KTOExample]:
    """Rows of prompts of 20 to 29 tokens and answers of 1 to 7, the last one without a mismatched answer."""
    rng = random.Random(7)
    answers = [tiny_answer(rng, [rng.randrange(97) for _ in range(20 + i)]) for i in range(count)]
    rows = [KTOExample(f"rows.jsonl:{i + 1}", (answer,), i % 3 != 0, 0) for i, answer in enumerate(answers)]
    completed, _ = KTO(tiny_config("kto", data={"cutoff_tokens": 64}, batch={"micro_batch_tokens": 512})).complete(rows, [], seed=0)
    completed[-1] = replace(completed[-1], answers=completed[-1].answers[:1])
    return [replace(row, ref_logps=(-9.0, -40.0)[: len(row.answers)]) for row in completed]


@pytest.mark.parametrize("recompute", [0, 2])
def test_mismatched_answers_beside_the_rows_own_give_the_losses_and_gradients_of_two_passes(recompute):
    """In fp64, every parameter's gradient and metric; prompts are stored once and no gradient comes from a mismatched answer."""
    rows, found = long_prompts(6), []
    stage = KTO(tiny_config("kto", data={"cutoff_tokens": 64}, batch={"micro_batch_tokens": 512}))
    batch = stage.collate(rows)
    apart = sum(row.tokens for row in rows) + sum(row.answers[1].tokens for row in rows[:-1])
    saved = sum(row.own.prompt_tokens - 1 for row in rows[:-1])
    assert len(batch.both.packed.input_ids) == apart - saved
    for one in (batch, replace(batch, both=None)):
        model, lengths = tiny_model(), []
        model.recompute_layers = recompute

        def policy(packed, model=model, lengths=lengths):
            lengths.append(len(packed.input_ids))
            return model(packed)

        (prepared,) = stage.prepare(policy, [one])
        losses, metrics = stage.loss(policy, prepared)
        losses.sum().backward()
        passes = [sum(row.answers[1].tokens for row in rows[:-1]), sum(row.tokens for row in rows)]
        assert lengths == ([apart - saved] if one.both else passes)
        assert float(metrics["kl"][0]) > 0
        found.append((losses, *(value for value, _ in metrics.values()), *(parameter.grad for parameter in model.parameters())))
    assert len(found[0]) > 25
    for one, two in zip(*found, strict=True):
        assert_close(one, two, rtol=1e-10, atol=1e-12)


def test_prompts_are_shared_only_where_that_saves_and_fits():
    """Six prompts of about 22 tokens: 3/4 of the mismatched rows' tokens are the least that pays with trained weights."""
    rows = long_prompts(6)
    both = join(rows, 512)
    assert join(rows, len(both.packed.input_ids)) is not None
    assert join(rows, len(both.packed.input_ids) - 1) is None
    short = [replace(row, answers=(own := tiny_answer(random.Random(i), [1, 2, i]), own)) for i, row in enumerate(rows)]
    assert join(short, 512) is None
    assert join([replace(row, answers=row.answers[:1]) for row in rows], 512) is None


def test_a_step_of_several_micro_batches_finds_kl_before_its_first_gradient():
    rows = long_prompts(6)
    stage = KTO(tiny_config("kto", data={"cutoff_tokens": 64}, batch={"micro_batch_tokens": 512}))
    model = tiny_model()
    prepared = stage.prepare(model, [stage.collate(rows[:3]), stage.collate(rows[3:])])
    assert prepared[0].kl is prepared[1].kl
    (alone,) = stage.prepare(model, [stage.collate(rows)])
    assert alone.kl is None
    assert float(stage.loss(model, alone)[1]["kl"][0]) / 6 == pytest.approx(float(prepared[0].kl), rel=1e-6)


def test_a_step_of_one_class_has_finite_gradients_and_each_weight_scales_its_class_only(tmp_path):
    """INVARIANT 21."""
    model = tiny_model()
    results = {}
    for weights in ((1.0, 1.0), (2.0, 1.0), (1.0, 2.0)):
        keys = {"desirable_weight": weights[0], "undesirable_weight": weights[1]}
        job = tiny_job(tiny_config("kto", kto=keys, optim={"max_grad_norm": None}), [], tmp_path, model=tiny_model())
        for label in (True, False):
            job.examples, _ = job.stage.complete([replace(row, is_desirable=label) for row in kto_rows(4)], [], seed=0)
            job.examples = referenced(job, model)
            job.steps = [[list(range(4))]]
            found = gradients(job)
            assert all(torch.isfinite(gradient).all() for gradient in found.values())
            results[weights, label] = found
    for name, gradient in results[(1.0, 1.0), True].items():
        assert_close(results[(2.0, 1.0), True][name], 2 * gradient)
        assert_close(results[(1.0, 2.0), True][name], gradient)
        assert_close(results[(1.0, 2.0), False][name], 2 * results[(1.0, 1.0), False][name])


def test_rows_without_a_partner_do_not_count_in_kl_and_that_is_said(tmp_path):
    """INVARIANT 19: four rows of one prompt and one of another leave three without a mismatched answer."""
    same = [tiny_answer(random.Random(i), [5, 6, 7]) for i in range(4)]
    rows = [replace(row, answers=(answer,)) for row, answer in zip(kto_rows(4), same)] + kto_rows(1, seed=3)
    stage = KTO(tiny_config("kto"))
    completed, _ = stage.complete(rows, [], seed=0)
    assert sum(len(row.answers) == 1 for row in completed) == 3
    assert "3 rows do not count in kl" in stage.notes()[0]
    batch = stage.collate(completed)
    assert len(batch.mismatched.lengths) == len(batch.mismatched_ref_logps) == 2


def test_apo_needs_no_mismatched_answers(tmp_path):
    stage = KTO(tiny_config("kto", kto={"loss": "apo_zero"}))
    completed, _ = stage.complete(kto_rows(4), [], seed=0)
    assert all(len(row.answers) == 1 for row in completed)
    assert stage.collate(completed).mismatched is None


def test_metrics_split_the_classes(tmp_path):
    """INVARIANT 46, by hand: two desirable answers with rewards 1 and 3, one undesirable with -2; beta kl = 0.5."""
    from vgpt2.stages.kto import answer_metrics

    rewards, labels = torch.tensor([1.0, 3.0, -2.0]), torch.tensor([True, True, False])
    metrics = answer_metrics(torch.tensor([-4.0, -6.0, -8.0]), rewards, labels, int(labels.sum()), torch.tensor(0.5))
    means = {name: float(total) / count for name, (total, count) in metrics.items()}
    assert means == {"rewards/accuracy": 1.0, "rewards/chosen": 2.0, "rewards/rejected": -2.0, "logps/chosen": -5.0, "logps/rejected": -8.0}
    assert KTO(tiny_config("kto")).summarise(means)["rewards/margin"] == 4.0


def test_kto_plans_each_row_once_an_epoch():
    """INVARIANT 38."""
    stage = KTO(tiny_config("kto"))
    tokens = [row.tokens for row in kto_rows(11)]
    steps = stage.plan(tokens, seed=0, epoch=0)
    assert [sum(map(len, step)) for step in steps] == [4, 4, 3]
    assert sorted(i for step in steps for cut in step for i in cut) == list(range(11))
    assert steps != stage.plan(tokens, seed=0, epoch=1)
    assert np.sum([len(step) for step in steps]) >= 3
