"""What stands before a question: nothing, what retrieval finds, or exactly what is needed."""

import pytest
import tiny_judge
from tiny_judge import CATALOGUE_FOLDER

from eval import suites
from eval.prompts import with_schema

CATALOGUE = tiny_judge.catalogue()


@pytest.fixture(scope="module")
def items():
    return list(suites.load(["plain"])[0].items)[:12]


def test_off_leaves_questions_as_they_are(items):
    assert with_schema(items, CATALOGUE, "off", folder=CATALOGUE_FOLDER) == (items, {})


def test_the_perfect_schema_shows_the_gold_tables_with_their_columns_and_no_other(items):
    asked, shown = with_schema(items, CATALOGUE, "gold", folder=CATALOGUE_FOLDER)
    for item, before in zip(asked, items):
        assert sorted(shown[item.id]) == sorted(before.expect["tables"])
        text = item.messages[-1]["content"]
        assert text.endswith("\n\n" + before.messages[-1]["content"])
        assert all(name.partition(".")[2] in text for name in before.expect["columns"])
        assert item.expect is before.expect


def test_retrieval_shows_objects_of_the_catalogue_and_says_which(items):
    asked, shown = with_schema(items, CATALOGUE, "on", folder=CATALOGUE_FOLDER)
    assert all(CATALOGUE.has(name) for names in shown.values() for name in names)
    found = [any(set(answer["tables"]) <= set(shown[item.id]) for answer in item.accepted) for item in items]
    assert sum(found) >= 6  # of twelve plain questions
    assert all(item.messages[-1]["content"].startswith(shown[item.id][0]) for item in asked)


def test_a_question_with_its_own_schema_gets_no_second_one():
    items = suites.load(["demo"])[0].items
    assert with_schema(items, CATALOGUE, "off", folder=CATALOGUE_FOLDER) == (list(items), {})
    with pytest.raises(ValueError, match="--retrieval on: question 'sql_select-000' brings its own schema; use off"):
        with_schema(items, CATALOGUE, "on", folder=CATALOGUE_FOLDER)


def test_a_question_about_an_unreal_name_gets_no_perfect_schema():
    item = tiny_judge.Item("e", "exists", "g", [{"role": "user", "content": "Is APTX real?"}], {"name": "APTX", "exists": False})
    asked, shown = with_schema([item], CATALOGUE, "gold", folder=CATALOGUE_FOLDER)
    assert asked == [item]
    assert shown == {"e": []}
