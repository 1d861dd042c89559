"""The schema prompt: what it holds, in which form, and how it keeps to its budget."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from vgpt2.sql.catalogue import Catalogue, Object, load_catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.glossary import Meaning, Term, find_glossary
from vgpt2.sql.prompt import Form, question_prompt, schema_prompt
from vgpt2.sql.render import estimate_tokens, join_lines, render_compact
from vgpt2.sql.retrieve import Found, Retriever

CORE = Path(__file__).parents[3] / "data" / "catalogues" / "vista-core"
OPEN = Term("open bill", (Meaning("APTH", "OpenYN"), Meaning("APTD")), ("open bill",), filter="APTH.OpenYN = 'Y'", note="not yet paid")


@cache
def core() -> Catalogue:
    return load_catalogue(CORE)


@cache
def found() -> Found:
    return Retriever(core(), find_glossary(CORE, core())).retrieve("unpaid vendor invoices of a job", limit=8)


def objects(*names: str) -> list[Object]:
    return [core().objects[name] for name in names]


def test_it_is_the_compact_text_with_joins_and_terms_behind() -> None:
    chosen = objects("APTH", "APTL")
    text = schema_prompt(chosen, core(), terms=[OPEN])
    assert text.startswith(render_compact(chosen))
    assert text.splitlines()[-2:] == [*join_lines(core(), chosen), "TERM open bill: APTH.OpenYN; WHERE APTH.OpenYN = 'Y'; not yet paid"]


def test_a_term_is_told_only_where_one_of_its_objects_is_shown_and_its_condition_only_on_its_own_object() -> None:
    assert "TERM" not in schema_prompt(objects("JCJM"), core(), terms=[OPEN])
    assert schema_prompt(objects("APTD"), core(), terms=[OPEN]).endswith("TERM open bill: APTD; not yet paid")


def test_the_other_form_is_sql_with_joins_and_terms_as_comments() -> None:
    text = schema_prompt(objects("APTH", "APTL"), core(), form="create_table", terms=[OPEN])
    assert text.count("CREATE TABLE") == 2
    assert all(line.startswith("-- ") for line in text.splitlines()[-2:])
    assert [f for f in check(text, Catalogue([])) if f.severity == "error"] == []


@pytest.mark.parametrize("form", ["compact", "create_table"])
@pytest.mark.parametrize("budget", [400, 900, 2500])
def test_a_budget_is_kept_and_wanted_columns_stay(form: Form, budget: int) -> None:
    text = schema_prompt(objects("APTH", "APVM"), core(), form=form, wanted={"APTH": ("OpenYN",)}, max_tokens=budget)
    assert estimate_tokens(text) <= budget
    assert "OpenYN" in text
    assert "VendorGroup" in text


def test_given_columns_and_the_fixed_ones_alone_are_shown() -> None:
    lines = schema_prompt(objects("APTH"), core(), columns={"APTH": ["DueDate"]}).splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")][:-1] == ["APCo", "Mth", "APTrans", "VendorGroup", "DueDate"]


@pytest.mark.parametrize("budget", [300, 600, 1200, 5000])
def test_a_question_shows_as_many_objects_as_the_budget_holds_best_first(budget: int) -> None:
    text = question_prompt(found(), core(), max_tokens=budget)
    shown = [line.split()[0] for line in text.splitlines() if not line.startswith((" ", "JOIN", "TERM"))]
    assert shown == list(found().names[: len(shown)])
    assert shown
    assert estimate_tokens(text) <= budget or len(shown) == 1


def test_more_budget_shows_no_fewer_objects() -> None:
    counts = [question_prompt(found(), core(), max_tokens=budget).count(" key(") for budget in (200, 700, 1500, 4000)]
    assert counts == sorted(counts)
    assert counts[0] < counts[-1]


def test_nothing_found_is_an_empty_prompt() -> None:
    assert question_prompt(Found((), ()), core(), max_tokens=100) == ""
