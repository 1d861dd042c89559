import re
import string

from vgpt2.datagen.phrasings import BY_ID, EXISTENCE_KINDS, HELD_OUT, TRAINING
from vgpt2.datagen.recipes import MAKERS


def slots(text: str) -> set[str]:
    return {name for _, name, _, _ in string.Formatter().parse(text) if name}


def test_every_kind_has_a_dozen_sentences_for_training_and_six_others_for_suites():
    assert set(TRAINING) == set(HELD_OUT) == set(MAKERS)
    for kind in TRAINING:
        assert len({t.text for t in TRAINING[kind]}) >= 12
        assert len({t.text for t in HELD_OUT[kind]}) >= 6


def test_no_sentence_occurs_twice_and_no_id_either():
    texts = [re.sub(r"\W+", " ", t.text.casefold()).strip() for table in (TRAINING, HELD_OUT) for kind in table for t in table[kind]]
    assert len(texts) == len(set(texts)) == len(BY_ID)


def test_sentences_of_a_kind_take_the_same_slots():
    for kind in TRAINING:
        wanted = slots(TRAINING[kind][0].text)
        for template in (*TRAINING[kind], *HELD_OUT[kind]):
            assert slots(template.text) == wanted, template


def test_existence_is_never_asked_in_the_negative():
    # answers begin with the name, not with yes or no; a negative question would still tilt a small model
    for kind in EXISTENCE_KINDS:
        for template in (*TRAINING[kind], *HELD_OUT[kind]):
            assert not re.search(r"\b(?:not|missing|absent|unreal|fake)\b|n't\b", template.text), template
