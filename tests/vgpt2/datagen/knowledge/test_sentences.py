import re
import string

import pytest

from vgpt2.datagen import knowledge
from vgpt2.datagen.knowledge import sentences
from vgpt2.datagen.language import phrasings
from vgpt2.datagen.language.phrasings import asks_existence, takes_no_name

KINDS = {kind.name: kind for kinds in knowledge.CATEGORIES.values() for kind in kinds}
TRAINING, HELD_OUT = sentences.templates(held_out=False), sentences.templates(held_out=True)


def slots(text):
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def normalised(text):
    """The words of a sentence; a slot is one word whatever its name, a quoted one another."""
    return re.sub(r"[^\w\"]+", " ", re.sub(r"\{\w+\}", "SLOT", text).casefold()).strip()


def test_every_kind_has_a_dozen_sentences_for_training_and_six_others_for_suites():
    assert set(TRAINING) == set(HELD_OUT) == set(KINDS)
    for kind in KINDS:
        assert len({normalised(t.text) for t in TRAINING[kind]}) >= 12
        assert len({normalised(t.text) for t in HELD_OUT[kind]}) >= 6


def test_no_sentence_belongs_to_two_kinds_or_to_both_sides():
    """Else one prompt would be answered in two ways, or a suite's sentence be learned."""
    own = [t for table in (TRAINING, HELD_OUT) for templates in table.values() for t in templates]
    others = [t for table in (phrasings.TRAINING, phrasings.HELD_OUT) for templates in table.values() for t in templates]
    texts = [normalised(t.text) for t in own]
    assert len(set(texts)) == len(texts)
    assert not set(texts) & {normalised(t.text) for t in others}


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_sentences_of_a_kind_take_the_same_slots_and_follow_ups_none(kind):
    wanted = slots(TRAINING[kind][0].text)
    assert all(slots(t.text) == wanted for t in (*TRAINING[kind], *HELD_OUT[kind]))
    assert all(not slots(t.text) for t in sentences.follow_ups(kind))


@pytest.mark.parametrize("kind", sorted(KINDS))
def test_the_name_of_a_kind_says_how_many_names_are_unreal(kind):
    expected = "existence" if asks_existence(kind) else "topic" if takes_no_name(kind) else "name"
    assert KINDS[kind].asks == expected


def test_existence_is_never_asked_in_the_negative():
    for kind in ("exists_object", "exists_attribute"):
        for template in (*TRAINING[kind], *HELD_OUT[kind]):
            assert not re.search(r"\b(?:not|missing|absent|unreal|fake)\b|n't\b", template.text), template


def test_follow_ups_belong_to_kinds_that_can_be_asked_of_an_object():
    assert sum(bool(sentences.follow_ups(kind)) for kind in KINDS) >= 12
    assert all(KINDS[kind].of_object for kind in KINDS if sentences.follow_ups(kind))
