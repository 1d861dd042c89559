"""Words of names and questions, and their stems."""

from __future__ import annotations

import sqlite3

import pytest

from vgpt2.sql.retrieve.words import STOP_WORDS, Stemmer, split_name, words


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("APTransTotals", ["ap", "trans", "totals"]),
        ("vrvSMWorkOrder", ["vrv", "sm", "work", "order"]),
        ("JCCo", ["jc", "co"]),
        ("V1099YN", ["v", "1099", "yn"]),
        ("order_items", ["order", "items"]),
        ("Receiver#", ["receiver"]),
        ("", []),
    ],
)
def test_a_name_is_split_at_case_and_digits(name: str, parts: list[str]) -> None:
    assert split_name(name, {}) == parts


def test_abbreviations_are_written_out_behind_what_they_stand_for() -> None:
    assert split_name("InvDueDate", {"inv": "Invoice", "due": "falls due"}) == ["inv", "invoice", "due", "falls", "due", "date"]


def test_words_of_a_question_are_letters_and_digits_in_a_row() -> None:
    assert words("Smith's JOB-12: $4,000?") == ["Smith", "s", "JOB", "12", "4", "000"]


@pytest.mark.parametrize(
    ("word", "stem"),
    # the examples of Porter 1980, "An algorithm for suffix stripping"
    [
        ("caresses", "caress"),
        ("ponies", "poni"),
        ("plastered", "plaster"),
        ("motoring", "motor"),
        ("relational", "relat"),
        ("hopping", "hop"),
    ],
)
def test_stems_are_porters(word: str, stem: str) -> None:
    assert Stemmer().stems([word]) == [stem]


def test_there_is_one_stem_for_each_word_whatever_the_words_are() -> None:
    stemmer = Stemmer()
    written = ["Paid", "paid", "", "'", "42", "Überweisung", "invoices", "paid"]
    stems = stemmer.stems(written)
    assert len(stems) == len(written)
    assert stems[0] == stems[1] == stems[-1] == "paid"
    assert stemmer.stems(written) == stems


def test_a_stem_finds_in_an_index_what_the_word_finds() -> None:
    db = sqlite3.connect(":memory:")
    db.execute("CREATE VIRTUAL TABLE t USING fts5(x, tokenize = 'porter unicode61')")
    db.execute("CREATE VIRTUAL TABLE v USING fts5vocab(t, row)")
    db.execute("INSERT INTO t VALUES ('purchasing approvals retained')")
    assert {row[0] for row in db.execute("SELECT term FROM v")} == set(Stemmer().stems(["purchasing", "approvals", "retained"]))


def test_stop_words_are_small_and_hold_no_word_of_the_data() -> None:
    assert all(word == word.lower() for word in STOP_WORDS)
    assert not STOP_WORDS & {"vendor", "invoice", "job", "cost", "hold", "paid", "check", "change"}
