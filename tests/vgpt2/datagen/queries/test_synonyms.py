import pytest

from vgpt2.datagen.queries.lexicon import Lexicon
from vgpt2.datagen.queries.synonyms import Sayings, forms, row_names, spelt
from vgpt2.datagen.questions.recipes import training_side
from vgpt2.sql.glossary import Glossary, Meaning, Term
from vgpt2.sql.schema import Object


@pytest.mark.parametrize(
    ("description", "many"),
    [
        ("AP transaction header: one posted vendor invoice", ["AP transaction headers", "AP transactions", "posted vendor invoices"]),
        ("JC cost totals by phase, cost type and month", ["JC cost totals by phase"]),
        ("money received for a sale", ["records of money received for a sale"]),
        ("person who repairs bikes", []),
        ("PR craft classes", ["PR craft classes"]),
    ],
)
def test_rows_are_named_by_the_head_of_a_description_and_by_what_one_row_is(description, many):
    assert [several for _, several in row_names(Object("XX", "view", (), description=description))] == many


@pytest.mark.parametrize(
    ("description", "one"),
    [
        ("HQ tax codes and rates", "record of HQ tax codes and rates"),
        ("JC cost totals by phase, cost type and month", "JC cost totals by phase"),
        ("AP company parameters: one company", "AP company parameters"),
        ("PR craft classes", "PR craft class"),
    ],
)
def test_one_row_of_what_has_no_singular_is_a_record_of_it(description, one):
    assert row_names(Object("XX", "view", (), description=description))[0][0] == one


def test_a_telling_name_says_what_its_rows_are():
    assert row_names(Object("order_lines", "table", ())) == [("order line", "order lines")]
    assert row_names(Object("SMWorkOrder", "view", (), module="SM")) == [("SM work order", "SM work orders")]
    assert row_names(Object("APTH", "view", (), module="AP")) == []


def test_columns_have_shorter_forms():
    assert forms("vendor number") == ("vendor number", "vendor")
    assert forms("gross amount of the line") == ("gross amount of the line", "gross amount")  # nobody totals a gross
    assert forms("serial number") == ("serial number",)
    assert forms("tax code") == ("tax code",)
    assert forms("tax included in the amount") == ("tax included in the amount",)
    assert forms(None) == ()


def test_a_term_names_an_object_only_where_it_means_just_that(core):
    customer = Term("customer", (Meaning("ARCM"),), ("customer", "client"))
    active = Term("vendor", (Meaning("APVM"),), ("vendor", "creditor"), filter="APVM.ActiveYN = 'Y'")
    several = Term("job", (Meaning("JCJM"), Meaning("PMPM")), ("job", "project"))
    lexicon = Lexicon(training_side(core), Glossary((customer, active, several)))
    assert ("client", "clients") in lexicon.table("ARCM").things
    assert "client number" in lexicon.table("ARTH").words["Customer"]
    said = [form for name in lexicon.names for forms in lexicon.table(name).words.values() for form in forms]
    assert "creditor number" not in said
    assert not any(("project", "projects") in lexicon.table(name).things for name in lexicon.names)


def test_a_synonym_is_not_used_where_it_names_another_column(core):
    """APTL.Supplier is the supplier number: APTH.Vendor may not be called so."""
    lexicon = Lexicon(training_side(core), Glossary((Term("vendor", (Meaning("APVM"),), ("vendor", "supplier")),)))
    assert "supplier number" in lexicon.table("APTL").words["Supplier"]
    assert "supplier number" not in lexicon.table("APTH").words["Vendor"]


def test_terms_in_a_question_are_found_with_the_objects_they_speak_of(core):
    term = Term("unpaid vendor invoice", (Meaning("APTH", "OpenYN"),), ("unpaid vendor invoice", "open payable"))
    sayings = Sayings(Glossary((term,)), core.catalogue)
    assert sayings.terms_in("Which open payable is the oldest?", ["APTH", "APTL"]) == [term]
    assert sayings.terms_in("Which open payable is the oldest?", ["ARTH"]) == []
    assert sayings.terms_in("Which payable is the oldest?", ["APTH"]) == []


def test_no_two_objects_share_a_name_for_their_rows(core):
    lexicon = Lexicon(training_side(core))
    seen = {}
    for name in lexicon.names:
        for _, many in lexicon.table(name).things:
            assert seen.setdefault(many, name) == name


@pytest.mark.parametrize(
    ("name", "words"),
    [("AuditSLs", "audit SLs"), ("GLDetailDesc", "GL detail desc"), ("customer_name", "customer name"), ("STATUS", "status"), ("f1", None)],
)
def test_a_telling_name_is_spelt_out_and_keeps_its_abbreviations(name, words):
    assert spelt(name) == words
