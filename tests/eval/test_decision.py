"""The rule of the project at its edge, and the advice that follows where it is not met."""

from dataclasses import replace

from eval import decision
from eval.failures import REMEDIES
from eval.judged import Judged

BASE = Judged("a", "sql", "g", "?", "", {}, right=True, collapse=None, reason="")


def answers(right: int, wrong: int, theme: str = "wrong filter") -> list[Judged]:
    return [BASE] * right + [replace(BASE, right=False, theme=theme)] * wrong


def test_more_than_eighty_of_a_hundred_are_wanted():
    assert not decision.is_met(answers(80, 20))
    assert decision.is_met(answers(81, 19))
    # Wilson: centre (.81 + .0192) / 1.0384 = .7985, half 1.96 / 1.0384 * sqrt(.81 * .19 / 100 + 3.84 / 40000) = .0763
    assert decision.decision(answers(81, 19)) == "deploy rule met: 81 % [72-87] > 80 %"
    assert decision.decision(answers(161, 39)).startswith("deploy rule met: 80.5 % [")
    assert decision.decision(answers(159, 41)).startswith("deploy rule not met: 79.5 % [")
    assert "expand the suites, merge with python -m vgpt2.export, deploy" in decision.conclusion(answers(81, 19))


def test_below_it_failures_by_theme_with_the_data_to_add():
    judged = answers(3, 2) + answers(0, 4, "no SQL")
    lines = decision.conclusion(judged).splitlines()
    assert lines[0].startswith("deploy rule not met: 33 % [")
    assert lines[1].split()[0] == "4"
    assert REMEDIES["no SQL"] in lines[1]
    assert REMEDIES["wrong filter"] in lines[2]


def test_names_that_nobody_can_know_do_not_count():
    assert decision.is_met([*answers(5, 0), *(replace(BASE, right=False, group="exists_memory") for _ in range(50))])
