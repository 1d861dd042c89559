"""Labels of small sets: both classes, denials and lengths come out even however the pairs fall."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path
from random import Random
from statistics import median

import pytest

from vgpt2.datagen.audit.gate import judge
from vgpt2.datagen.faults import ACCEPTS_FAKE, REFUSES_REAL
from vgpt2.datagen.mistakes.labels import labels
from vgpt2.datagen.mistakes.preferences import Pair, pairs
from vgpt2.datagen.questions.question import Question, Subject
from vgpt2.datagen.sets import records

CORE = Path(__file__).parents[4] / "data" / "catalogues" / "vista-core"


@dataclass(frozen=True)
class Query:
    """Stands for a plan: labels only ask whether there is one."""


def sql(category, right, wrong):
    return Pair(category, category, Question("q", "q-t01", "", "?", "x" * right, (), {}, query=Query()), "fault", "x" * wrong)


def verdict(category, *, real):
    subject = Subject("APTH", real, "APTH")
    question = Question("e", "e-t01", "", "?", "x" * 40, (), {}, subject=subject)
    return Pair(category, category, question, REFUSES_REAL if real else ACCEPTS_FAKE, "x" * 40)


def medians(made, right):
    good = [len(pair.question.answer) for pair, label in zip(made, right) if label]
    bad = [len(pair.wrong) for pair, label in zip(made, right) if not label]
    return median(good) / median(bad)


def test_by_turns_where_that_is_even_already():
    made = [sql("a", 100, 100) for _ in range(6)]
    assert labels(made) == [True, False] * 3


def test_lengths_that_turns_leave_apart_are_brought_together():
    """Twenty short questions and twenty long ones by turns, so that all right answers were short: a ratio of 50 to 300."""
    made = [sql("a", size, size) for _ in range(20) for size in (50, 300)]
    right = labels(made)
    assert sum(right) == 20
    assert 1 / 1.15 <= medians(made, right) <= 1.15


def test_lengths_are_mended_within_kinds_of_question_only():
    """A verdict never gives its place to a query, or refusals would no longer be even."""
    made = [sql("a", size, size) for _ in range(10) for size in (50, 300)] + [verdict("a", real=n % 2 == 0) for n in range(20)]
    right = labels(made)
    kinds = Counter((q.query is None, q.subject and q.subject.is_real, label) for q, label in zip([pair.question for pair in made], right))
    assert kinds[False, None, True] == kinds[False, None, False] == 10
    assert all(kinds[True, real, label] == 5 for real in (True, False) for label in (True, False))


def test_odd_groups_do_not_add_up_to_denials_that_are_mostly_right():
    """Four categories with three fake and three real names each: by turns 8 right denials and 4 wrong ones."""
    made = [verdict(category, real=real) for category in "abcd" for real in (False, True) for _ in range(3)]
    right = labels(made)
    rewarded = sum(label for pair, label in zip(made, right) if not pair.question.subject.is_real)
    punished = sum(not label for pair, label in zip(made, right) if pair.question.subject.is_real)
    assert abs(rewarded - punished) <= 1
    for category in "abcd":
        assert 2 <= sum(label for pair, label in zip(made, right) if pair.category == category) <= 4


@pytest.mark.parametrize("size", [40, 100, 300])
def test_a_small_labelled_set_passes_the_audit(core, tmp_path, size):
    made = pairs(core, recipe="balanced", size=size, seed=2, purpose="kto", progress=lambda rows: rows).pairs
    records.write(tmp_path / "kto.jsonl", records.kto_rows(made, seed=2), {})
    assert judge([tmp_path / "kto.jsonl"], catalogue=CORE, workers=0).passed


def test_labels_depend_on_nothing_but_the_pairs():
    rng = Random(4)
    made = [sql(rng.choice("ab"), rng.randint(40, 400), rng.randint(40, 400)) for _ in range(60)]
    assert labels(made) == labels(list(made))
