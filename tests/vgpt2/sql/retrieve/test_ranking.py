"""What a question finds, why, and in which order."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgpt2.sql.catalogue import Catalogue, Column, ForeignKey, Object, load_catalogue
from vgpt2.sql.glossary import Glossary, Meaning, Term, find_glossary
from vgpt2.sql.retrieve import PARTS, Approved, Retriever

CORE = Path(__file__).parents[4] / "data" / "catalogues" / "vista-core"
QUESTIONS = Path(__file__).parents[1] / "retrieval_questions.jsonl"


@cache
def core() -> Catalogue:
    return load_catalogue(CORE)


@cache
def retriever() -> Retriever:
    return Retriever(core(), find_glossary(CORE, core()))


def shop() -> Catalogue:
    """Customers order items; items are of a product. `Companies` is an object, and an everyday word as well."""
    columns = (Column("Id"), Column("ShipDate", description="day of dispatch"), Column("Price"))
    words = {"Customer": "customer", "Orders": "order of a customer", "OrderItem": "line", "Product": "product", "Companies": "companies"}
    objects = [Object(name, "table", columns, business_key=("Id",), description=text) for name, text in words.items()]
    keys = [("Orders", "Customer"), ("OrderItem", "Orders"), ("OrderItem", "Product")]
    return Catalogue(objects, [ForeignKey(child, ("Id",), parent, ("Id",)) for child, parent in keys])


def test_objects_named_in_the_question_come_first_those_in_exact_case_before_others() -> None:
    hits = retriever().retrieve("Do unpaid vendor invoices on hold stand in apth, in CMDT or in EMWH?", limit=5).hits
    assert {hit.name for hit in hits[:2]} == {"CMDT", "EMWH"}
    assert hits[2].name == "APTH"
    assert [hit.why for hit in hits].count("literal") == 3


def test_another_case_is_found_with_a_note() -> None:
    hit = retriever().retrieve("apth", limit=3).hits[0]
    assert (hit.name, hit.why, hit.note) == ("APTH", "literal", "written 'apth'; the name is APTH")


def test_a_table_is_answered_by_its_view_with_a_note() -> None:
    hits = retriever().retrieve("what is in bAPTH", limit=3).hits
    assert (hits[0].name, hits[0].note) == ("APTH", "stands for bAPTH")
    assert "bAPTH" not in {hit.name for hit in hits}


def test_an_everyday_word_is_no_mention_of_an_object_of_that_name() -> None:
    hit = Retriever(shop()).retrieve("companies", limit=1).hits[0]
    assert (hit.name, hit.why) == ("Companies", "text")
    assert Retriever(shop()).retrieve("Companies", limit=1).hits[0].why == "literal"


def test_a_term_leads_to_its_objects_in_their_order_and_is_told() -> None:
    glossary = Glossary(terms=(Term("sale", (Meaning("OrderItem", "Price"), Meaning("Orders")), ("sale", "deal")),))
    found = Retriever(shop(), glossary).retrieve("deals by product", limit=4)
    assert [(hit.name, hit.why) for hit in found.hits[:1]] == [("OrderItem", "glossary")]
    assert found.names.index("OrderItem") < found.names.index("Orders")
    assert found.hits[0].columns == ("Price",)
    assert [hit.term.name for hit in found.terms] == ["sale"]


def test_what_people_say_leads_to_objects_and_a_saying_is_not_told() -> None:
    term = Term("sale", (Meaning("Product"),), ("sale",), says=("ring it up",))
    glossary = Glossary(terms=(term,), sayings=(Term("boxes", (Meaning("OrderItem"),), says=("what went out",)),))
    found = Retriever(shop(), glossary).retrieve("ring it up and tell what went out", limit=2)
    assert set(found.names) == {"Product", "OrderItem"}
    assert [hit.term for hit in found.terms] == [term]


def test_columns_that_share_words_with_the_question_are_named() -> None:
    hit = Retriever(shop()).retrieve("order by dispatch day", limit=1).hits[0]
    assert (hit.name, hit.columns) == ("Orders", ("ShipDate",))


def test_what_joins_two_hits_is_found_too() -> None:
    found = Retriever(shop()).retrieve("customer and product", limit=5)
    assert {hit.name: hit.why for hit in found.hits if hit.name == "OrderItem"} == {"OrderItem": "closure"}
    parts = [part for part in PARTS if part != "closure"]
    assert "OrderItem" not in Retriever(shop(), parts=parts).retrieve("customer and product", limit=5).names


def test_an_approved_question_leads_to_its_objects_if_it_is_much_like_this_one() -> None:
    approved = (Approved("who dispatched the parcels", ("Product", "Unknown")),)
    found = Retriever(shop(), approved=approved).retrieve("who dispatched the parcels yesterday", limit=5)
    assert (found.hits[0].name, found.hits[0].why) == ("Product", "approved")
    assert "Product" not in Retriever(shop(), approved=approved).retrieve("parcels of a customer abroad in winter", limit=5).names


def test_background_objects_come_last() -> None:
    plain = Retriever(shop()).retrieve("customer order", limit=2).names
    last = Retriever(shop(), Glossary(background=(plain[0],))).retrieve("customer order", limit=2).names
    assert last == plain[::-1]


def test_the_limit_holds_and_nothing_is_found_twice() -> None:
    names = retriever().retrieve("unpaid vendor invoices by job and vendor with retainage", limit=7).names
    assert len(names) == len(set(names)) == 7


def test_the_same_question_has_the_same_answer_in_every_retriever_and_thread() -> None:
    questions = [row["question"] for row in rows()[:12]]
    fresh = Retriever(core(), find_glossary(CORE, core()))
    expected = [fresh.retrieve(question, limit=10) for question in questions]
    with ThreadPoolExecutor(4) as pool:
        assert list(pool.map(lambda question: retriever().retrieve(question, limit=10), questions)) == expected


@settings(max_examples=60, deadline=None)
@given(st.one_of(st.text(max_size=60), st.text(alphabet="\"*^:()+-ORNEARNOT{}'\x00 aé٣", max_size=30)))
def test_any_text_is_a_question(text: str) -> None:
    found = retriever().retrieve(text, limit=5)
    assert len(found.hits) <= 5
    assert all(core().has(name) for name in found.names)


def test_a_very_long_text_is_read_as_far_as_its_beginning() -> None:
    question = "unpaid vendor invoices on hold "
    assert retriever().retrieve(question * 60 + "payroll " * 50_000, limit=5) == retriever().retrieve(question * 60, limit=5)


def rows() -> list[dict[str, Any]]:
    return [json.loads(line) for line in QUESTIONS.read_text(encoding="utf-8").splitlines()]


@pytest.mark.parametrize(("depth", "least"), [(5, 0.88), (10, 0.95), (20, 0.98)])
def test_the_questions_it_was_tuned_on_stay_found(depth: int, least: float) -> None:
    asked = [row for row in rows() if all(core().has(name) for name in row["objects"])][::2]
    shares = [
        len(set(row["objects"]) & set(retriever().retrieve(row["question"], limit=depth).names)) / len(row["objects"]) for row in asked
    ]
    assert sum(shares) / len(shares) >= least
