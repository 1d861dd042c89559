"""What a wrong name means and how objects hang together, on facts of the bundled catalogue looked up by hand."""

from random import Random

import pytest

from vgpt2.datagen.knowledge.stock import shown, stock_of
from vgpt2.datagen.knowledge.wording import as_name, refuse_column, refuse_object
from vgpt2.datagen.questions.recipes import suite_side, training_side
from vgpt2.sql.extract import claims


@pytest.fixture(scope="module")
def stock(core):
    return stock_of(training_side(core))


@pytest.mark.parametrize(
    ("wrong", "meant"),
    [
        ("APTransactionHeader", ["APTH"]),  # the words of its description
        ("APTransactionLine", ["APTL"]),  # not APTD, whose explanation has a line too
        ("APTHDetail", ["APTH"]),  # a real name with an ending
        ("JC_PM", ["JCPM"]),  # not JCJM, the object that is also a PM project
        ("APTX", ["APTD"]),  # one letter off four names: the first in the alphabet
        ("PayrollEmployeeHeader", ["PREH"]),
        ("UnapprovedInvoices", ["APUI", "APUL"]),  # header and line
        ("Zzzzzzzzzzzz", []),
    ],
)
def test_a_wrong_name_means_the_object_of_its_words_or_its_letters(stock, wrong, meant):
    assert [o.name for o in stock.meant.objects(wrong)] == meant


@pytest.mark.parametrize(("wrong", "meant"), [("InvoiceTotalAmount", "InvTotal"), ("Vendr", "Vendor"), ("DueDateID", "DueDate")])
def test_a_wrong_column_means_the_one_of_its_words_or_its_letters(stock, wrong, meant):
    assert stock.meant.column("APTH", wrong).name == meant


def test_a_refusal_denies_the_name_and_offers_what_is_meant(stock):
    for n in range(20):
        said = claims(refuse_object(stock, "UnapprovedInvoices", Random(n)))
        assert [c.name for c in said if c.kind == "not_exists"] == ["UnapprovedInvoices"]
        assert [c.name for c in said if c.kind == "use_instead"] == ["APUI", "APUL"]
        denied = [c.name for c in claims(refuse_column(stock, stock.by_name["APTH"], "InvNum", Random(n))) if c.kind == "not_exists"]
        assert denied == ["APTH.InvNum"]


def test_links_lead_from_line_to_header_and_through_a_third_object(stock):
    assert ("APTL", "APTH") in stock.linked_pairs
    assert [key.from_columns for key in stock.keys_between("APTH", "APTL")] == [("APCo", "Mth", "APTrans")]
    for (child, parent), bridges in list(stock.bridges.items())[:200]:
        assert not stock.side.catalogue.joins(child, parent)
        assert all(stock.side.catalogue.joins(child, bridge) and stock.side.catalogue.joins(bridge, parent) for bridge in bridges)


def test_batches_know_where_they_are_posted(stock):
    assert stock.successors["APHB"] == "APTH"
    assert stock.successors["PRTB"] == "PRTH"


def test_suites_ask_from_memory_about_the_training_objects(core, stock):
    assert [o.name for o in stock_of(suite_side(core)).objects] == [o.name for o in stock.objects]
    assert not core.held_out & set(stock.by_name)


def test_words_that_could_be_plain_english_are_marked():
    assert [as_name(name) for name in ("APTH", "Sale", "order_lines", "orders")] == ["APTH", "`Sale`", "order_lines", "`orders`"]


def test_long_lists_are_cut_with_a_count():
    assert shown(["A", "B", "C", "D"], 2) == "A, B and 2 more"
    assert shown(["A", "B"], 2) == "A and B"


def test_places_that_are_told_are_all_there_are(stock):
    objects = stock.by_name.values()
    for words in stock.told_glosses:
        told = set(stock.glosses[words])
        names = {place.partition(".")[2] for place in told}
        alike = {f"{o.name}.{c.name}" for o in objects for c in o.columns if c.description == words}
        unknown = {f"{o.name}.{c.name}" for o in objects for c in o.columns if c.name in names and not c.description}
        assert alike <= told, words
        assert not unknown, words
    assert len(stock.told_glosses) > 300


def test_a_topic_is_a_noun_of_two_words_or_more(stock):
    assert [topic for topic in stock.topics if " " not in topic or topic.startswith("and ")] == []


def test_an_object_in_words_is_the_one_its_rows_are_called_by(stock):
    assert stock.in_words("APTH") == "the table of AP transaction headers"
    assert stock.in_words("APTransactionHeader") is None
    words = [stock.in_words(o.name) for o in stock.objects]
    assert None not in words
    assert len(set(words)) == len(words)
