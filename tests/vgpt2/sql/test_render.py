"""Schema text for prompts, and its budget."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import pytest

from vgpt2.sql.catalogue import Catalogue, Object, load_catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.render import estimate_tokens, join_lines, render_compact, render_create_table


@cache
def core() -> Catalogue:
    return load_catalogue(Path(__file__).parents[3] / "data" / "catalogues" / "vista-core")


def objects(*names: str) -> list[Object]:
    return [core().objects[name] for name in names]


def test_create_table_text_names_every_column_and_the_key() -> None:
    text = render_create_table(objects("HQUM"))
    o = core().objects["HQUM"]
    assert all(name in text for name in o.column_names)
    assert "PRIMARY KEY (UM)" in text
    assert f"-- {o.description}" in text


def test_create_table_text_is_sql_that_the_checker_reads() -> None:
    text = render_create_table(objects("APTH", "APTL"))
    assert [f for f in check(text, Catalogue([])) if f.severity == "error"] == []


def test_the_compact_form_has_one_line_a_column() -> None:
    o = core().objects["APTH"]
    lines = render_compact([o]).splitlines()
    assert lines[0] == "APTH key(APCo, Mth, APTrans): AP transaction header: one posted vendor invoice"
    assert len(lines) == 1 + len(o.columns)
    assert lines[1] == "  APCo tinyint key - AP company"


def test_joins_between_the_objects_are_whole_keys() -> None:
    assert join_lines(core(), objects("APTH", "APTL")) == [
        "JOIN APTL TO APTH ON APTL.APCo = APTH.APCo AND APTL.Mth = APTH.Mth AND APTL.APTrans = APTH.APTrans"
    ]
    assert render_compact(objects("APTH", "APTL"), catalogue=core()).endswith("APTL.APTrans = APTH.APTrans")


@pytest.mark.parametrize("budget", [200, 400, 800])
@pytest.mark.parametrize("render", [render_create_table, render_compact])
def test_columns_are_pruned_to_the_budget_but_never_keys_companies_and_groups(render, budget: int) -> None:  # type: ignore[no-untyped-def]
    chosen = objects("APTH", "APTL")
    text = render(chosen, max_tokens=budget)
    fixed = {name for o in chosen for name in (*o.business_key, *o.group_columns, o.company_column)}
    assert all(name in text for name in fixed if name)
    smallest = render(chosen, max_tokens=0)
    assert estimate_tokens(text) <= max(budget, estimate_tokens(smallest))
    assert "more columns" in text


def test_wanted_columns_are_pruned_last() -> None:
    text = render_compact(objects("APTH"), max_tokens=200, wanted={"APTH": ("PrePaidChk",)})
    assert "PrePaidChk" in text


def test_names_that_need_brackets_get_them() -> None:
    assert "[Receiver#]" in render_create_table(objects("APTL"))


def test_wanted_columns_of_all_objects_come_before_any_other_column() -> None:
    chosen = objects("APTH", "APTL")
    smallest = render_compact(chosen, max_tokens=0)
    wanted = {"APTH": ("DueDate", "InvTotal"), "APTL": ("GrossAmt",)}
    text = render_compact(chosen, max_tokens=estimate_tokens(smallest) + 48, wanted=wanted)
    added = [line.split()[0] for line in text.splitlines() if line not in smallest.splitlines() and "more columns" not in line]
    assert added == ["DueDate", "InvTotal", "GrossAmt"]


def test_only_the_given_columns_and_the_fixed_ones_are_shown() -> None:
    lines = render_compact(objects("APTH"), columns={"APTH": {"InvTotal"}}).splitlines()
    assert [line.split()[0] for line in lines[1:-1]] == ["APCo", "Mth", "APTrans", "VendorGroup", "InvTotal"]
    assert lines[-1].strip() == f"{len(core().objects['APTH'].columns) - 5} more columns"
