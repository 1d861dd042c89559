"""Sentences that are English: values beside their nouns, verbs in the right number, commas in pairs."""

import re
from random import Random

import pytest

from vgpt2.datagen.plans.plan import ColumnRef, Filter
from vgpt2.datagen.queries import criteria
from vgpt2.datagen.queries.asks import Ask, Link, Sorting
from vgpt2.datagen.queries.criteria import Criterion
from vgpt2.datagen.queries.wording import Sentence, draw_phrase, draw_sentence, in_words
from vgpt2.datagen.queries.words import Words


def of_batch(value):
    ref = ColumnRef("ARBH", "Co")
    return Criterion(ref, "owner", (Filter(ref, "=", value),), (value,))


def test_a_value_stands_beside_what_it_is_a_value_of():
    said = criteria.said(of_batch("4"), "company of the batch", Random(1), clause=False, by_name=False)
    assert said == "company 4 of the batch"
    assert criteria.said(of_batch("LF"), "unit of measure", Random(1), clause=False, by_name=False) == "unit of measure LF"
    assert criteria.said(of_batch("4"), "ARBH.Co", Random(1), clause=False, by_name=True) == "ARBH.Co = 4"


@pytest.mark.parametrize(
    ("kind", "value", "says"),
    [
        ("below", "250", r"the debits of the month are (?:below|less than) 250"),
        ("above", "9", r"the debits of the month (?:exceed|are above|are more than) 9"),
        ("nonzero", "", r"the debits of the month (?:are not|differ from) zero"),
        ("past", "", r"the debits of the month (?:are before today|have passed)"),
    ],
)
def test_a_verb_agrees_with_its_noun(kind, value, says):
    ref = ColumnRef("GLBL", "Debits")
    for seed in range(12):
        text = criteria.said(Criterion(ref, kind, (), (value,)), "the debits of the month", Random(seed), clause=True, by_name=False)
        assert re.fullmatch(says, text), text


def test_what_a_comma_sets_off_is_closed_where_the_sentence_goes_on(core_world):
    """', if any' in the middle of a list, and ', only rows with ...' before the rest of a sentence."""
    lexicon, ended = core_world.lexicon, re.compile(r",? (?:if any|where there is one|if given)(?! of)")
    table, on = lexicon.table("APTH"), ((ColumnRef("CMAC", "CMCo"), ColumnRef("APTH", "CMCo")),)
    ask = Ask("lookup", "APTH", (), (table.ref("APRef"), ColumnRef("CMAC", "Description")), (Link("CMAC", on, optional=True),))
    found = 0
    for seed in range(40):
        words = Words(lexicon, "words", Random(seed))
        text = in_words(ask, Sentence("{shown} and {others} of {rows}", "imperative"), words)
        assert "\0" not in text
        for match in ended.finditer(text):
            assert text[match.end()] == ",", text
            found += 1
    assert found > 10


def test_one_latest_row_is_and_several_are(core_world):
    table = core_world.lexicon.table("APTH")
    for top, verb in ((None, "is"), (1, "is"), (3, "are")):
        newest = Sorting(table.ref("InvDate"), True)
        ask = Ask("latest", "APTH", (), (table.ref("APRef"),), per=(table.ref("Vendor"),), top=top, sorting=newest)
        phrases = (draw_phrase("latest", "interrogative", Random(seed), held_out=False) for seed in range(20))
        (phrase, *_) = [phrase for phrase in phrases if phrase.is_question]
        words = Words(core_world.lexicon, "words", Random(1))
        text = in_words(ask, draw_sentence(phrase, Random(1), held_out=False), words)
        assert text.startswith(f"What {verb} the "), text
