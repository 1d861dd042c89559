"""Refusals in many wordings are heard as refusals, acceptances as acceptances, whatever words they share."""

from pathlib import Path

import pytest

from vgpt2.judging import existence

SECTIONS = Path(__file__).with_name("refusals.txt").read_text("utf-8").split("\n= ")
REFUSALS = [line for line in SECTIONS[0].splitlines() if not line.startswith("#")]
COLUMN, REAL = (section.splitlines()[1:] for section in SECTIONS[1:])


def test_there_are_sixty_wordings():
    assert len(set(REFUSALS)) >= 60


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
