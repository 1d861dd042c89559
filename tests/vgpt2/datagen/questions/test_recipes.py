from collections import Counter, defaultdict
from random import Random

import pytest

from vgpt2.datagen.language.phrasings import EXISTENCE_KINDS, HELD_OUT, TRAINING
from vgpt2.datagen.questions.question import Question, Subject
from vgpt2.datagen.questions.recipes import (
    ROOM_OF,
    ROOMS,
    SUITE_SIZES,
    THIN_SHARES,
    apportioned,
    balanced_slots,
    evened,
    pair_questions,
    sft_chats,
    suite_questions,
)


def plain(rows):
    return rows


def sft(names, size, seed=1):
    return sft_chats(names, size=size, seed=seed, progress=plain)


def test_shares_are_rounded_to_the_right_sum():
    assert apportioned({"a": 1, "b": 1, "c": 1}, 10) == {"a": 4, "b": 3, "c": 3}
    assert sum(apportioned(THIN_SHARES, 617).values()) == 617


@pytest.mark.parametrize("count", [24, 70, 240, 1000])
def test_templates_that_ask_for_existence_get_real_and_unreal_names_in_equal_number(count):
    for kind in EXISTENCE_KINDS:
        counts = Counter((slot.template, slot.real) for slot in balanced_slots(kind, TRAINING[kind], count, Random(0), absent_share=0.125))
        for template in {template for template, _ in counts}:
            assert counts[template, True] == counts[template, False]


@pytest.mark.parametrize("count", [60, 100, 500, 2000])
def test_other_templates_ask_for_something_absent_in_a_small_share(count):
    for kind in set(TRAINING) - set(EXISTENCE_KINDS):
        slots = balanced_slots(kind, TRAINING[kind], count, Random(0), absent_share=0.125)
        assert len(slots) == count
        assert 0.05 <= sum(not slot.real for slot in slots) / count <= 0.2
        by_template = defaultdict(list)
        for slot in slots:
            by_template[slot.template].append(slot.real)
        for reals in by_template.values():
            if len(reals) >= 5:
                assert 1 <= reals.count(False) <= 0.2 * len(reals)


def test_a_chat_that_could_not_be_made_takes_its_counterparts_with_it():
    def asked(name, real):
        return Question("exists_list", "exists_list-t01", "", name, "", (), {}, Subject(name, real, ""))

    sql = Question("sql_select", "sql_select-t01", "", "q", "", (), {})
    chats = [[asked("A", True), asked("B", False)], [asked("C", True), sql], [asked("D", True)]]
    assert [[q.ask for q in chat] for chat in evened(chats)] == [["A", "B"], ["q"]]


def test_the_same_seed_gives_the_same_questions_and_another_seed_others(core):
    first, again, other = (sft(core, 80, seed=seed) for seed in (1, 1, 2))
    assert first == again
    assert first != other


def test_a_set_has_the_kinds_of_its_recipe_in_their_shares(core):
    counts = Counter(q.kind for chat in sft(core, 400) for q in chat)
    wanted = apportioned(THIN_SHARES, 400)
    assert set(counts) == set(wanted)
    assert all(abs(counts[kind] - wanted[kind]) <= 2 + 0.1 * wanted[kind] for kind in wanted)


def test_chats_have_the_turns_of_their_room(core):
    chats = sft(core, 400)
    for name, room in ROOMS.items():
        turns = [len(chat) for chat in chats if ROOM_OF[chat[0].kind] == name]
        assert max(turns) == room.turns
        assert sum(n < room.turns for n in turns) <= 2


def test_training_asks_about_nearly_every_object_it_may_before_it_repeats_one(core):
    names = [q.subject.name for chat in sft(core, 1000) for q in chat if q.kind == "exists_memory" and q.subject.is_real]
    assert len(set(names)) >= 0.97 * len(names)
    assert len(names) == 70  # half of 14 % of 1,000


def test_invented_names_of_training_preferences_and_suite_differ(core):
    def fakes(questions):
        return {q.subject.name for q in questions if q.subject and not q.subject.is_real and "." not in q.subject.name}

    training = fakes(q for chat in sft(core, 600) for q in chat)
    pairs = fakes(q for _, group in pair_questions(core, size=200, seed=1, purpose="dpo", progress=plain) for q in group)
    suite = fakes(suite_questions(core, seed=1, progress=plain))
    assert min(map(len, (training, pairs, suite))) > 20
    assert not training & pairs
    assert not suite & (training | pairs)


def test_a_suite_holds_its_numbers_with_as_many_real_as_unreal_names(core):
    questions = suite_questions(core, seed=1, progress=plain)
    assert Counter(q.kind for q in questions) == SUITE_SIZES
    assert {q.template for q in questions} <= {t.id for kind in HELD_OUT for t in HELD_OUT[kind]}
    for kind in EXISTENCE_KINDS:
        reals = [q.subject.is_real for q in questions if q.kind == kind]
        assert 2 * sum(reals) == len(reals)
    objects = {name for q in questions if q.kind.startswith("sql_") or q.kind.endswith("_column") for name in q.objects}
    assert objects <= core.held_out
