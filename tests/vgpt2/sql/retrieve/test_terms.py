"""Which terms a question speaks of."""

from __future__ import annotations

from vgpt2.sql.glossary import Glossary, Meaning, Term
from vgpt2.sql.retrieve.terms import TermFinder, TermHit
from vgpt2.sql.retrieve.words import Stemmer, words

TERMS = {
    "vendor": ("vendor", "supplier"),
    "vendor invoice": ("vendor invoice", "bill from a vendor"),
    "operator": ("operator",),
    "change order": ("change order",),
}


def find(question: str) -> list[TermHit]:
    glossary = Glossary(terms=tuple(Term(name, (Meaning("T"),), phrases) for name, phrases in TERMS.items()))
    return TermFinder(glossary, Stemmer()).find(words(question))


def found(question: str) -> dict[str, str]:
    return {hit.term.name: hit.phrase for hit in find(question)}


def test_names_and_synonyms_are_found_in_any_number() -> None:
    assert found("Which Suppliers?") == {"vendor": "supplier"}
    assert found("list vendor invoices") == {"vendor": "vendor", "vendor invoice": "vendor invoice"}


def test_the_longest_phrase_of_a_term_counts() -> None:
    assert found("a bill from a vendor")["vendor invoice"] == "bill from a vendor"


def test_words_near_one_another_are_a_weaker_hit() -> None:
    (hit,) = [hit for hit in find("orders that change the price") if hit.term.name == "change order"]
    assert not hit.whole
    assert (hit.start, hit.end) == (0, 3)
    assert not found("an order from last spring that never saw any later change")


def test_a_word_of_the_same_stem_is_not_exact() -> None:
    (operating,), (plural,) = find("the operating account"), find("all operators")
    assert (operating.exact, plural.exact) == (False, True)


def test_a_phrase_without_words_is_never_found() -> None:
    finder = TermFinder(Glossary(terms=(Term("%", (Meaning("T"),), ("%", "the")),)), Stemmer())
    assert [hit.phrase for hit in finder.find(["the", "price"])] == ["the"]
    assert finder.find(["price"]) == []


def test_nothing_is_found_in_nothing() -> None:
    assert find("") == find("???") == []
