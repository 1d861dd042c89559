import re
import string

from vgpt2.datagen.language.phrasings import BY_ID, COLUMN_LISTS, EXISTENCE_KINDS, HELD_OUT, OBJECT_LISTS, TRAINING
from vgpt2.datagen.questions.recipes import ROOM_OF


def slots(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_kind_has_a_dozen_sentences_for_training_and_six_others_for_suites():
    assert set(TRAINING) == set(HELD_OUT) == set(ROOM_OF)
    for kind in TRAINING:
        assert len({t.text for t in TRAINING[kind]}) >= 12
        assert len({t.text for t in HELD_OUT[kind]}) >= 6


def normalised(text: str) -> str:
    return re.sub(r"\W+", " ", text.casefold()).strip()


def test_no_sentence_of_a_suite_is_one_of_training_and_none_occurs_twice_in_a_kind():
    training, held_out = ({normalised(t.text) for kind in table for t in table[kind]} for table in (TRAINING, HELD_OUT))
    assert not training & held_out
    for kind in TRAINING:
        texts = [normalised(t.text) for t in (*TRAINING[kind], *HELD_OUT[kind])]
        assert len(set(texts)) == len(texts)


def test_ids_name_one_sentence_each():
    assert len(BY_ID) == sum(len(templates) for table in (TRAINING, HELD_OUT) for templates in table.values())


def test_lists_are_led_in_by_other_words_in_suites():
    for lines in (OBJECT_LISTS, COLUMN_LISTS):
        assert not set(lines[False]) & set(lines[True])
        assert all("{list}" in line for side in lines for line in side)


def test_sentences_of_a_kind_take_the_same_slots():
    for kind in TRAINING:
        wanted = slots(TRAINING[kind][0].text)
        optional = {"table"} if kind == "has_column" else set()  # the context names the table
        for template in (*TRAINING[kind], *HELD_OUT[kind]):
            assert wanted - optional <= slots(template.text) <= wanted, template


def test_existence_is_never_asked_in_the_negative():
    # answers begin with the name, not with yes or no; a negative question would still tilt a small model
    for kind in EXISTENCE_KINDS:
        for template in (*TRAINING[kind], *HELD_OUT[kind]):
            assert not re.search(r"\b(?:not|missing|absent|unreal|fake)\b|n't\b", template.text), template
