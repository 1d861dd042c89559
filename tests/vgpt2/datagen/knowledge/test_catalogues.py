"""The makers on other catalogues: a bike shop, one without companies and descriptions, and the whole database where it is there."""

import os
from pathlib import Path

import pytest

from vgpt2.datagen import knowledge
from vgpt2.datagen.names.real import load_names
from vgpt2.datagen.names.statements import Reading
from vgpt2.datagen.questions.recipes import training_side
from vgpt2.datagen.questions.world import World

ROOT = Path(__file__).parents[4]
BIKES = ROOT / "data" / "catalogues" / "bikeshop.yaml"
FULL = Path(os.environ.get("VGPT2_FULL_CATALOGUE", ROOT.parent / "shared" / "data" / "vista"))
LEFT_OUT = {"documents"}


def assert_sound(names, n, categories):
    """Answers of all categories, read as the audit reads them."""
    world, words = World(names, training_side(names)), names.words
    for category in categories:
        chats = knowledge.MAKERS[category](world, n, "1")
        assert sum(map(len, chats)) > n / 3, category
        for question in (question for chat in chats for question in chat):
            reading = Reading(question.answer, question.ask, names, words)
            assert not reading.unreal, (question.ask, question.answer, reading.unreal)
            assert not reading.errors, (question.ask, question.answer, reading.errors)
            denied = {f"{c.of}.{c.name}" if c.of and "." not in c.name else c.name for c in reading.claims if c.kind == "not_exists"}
            expected = {question.subject.name} if question.subject and not question.subject.is_real else set()
            assert denied == expected, (question.ask, question.answer)
            assert reading.alternatives or not denied, (question.ask, question.answer)


def test_a_bike_shop():
    assert_sound(load_names(BIKES), 80, sorted(set(knowledge.CATEGORIES) - LEFT_OUT))


def test_a_catalogue_without_modules_companies_and_descriptions(shop):
    assert_sound(shop, 80, sorted(set(knowledge.CATEGORIES) - LEFT_OUT))


@pytest.mark.skipif(not FULL.exists(), reason=f"the full catalogue is not at {FULL}")
def test_the_whole_database():
    assert_sound(load_names(FULL), 40, sorted(set(knowledge.CATEGORIES) - LEFT_OUT))
