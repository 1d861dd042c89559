"""Refusals in many wordings are heard as refusals, acceptances as acceptances, whatever words they share."""

from pathlib import Path

import pytest

from vgpt2.judging import abstains, existence

SECTIONS = Path(__file__).with_name("refusals.txt").read_text("utf-8").split("\n= ")
REFUSALS = [line for line in SECTIONS[0].splitlines() if not line.startswith("#")]
COLUMN, REAL = (section.splitlines()[1:] for section in SECTIONS[1:])


ABSTENTIONS, OTHERS = Path(__file__).with_name("abstentions.txt").read_text("utf-8").split("\n= other\n")


def test_there_are_sixty_wordings():
    assert len(set(REFUSALS)) >= 60
    assert len(set(ABSTENTIONS.splitlines()[1:])) >= 60


@pytest.mark.parametrize("answer", ABSTENTIONS.splitlines()[1:])
def test_data_that_is_not_there_is_said_in_many_ways(answer):
    assert abstains(answer)


@pytest.mark.parametrize("answer", OTHERS.splitlines())
def test_a_negation_alone_abstains_from_nothing(answer):
    assert not abstains(answer)


@pytest.mark.parametrize("answer", REFUSALS)
def test_a_refusal_in_other_words_is_a_refusal(answer):
    assert existence(answer, "APTX") == "refuses"


@pytest.mark.parametrize("answer", REFUSALS)
def test_the_same_words_about_a_real_name_deny_it(answer):
    """A refusal of a real object is an error in every wording."""
    about_real = answer.replace("APTH", "bAPTH").replace("APTX", "APTH")
    assert existence(about_real, "APTH") == "refuses"


@pytest.mark.parametrize("answer", COLUMN)
def test_a_refusal_of_a_column_is_a_refusal(answer):
    assert existence(answer, "APTH.InvNum") == "refuses"


@pytest.mark.parametrize("answer", REAL)
def test_an_acceptance_is_none(answer):
    assert existence(answer, "APTH") == "accepts"
