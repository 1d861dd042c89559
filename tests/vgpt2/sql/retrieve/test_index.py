"""The full-text index: what is one document, and what is found first."""

from __future__ import annotations

from vgpt2.sql.catalogue import Catalogue, Column, Object
from vgpt2.sql.glossary import Glossary, Meaning, Term
from vgpt2.sql.retrieve.index import FIELDS, Group, Index, groups

KEY = (Column("Co"), Column("Id"))


def view(name: str, base: str | None = None, key: tuple[str, ...] = (), **more: object) -> Object:
    return Object(name, "view", KEY, base_table=base, business_key=key, **more)  # type: ignore[arg-type]


def table(name: str, **more: object) -> Object:
    return Object(name, "table", KEY, business_key=("Co", "Id"), **more)  # type: ignore[arg-type]


def test_a_table_and_its_views_are_one_under_the_view_that_bears_its_name() -> None:
    catalogue = Catalogue([table("bAPTH"), view("APTHOpen", "bAPTH", ("Co", "Id")), view("APTH", "bAPTH", ("Co", "Id"))])
    assert groups(catalogue) == [Group("APTH", ("APTH", "APTHOpen", "bAPTH"))]


def test_forms_of_one_view_are_one_under_the_plainest() -> None:
    catalogue = Catalogue(
        [
            table("bJCCP"),
            view("JCCP", "bJCCP", ("Co",)),
            view("vrvJCCP"),
            view("brvJobMaster"),
            view("vrvJobMaster"),
            view("APLBGrid"),
            view("APLB"),
        ]
    )
    assert [group.members for group in groups(catalogue)] == [
        ("JCCP", "vrvJCCP", "bJCCP"),
        ("brvJobMaster", "vrvJobMaster"),
        ("APLB", "APLBGrid"),
    ]


def test_objects_that_share_a_beginning_only_stay_apart() -> None:
    catalogue = Catalogue([view("SMTrip"), view("SMTripOpen"), table("Orders"), table("OrderItems")])
    assert len(groups(catalogue)) == 4


def test_a_description_is_found_by_another_form_of_its_words() -> None:
    catalogue = Catalogue([table("A", description="approved invoices"), table("B", description="job costs")])
    assert [name for name, _ in Index(catalogue, Glossary()).search(["invoice", "approval"], 5)] == ["A"]


def test_words_of_glossary_modules_and_abbreviations_lead_to_their_objects() -> None:
    glossary = Glossary(
        terms=(Term("retainage", (Meaning("A"),), ("retainage", "money held back")),),
        modules={"AP": ("payables",)},
        abbreviations={"inv": "invoice"},
    )
    catalogue = Catalogue([table("A"), table("B", module="AP"), Object("InvLog", "table", KEY)])
    index = Index(catalogue, glossary)
    assert [[name for name, _ in index.search([word], 5)] for word in ("held", "payable", "invoices")] == [["A"], ["B"], ["InvLog"]]


def test_rare_words_count_more_and_ties_keep_the_catalogues_order() -> None:
    catalogue = Catalogue([table("A", description="cost"), table("B", description="cost"), table("C", description="cost of freight")])
    index = Index(catalogue, Glossary())
    assert [name for name, _ in index.search(["cost", "freight"], 5)] == ["C", "A", "B"]


def test_a_field_left_out_finds_nothing() -> None:
    catalogue = Catalogue([table("A", description="freight")])
    assert Index(catalogue, Glossary(), [field for field in FIELDS if field != "description"]).search(["freight"], 5) == []


def test_operators_of_the_query_language_are_words() -> None:
    catalogue = Catalogue([table("A", description="not near")])
    index = Index(catalogue, Glossary())
    assert [name for name, _ in index.search(["NOT", "NEAR", "OR", "AND"], 5)] == ["A"]
    assert index.search([], 5) == []
