from collections import Counter, defaultdict
from random import Random

import pytest

from vgpt2.datagen.phrasings import EXISTENCE_KINDS, HELD_OUT, TRAINING
from vgpt2.datagen.recipes import SFT_SHARES, SUITE_SIZES, apportioned, balanced_slots, pair_questions, sft_questions, suite_questions


def plain(rows):
    return rows


def test_shares_are_rounded_to_the_right_sum():
    assert apportioned({"a": 1, "b": 1, "c": 1}, 10) == {"a": 4, "b": 3, "c": 3}
    assert sum(apportioned(SFT_SHARES, 617).values()) == 617


@pytest.mark.parametrize("count", [24, 70, 240, 1000])
def test_templates_that_ask_for_existence_get_real_and_unreal_names_in_equal_number(count):
    for kind in EXISTENCE_KINDS:
        by_template = Counter(balanced_slots(kind, TRAINING[kind], count, Random(0), absent_share=0.125))
        for template in {template for template, _ in by_template}:
            assert by_template[template, True] == by_template[template, False]


@pytest.mark.parametrize("count", [60, 100, 500, 2000])
def test_other_templates_ask_for_something_absent_in_a_small_share(count):
    for kind in set(TRAINING) - set(EXISTENCE_KINDS):
        slots = balanced_slots(kind, TRAINING[kind], count, Random(0), absent_share=0.125)
        assert len(slots) == count
        assert 0.05 <= sum(not real for _, real in slots) / count <= 0.2
        by_template = defaultdict(list)
        for template, real in slots:
            by_template[template].append(real)
        for reals in by_template.values():
            if len(reals) >= 5:
                assert 1 <= reals.count(False) <= 0.2 * len(reals)


def test_the_same_seed_gives_the_same_questions_and_another_seed_others(core):
    first, again, other = (sft_questions(core, size=80, seed=seed, progress=plain) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_training_asks_about_every_object_it_may_before_it_repeats_one(core):
    questions = [q for q in sft_questions(core, size=620, seed=1, progress=plain) if q.kind == "exists_memory" and q.subject.is_real]
    assert len({q.subject.name for q in questions}) == len(questions)


def test_invented_names_of_training_preferences_and_suite_differ(core):
    def fakes(questions):
        return {q.subject.name for q in questions if q.subject and not q.subject.is_real and "." not in q.subject.name}

    sft = fakes(sft_questions(core, size=400, seed=1, progress=plain))
    pairs = fakes(q for _, group in pair_questions(core, size=200, seed=1, purpose="dpo", progress=plain) for q in group)
    suite = fakes(suite_questions(core, seed=1, progress=plain))
    assert min(map(len, (sft, pairs, suite))) > 20
    assert not sft & pairs
    assert not suite & (sft | pairs)


def test_a_suite_holds_its_numbers_with_as_many_real_as_unreal_names(core):
    questions = suite_questions(core, seed=1, progress=plain)
    assert Counter(q.kind for q in questions) == SUITE_SIZES
    assert {q.template for q in questions} <= {t.id for kind in HELD_OUT for t in HELD_OUT[kind]}
    for kind in EXISTENCE_KINDS:
        reals = [q.subject.is_real for q in questions if q.kind == kind]
        assert 2 * sum(reals) == len(reals)
    objects = {name for q in questions if q.kind.startswith("sql_") or q.kind.endswith("_column") for name in q.objects}
    assert objects <= core.held_out
