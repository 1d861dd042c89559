"""Scores with penalties and the risk-coverage curve, against sums done by hand."""

from dataclasses import replace

import pytest

from eval.abstention import abstention_scores, risk_coverage
from eval.judged import Judged

BASE = Judged("a", "sql", "g", "?", "", {}, right=False, collapse=None, reason="")


def answers(*kinds: str) -> list[Judged]:
    forms = {
        "right": {"right": True},
        "wrong": {},
        "abstained": {"abstained": True},
        "rightly abstained": {"right": True, "abstained": True, "answerable": False},
        "made up": {"answerable": False},
        "says so oddly": {"abstained": True, "answerable": False},
    }
    return [replace(BASE, id=str(n), **forms[kind]) for n, kind in enumerate(kinds)]


def test_scores_by_hand():
    # penalties 0, 1, 10 over six answers: 1 + (0|-1|-10) + 0 + 1 + (0|-1|-10) + 1
    own, always = abstention_scores(answers("right", "wrong", "abstained", "rightly abstained", "made up", "says so oddly"), "sft")
    assert own.scores == pytest.approx((100 * 3 / 6, 100 * 1 / 6, 100 * -17 / 6))
    assert always.scores == pytest.approx((50, 50, 50))  # three of six cannot be answered
    assert (own.title, always.title) == ("sft", "always abstains")


def test_who_always_abstains_beats_a_guesser_when_wrong_answers_are_dear():
    own, always = abstention_scores(answers("right", "right", "right", "wrong"), "guesser")
    assert own.scores[0] > always.scores[0]
    assert own.scores[2] < always.scores[2] == 0


def test_questions_of_existence_ask_for_a_verdict_and_are_left_out():
    assert abstention_scores([replace(BASE, kind="exists")], "sft") == []


def test_the_curve_by_hand():
    # the surest is right, the second wrong, the last two right at equal confidence: 0/1, 1/2, then 1/4 at once
    found = risk_coverage([replace(a, confidence=c) for a, c in zip(answers("right", "wrong", "right", "right"), (-1.0, -2.0, -3.0, -3.0))])
    assert found.points == ((0.25, 0.0), (0.5, 0.5), (1.0, 0.25))
    assert found.area == pytest.approx(0.25 * 0 + 0.25 * 0.5 + 0.5 * 0.25)


def test_a_confidence_that_knows_has_less_risk_than_one_that_is_upside_down():
    kinds = ("right", "right", "wrong", "wrong")
    good = risk_coverage([replace(a, confidence=float(-n)) for n, a in enumerate(answers(*kinds))])
    bad = risk_coverage([replace(a, confidence=float(n)) for n, a in enumerate(answers(*kinds))])
    assert good.area < bad.area
    assert good.points[-1] == bad.points[-1] == (1.0, 0.5)


def test_no_curve_without_confidences():
    assert risk_coverage(answers("right", "wrong")) is None
