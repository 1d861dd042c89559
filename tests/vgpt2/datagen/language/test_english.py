import pytest

from vgpt2.datagen.language import english
from vgpt2.sql.schema import Column, Object


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("AP transaction header: one posted vendor invoice", "AP transaction headers"),
        ("AP vendor master, shared by companies through the vendor group", "AP vendor master records"),
        ("SM work order for a service site", "SM work orders for a service site"),
        ("AR receivable types and their GL accounts", "AR receivable types"),
        ("HQ groups (vendor, customer, tax)", "HQ groups"),
        ("EM equipment categories", "EM equipment categories"),
        (None, None),
    ],
)
def test_rows_are_called_by_the_head_of_the_description(description, words):
    assert english.things(description) == words


@pytest.mark.parametrize(
    ("description", "words"),
    [
        ("posting month (first day of month)", "posting month"),
        ("payment method, such as check or EFT", "payment method"),
        ("job status: pending, open or closed", "job status"),
        ("Y when marked for purge", None),
        ("surrogate identity number of the row", None),
        ("group that owns the vendor number", None),
        ("social security number", None),
        (None, None),
    ],
)
def test_columns_are_asked_for_by_words_that_fit_after_the(description, words):
    assert english.gloss(description) == words


def test_a_flag_is_asked_for_by_its_clause():
    assert english.flag_clause("Y while any amount remains open") == "any amount remains open"
    assert english.flag_clause("Y when marked for purge") is None
    assert english.flag_clause("invoice date") is None


def test_columns_that_share_their_words_are_not_told_apart_by_them():
    columns = (
        Column("Key", "int", description="row number"),
        Column("A", "int", description="amount paid"),
        Column("B", "int", description="amount paid"),
        Column("C", "int", description="amount due"),
        Column("D#", "int", description="receiver number"),
    )
    assert english.distinct_glosses(Object("T", "table", columns, business_key=("Key",))) == {"C": "amount due"}


def test_an_object_without_words_is_asked_for_by_names():
    columns = (Column("Id", "int"), Column("City", "varchar", length=9), Column("Order", "int"), Column("Photo", "varchar", length=-1))
    assert english.askable(Object("T", "table", columns, business_key=("Id",))) == {"City": "City"}


@pytest.mark.parametrize(
    ("part", "word", "may"), [("hrs", "hours", True), ("qty", "quantity", True), ("acct", "account", True), ("amt", "hours", False)]
)
def test_abbreviations_are_suspected(part, word, may):
    assert english.abbreviates(part, word) == may


def test_small_forms():
    assert english.listing(["a", "b", "c"]) == "a, b and c"
    assert english.camel("AP transaction header") == "APTransactionHeader"
    assert english.spaced("VendorGroup") == "vendor group"
    assert english.spaced("APCo") == "ap co"
    assert english.plural("category") == "categories"


@pytest.mark.parametrize(
    ("words", "head", "is_plural"),
    [
        ("company of the batch", "company", False),
        ("vendor when sent to AP", "vendor", False),
        ("debits of the month", "debits", True),
        ("statement status", "statement status", False),
        ("GL account for job fixed rates", "GL account", False),
        ("store the mechanic works in", "store the mechanic works in", False),
    ],
)
def test_words_have_a_head_that_values_and_verbs_go_with(words, head, is_plural):
    assert english.split_head(words) == (head, words.removeprefix(head))
    assert english.is_plural(words) == is_plural
