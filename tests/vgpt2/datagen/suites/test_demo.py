"""The shipped suite and the judge agree on what is right: the gold answers pass, answers that never change do not."""

from pathlib import Path

import pytest

from vgpt2.datagen.questions import recipes
from vgpt2.judging import judge, read_items

SUITE = Path(__file__).parents[4] / "eval" / "suites" / "demo.jsonl"
ITEMS = read_items(SUITE)


def test_every_gold_answer_is_right(core):
    questions = recipes.suite_questions(core, seed=1, progress=lambda rows: rows)
    for item, question in zip(ITEMS, questions, strict=True):
        verdict = judge(item, question.answer, core.catalogue)
        assert verdict.right, (item.id, question.answer, verdict.reason)


@pytest.mark.parametrize("answer", ["{name} exists: it is real.", "{name} does not exist; use APTH instead."])
def test_a_constant_answer_is_right_for_half_of_the_names(core, answer):
    for group in ("exists_list", "exists_memory", "columns"):
        asked = [item for item in ITEMS if item.group == group and item.kind == "exists"]
        right = [judge(item, answer.format(name=item.expect["name"]), core.catalogue).right for item in asked]
        assert 2 * sum(right) == len(asked)


def test_ids_are_unique_and_every_group_is_there():
    assert len({item.id for item in ITEMS}) == len(ITEMS) == 136
    assert {item.group for item in ITEMS} == {"sql_schema", "exists_list", "exists_memory", "columns"}
