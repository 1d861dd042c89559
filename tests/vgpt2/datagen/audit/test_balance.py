import pytest

from vgpt2.datagen.audit import balance
from vgpt2.datagen.audit.balance import Balance
from vgpt2.datagen.audit.facts import Facts
from vgpt2.datagen.language.similarity import shingles


def case(n, *, stage="sft", template="sql_list-t01", absent=False, good=True, category="c", sizes=(10, 10), fault=None):
    """One case that says something of its own; a preference pair unless `good` is None."""
    good_denies, bad_denies = (absent, not absent) if stage != "sft" else (absent, False)
    answers = ((f"g{n}".encode(),), (f"b{n}".encode(),)) if stage == "dpo" else ((b"g",), ()) if good else ((), (b"b",))
    return Facts(
        f"f:{n}",
        stage,
        category,
        template,
        fault,
        f"p{n}".encode(),
        *answers,
        good_characters=(sizes[0],) if answers[0] else (),
        bad_characters=(sizes[1],) if answers[1] else (),
        good_denies=good_denies and bool(answers[0]),
        bad_denies=bad_denies and bool(answers[1]),
        good_refuses=good_denies and bool(answers[0]),
        bad_refuses=bad_denies and bool(answers[1]),
        shingles=shingles(f"text number {'abcdefghij'[n % 10]} of {n // 10} and more of it"),
    )


def many(count, absent, **about):
    return [case(n, absent=n < absent, **about) for n in range(count)]


@pytest.mark.parametrize(
    ("count", "absent", "passes"),
    [(20, 1, True), (20, 0, False), (20, 5, True), (20, 6, False), (4, 4, True), (100, 21, True), (100, 22, False)],
)
def test_five_to_twenty_percent_ask_for_something_absent(count, absent, passes):
    """20 questions: 1 to 4, and one more by chance; fewer than five say nothing."""
    assert (not balance.absent_share(many(count, absent)).failures) == passes


def test_a_kind_is_judged_where_its_templates_are_too_small():
    cases = [c for t in range(4) for c in many(6, 3, template=f"sql_list-t{t}")]
    said = [str(failure) for failure in balance.absent_share(cases).failures]
    assert said == ["sql_list: 12 of 24 questions ask for something absent; 5-20 % must"]


def test_questions_in_words_alone_and_preference_rows_are_not_judged():
    assert balance.absent_share(many(40, 0, template="topic_owner-t01")).checked == 0
    assert balance.absent_share(many(40, 0, stage="dpo")).checked == 0


@pytest.mark.parametrize(("absent", "passes"), [(45, True), (55, True), (44, False), (56, False)])
def test_real_and_unreal_names_are_even(absent, passes):
    outcome = balance.existence_balance(many(100, absent, template="exists_memory-t01"))
    assert (not outcome.failures) == passes
    assert balance.balances(many(100, absent, template="exists_memory-t01")) == [Balance("exists_memory-t01", 100, absent, balance.EVEN)]


def test_refusals_are_right_as_often_as_wrong():
    """Ten pairs, of which `n` have the denial on the right side."""
    assert not balance.refusals_even(many(10, 5, stage="dpo")).failures
    assert balance.refusals_even(many(10, 9, stage="dpo")).failures
    assert balance.refusals_even(many(10, 9, stage="sft")).checked == 0


def test_kto_classes_are_judged_by_category():
    cases = [case(n, stage="kto", good=n % 2 == 0, category="a") for n in range(20)]
    cases += [case(n, stage="kto", good=n > 4, category="b") for n in range(20)]
    assert [str(f) for f in balance.both_classes(cases).failures] == ["b: 15 of 20 rows are desirable; 45-55 % must be"]


def test_lengths_are_compared_pair_by_pair_or_class_by_class():
    pairs = [case(n, stage="dpo", sizes=(n + 10, 10)) for n in (0, 0, 0, 0, 2, 9, 9, 9, 9)]
    assert balance.length_ratios(pairs) == {"c": 1.2}
    labelled = [case(n, stage="kto", good=n % 2 == 0, sizes=(30, 20)) for n in range(16)]
    assert balance.length_ratios(labelled) == {"c": 1.5}
    assert balance.matched_lengths(labelled).failures
    assert not balance.matched_lengths(pairs).failures


def test_few_answers_say_nothing_alone_and_are_compared_together():
    """Seven of a class are too few: twice 7 right answers of 30 characters and 7 wrong ones of 20 are one group of 14 and 14."""
    few = [case(n, stage="kto", good=n % 2 == 0, sizes=(30, 20), category=name) for name in "ab" for n in range(14)]
    assert balance.length_ratios(few) == {balance.SMALL: 1.5}
    assert balance.matched_lengths(few).failures
