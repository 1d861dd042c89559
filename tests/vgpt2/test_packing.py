import math
import random

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from vgpt2.packing import IGNORE, Packed, cut, label_count, pack, plan_batches, plan_examples, stored_tokens

ragged = st.lists(
    st.integers(1, 9).flatmap(
        lambda n: st.tuples(st.lists(st.integers(0, 96), min_size=n, max_size=n), st.lists(st.booleans(), min_size=n, max_size=n))
    ),
    min_size=1,
    max_size=8,
)


def sql_lengths(count: int, *, seed: int = 0) -> list[int]:
    """Token lengths as SQL rows have them: many short answers, a shoulder of rows with a schema in the prompt, a long tail to 4,096."""
    rng = random.Random(seed)
    short = [rng.lognormvariate(math.log(180), 0.6) for _ in range(count * 6 // 10)]
    schema = [rng.lognormvariate(math.log(900), 0.5) for _ in range(count - len(short))]
    lengths = [min(4096, max(12, int(length))) for length in short + schema]
    rng.shuffle(lengths)
    return lengths


def fill(packs: list[list[int]], lengths: list[int], budget: int) -> float:
    return sum(lengths) / (len(packs) * budget)


def test_pack_by_hand():
    """INVARIANTS 8: the last position of a segment has no target and position ids restart."""
    packed = pack([([5, 6, 7, 8], [False, False, True, True]), ([9, 3], [False, True])])
    assert packed.input_ids.tolist() == [5, 6, 7, 8, 9, 3]
    assert packed.labels.tolist() == [IGNORE, 7, 8, IGNORE, 3, IGNORE]
    assert packed.position_ids.tolist() == [0, 1, 2, 3, 0, 1]
    assert packed.cu_seqlens.tolist() == [0, 4, 6]
    assert packed.lengths == (4, 2)
    assert [packed.input_ids.dtype, packed.labels.dtype, packed.position_ids.dtype] == [torch.int64] * 3
    assert packed.cu_seqlens.dtype == torch.int32


def test_a_shared_prompt_by_hand():
    """Prompt 5 6 7 before answers 8 and 9 4, then another prompt: 5 and 6 are stored once, 7 predicts both first answer tokens."""
    sequences = [
        ([5, 6, 7, 8], [False, False, False, True]),
        ([5, 6, 7, 9, 4], [False, False, False, True, True]),
        ([5, 3, 1, 2], [False, False, False, True]),
    ]
    packed = pack(sequences, share_prompts=True)
    assert packed.input_ids.tolist() == [5, 6, 7, 8, 7, 9, 4, 5, 3, 1, 2]
    assert packed.labels.tolist() == [IGNORE, IGNORE, 8, IGNORE, 9, 4, IGNORE, IGNORE, IGNORE, 2, IGNORE]
    assert packed.position_ids.tolist() == [0, 1, 2, 3, 2, 3, 4, 0, 1, 2, 3]
    assert (packed.lengths, packed.shared) == ((4, 3, 4), (0, 2, 0))
    assert stored_tokens([(np.array(ids), np.array(mask)) for ids, mask in sequences]) == 11


def test_without_equal_prompts_nothing_is_shared():
    sequences = [([5, 6, 7], [False, False, True]), ([4, 6, 7], [False, False, True]), ([6, 7], [True, True])]
    assert pack(sequences, share_prompts=True).shared is None


@given(ragged)
def test_pack_equals_a_double_loop_over_sequences_and_tokens(sequences):
    """INVARIANTS 5 and 8: token t+1 is predicted from t inside its own sequence, the first completion token included."""
    packed = pack(sequences)
    labels, positions = [], []
    for ids, mask in sequences:
        for t in range(len(ids)):
            positions.append(t)
            labels.append(ids[t + 1] if t + 1 < len(ids) and mask[t + 1] else IGNORE)
    assert packed.labels.tolist() == labels
    assert packed.position_ids.tolist() == positions
    assert packed.lengths == tuple(len(ids) for ids, _ in sequences)


@given(ragged)
def test_label_counts_add_up_to_the_labels_in_the_pack(sequences):
    """INVARIANTS 28 and 38: what is counted before the forward is what reaches the loss."""
    packed = pack(sequences)
    assert sum(label_count(mask) for _, mask in sequences) == int((packed.labels != IGNORE).sum())


def test_an_end_token_that_is_also_the_padding_token_stays_supervised():
    """INVARIANTS 44: masks come from lengths, never from a comparison with a padding id."""
    pad = eos = 0
    packed = pack([([4, 5, eos], [False, True, True]), ([pad, 6, eos], [False, True, True])])
    assert packed.labels.tolist() == [5, eos, IGNORE, 6, eos, IGNORE]


@pytest.mark.parametrize("container", [list, tuple, np.array, torch.tensor])
def test_pack_takes_any_sequence_of_numbers(container):
    packed = pack([(container([1, 2, 3]), container([False, True, True]))])
    assert packed.labels.tolist() == [2, 3, IGNORE]


def test_lengths_are_derived_when_not_given():
    whole = pack([([1, 2, 3], [0, 1, 1]), ([4], [0])])
    assert Packed(whole.input_ids, whole.labels, whole.position_ids, whole.cu_seqlens).lengths == (3, 1)
    assert whole.to("cpu").lengths == (3, 1)


@pytest.mark.parametrize(
    ("sequences", "message"),
    [([], "no sequences"), ([([], [])], "sequence 0"), ([([1], [True]), ([1, 2], [True])], "sequence 1")],
)
def test_pack_refuses_what_it_cannot_lay_out(sequences, message):
    with pytest.raises(ValueError, match=message):
        pack(sequences)


@settings(max_examples=60)
@given(st.lists(st.integers(1, 64), max_size=3000), st.integers(64, 200), st.integers(0, 5), st.integers(0, 3))
def test_a_plan_holds_every_example_once_within_the_budget_and_is_repeatable(lengths, budget, seed, epoch):
    packs = plan_batches(lengths, budget, seed=seed, epoch=epoch)
    assert sorted(index for indices in packs for index in indices) == list(range(len(lengths)))
    assert all(indices and sum(lengths[i] for i in indices) <= budget for indices in packs)
    assert packs == plan_batches(lengths, budget, seed=seed, epoch=epoch)


def test_epochs_and_seeds_differ_in_order_and_in_company():
    lengths = sql_lengths(3000)
    plans = [plan_batches(lengths, 4096, seed=seed, epoch=epoch) for seed, epoch in [(0, 0), (0, 1), (1, 0)]]
    companies = [{frozenset(indices) for indices in plan if len(indices) > 1} for plan in plans]
    assert len(companies[0] & companies[1]) < 0.05 * len(companies[0])
    assert len(companies[0] & companies[2]) < 0.05 * len(companies[0])


@pytest.mark.parametrize("scale", [1.0, 0.3, 2.5])
@pytest.mark.parametrize("count", [2_000, 10_000])
def test_packs_are_at_least_97_percent_full_on_sql_like_lengths(count, scale):
    lengths = [min(4096, max(12, int(length * scale))) for length in sql_lengths(count, seed=count)]
    assert fill(plan_batches(lengths, 4096, seed=3, epoch=1), lengths, 4096) >= 0.97


def test_short_rows_fill_packs_across_windows():
    lengths = [random.Random(i).randrange(8, 40) for i in range(20_000)]
    assert fill(plan_batches(lengths, 4096, seed=0, epoch=0), lengths, 4096) >= 0.97


def test_a_plan_of_nothing_is_empty():
    assert plan_batches([], 10, seed=0, epoch=0) == []


@pytest.mark.parametrize("lengths", [[3, 11, 12], [3, 0, 11]])
def test_an_example_that_fits_no_pack_is_named(lengths):
    for plan in (lambda: plan_batches(lengths, 10, seed=0, epoch=0), lambda: cut([0, 1, 2], lengths, 10)):
        with pytest.raises(ValueError, match=f"example 1: {lengths[1]} tokens"):
            plan()


@given(st.lists(st.integers(1, 20), max_size=50), st.integers(20, 60))
def test_cut_keeps_order_and_budget_and_never_cuts_early(lengths, budget):
    indices = list(reversed(range(len(lengths))))
    runs = cut(indices, lengths, budget)
    assert [index for run in runs for index in run] == indices
    totals = [sum(lengths[i] for i in run) for run in runs]
    assert all(total <= budget for total in totals)
    assert all(total + lengths[after[0]] > budget for total, after in zip(totals, runs[1:]))


@given(st.lists(st.integers(1, 20), max_size=60), st.integers(1, 9), st.integers(20, 60), st.integers(0, 3))
def test_preference_steps_hold_their_number_of_examples_whatever_the_budget(lengths, per_step, budget, epoch):
    """INVARIANTS 4: a step is fixed by the config, the budget only cuts it."""
    steps = plan_examples(lengths, per_step, budget, seed=0, epoch=epoch)
    examples = [[index for run in step for index in run] for step in steps]
    assert sorted(index for step in examples for index in step) == list(range(len(lengths)))
    assert all(len(step) == per_step for step in examples[:-1])
    assert all(sum(lengths[i] for i in run) <= budget for step in steps for run in step)
    roomy = plan_examples(lengths, per_step, 10_000, seed=0, epoch=epoch)
    assert [[index for run in step for index in run] for step in roomy] == examples
