"""Each fault is applied to plans of every form and looked for by the checker, which knows nothing of faults."""

from collections import Counter, defaultdict
from dataclasses import replace
from functools import partial
from random import Random

import pytest
import tiny_plans

from vgpt2.datagen.faults import ACCEPTS_FAKE, FAULTS, REFUSES_REAL, sql_of, wrong_verdict
from vgpt2.datagen.language.phrasings import TRAINING
from vgpt2.datagen.plans.plan import (
    ColumnRef,
    Cte,
    Exists,
    Filter,
    Having,
    Join,
    Order,
    Output,
    Query,
    Source,
    Window,
    render_sql,
)
from vgpt2.datagen.queries.asks import as_query
from vgpt2.datagen.queries.compose import KINDS
from vgpt2.datagen.queries.draft import Draft
from vgpt2.datagen.queries.lexicon import Lexicon
from vgpt2.datagen.questions.existence import memory_chat
from vgpt2.datagen.questions.question import Slot
from vgpt2.datagen.questions.recipes import preference_side
from vgpt2.sql.checker import check
from vgpt2.sql.extract import claims

COMPANY_ONLY = {"company_by_another_name", "missing_company_filter", "company_of_a_shared_master", "company_for_group"}


def plans(side, n, seed="plan"):
    """Plans of forms made by hand, and as many as the questions for SQL are composed of."""
    lexicon = Lexicon(side)
    draws = (partial(tiny_plans.plan, side), partial(composed, lexicon))
    drawn = (draw(Random(f"{seed}/{number}")) for number in range(n // 2) for draw in draws)
    return [query for query in drawn if query]


def composed(lexicon, rng):
    draw, _ = rng.choice(list(KINDS.values()))
    ask = draw(Draft(lexicon, lexicon.table(rng.choice(lexicon.names)), rng, by_name=rng.random() < 0.5))
    return as_query(ask) if ask else None


def codes(sql, names, severity):
    return tuple(sorted(f.code for f in check(sql, names.catalogue) if f.severity == severity))


def applied(names, n, seed="plan"):
    """Every fault on every plan that offers a place for it: (fault, right plan, broken plan or SQL)."""
    side = preference_side(names)
    for number, query in enumerate(plans(side, n, seed)):
        for fault in FAULTS.values():
            broken = fault.apply(query, side, Random(f"{fault.name}/{number}"))
            if broken is not None:
                yield fault, query, broken


@pytest.fixture(scope="module")
def broken(core):
    return list(applied(core, 200))


def test_the_right_plans_are_without_finding(core):
    for query in plans(preference_side(core), 100):
        assert check(render_sql(query), core.catalogue) == []


def test_a_fault_makes_exactly_the_defect_it_is_named_for(core, broken):
    counts = Counter()
    for fault, _, wrong in broken:
        counts[fault.name] += 1
        found = {"error": [], "warning": []}
        for finding in check(sql_of(wrong), core.catalogue):
            found[finding.severity].append(finding.code)
        assert sorted(found["error"]) == list(fault.codes), f"{fault.name}\n{sql_of(wrong)}"
        assert sorted(found["warning"]) == list(fault.warnings), f"{fault.name}\n{sql_of(wrong)}"
    assert set(counts) == set(FAULTS)


@pytest.mark.slow
def test_over_a_thousand_further_plans_no_fault_is_ever_another(core):
    for fault, _, wrong in applied(core, 1_200, "further"):
        found = sorted(f.code for f in check(sql_of(wrong), core.catalogue))
        assert found == sorted(fault.codes + fault.warnings), f"{fault.name}\n{sql_of(wrong)}"


def test_a_fault_always_changes_the_sql_and_a_semantic_one_the_plan(broken):
    for fault, right, wrong in broken:
        assert sql_of(wrong) != render_sql(right), fault.name
        if fault.is_semantic:
            assert isinstance(wrong, Query), fault.name
            assert replace(wrong, source=right.source) != right or wrong.source.table != right.source.table


def test_one_fault_changes_one_part_of_the_plan(broken):
    """Of the places a plan has, only those differ that the fault is about; a renamed table is named in several."""
    places = defaultdict(set)
    for fault, right, wrong in broken:
        if isinstance(wrong, Query) and not (right.ctes or right.exists):
            changed = {name for name in vars(right) if getattr(right, name) != getattr(wrong, name)}
            places[fault.name].add(frozenset(changed))
    for name in ("dropped_filter", "other_month", "wrong_boundary", "other_way_round", "other_flag", "other_code", "wrong_date_column"):
        assert places[name] == {frozenset({"filters"})}, name
    for name in ("incomplete_join", "invented_key", "surrogate_key", "wrong_key_column", "inner_for_left", "left_for_inner", "fan_out"):
        assert places[name] == {frozenset({"joins"})}, name
    for name in ("wrong_attribute", "other_aggregate", "same_name_of_the_other_side", "invented_column", "column_of_another_table"):
        assert places[name] == {frozenset({"outputs"})}, name
    assert places["wrong_group"] == {frozenset({"outputs", "group_by"})}


def test_a_fault_leaves_the_right_plan_as_it_was_and_is_the_same_for_the_same_seed(core):
    side = preference_side(core)
    for number, query in enumerate(plans(side, 60)):
        before = render_sql(query)
        for fault in FAULTS.values():
            first, again = (fault.apply(query, side, Random(number)) for _ in range(2))
            assert first == again
        assert render_sql(query) == before


def test_a_database_without_companies_has_the_faults_that_it_can_have(shop):
    counts = Counter()
    for fault, _, wrong in applied(shop, 120):
        counts[fault.name] += 1
        assert codes(sql_of(wrong), shop, "error") == fault.codes, f"{fault.name}\n{sql_of(wrong)}"
    assert not set(counts) & COMPANY_ONLY
    assert len(counts) > 30


def test_every_fault_says_in_a_line_what_it_teaches_and_how_it_is_found():
    assert len(FAULTS) >= 20
    for fault in FAULTS.values():
        assert 10 < len(fault.teaches) <= 110
        assert fault.codes == tuple(sorted(fault.codes))
        assert (fault.found_by == "semantic") == fault.is_semantic
    assert 10 <= sum(fault.is_semantic for fault in FAULTS.values()) < len(FAULTS) - 20


APCO = Filter(ColumnRef("APTH", "APCo"), "=", "1")
KEY = tuple((ColumnRef("APTL", c), ColumnRef("APTH", c)) for c in ("APCo", "Mth", "APTrans"))
REF, TOTAL, GROSS = ColumnRef("APTH", "APRef"), ColumnRef("APTH", "InvTotal"), ColumnRef("APTL", "GrossAmt")
HEADERS = Query(Source("APTH"), (Output(REF),), (APCO, Filter(ColumnRef("APTH", "InvDate"), ">=", "'20240131'")))
VENDORS = tuple((ColumnRef("APTH", c), ColumnRef("APVM", c)) for c in ("VendorGroup", "Vendor"))
LINES = Query(Source("APTH"), (Output(REF), Output(GROSS, "SUM", "Total")), (APCO,), (Join(Source("APTL"), KEY),), (REF,))
TOP = replace(HEADERS, top=5, order_by=(Order(TOTAL, True),))
TESTED = replace(HEADERS, exists=(Exists(Query(Source("APTL"), ()), KEY, negated=True),))
RUNNING = Output(TOTAL, "SUM", "Running", Window((ColumnRef("APTH", "Vendor"),), (Order(ColumnRef("APTH", "InvDate")),)))
BY_HAND = {
    "base_table": (HEADERS, "FROM bAPTH WITH (NOLOCK)\nWHERE bAPTH.APCo = 1"),
    "missing_company_filter": (HEADERS, "FROM APTH WITH (NOLOCK)\nWHERE APTH.InvDate >= '20240131'"),
    "missing_nolock": (HEADERS, "FROM APTH\n"),
    "limit_clause": (
        TOP,
        "SELECT APTH.APRef\nFROM APTH WITH (NOLOCK)\nWHERE APTH.APCo = 1 AND APTH.InvDate >= '20240131'\n"
        "ORDER BY APTH.InvTotal DESC\nLIMIT 5",
    ),
    "nulls_last": (TOP, "ORDER BY APTH.InvTotal DESC NULLS LAST"),
    "backticks": (HEADERS, "SELECT APTH.`APRef`\n"),
    "trailing_comma": (HEADERS, "SELECT APTH.APRef,\nFROM APTH"),
    "table_in_other_case": (HEADERS, "SELECT apth.APRef\nFROM apth WITH (NOLOCK)\nWHERE apth.APCo = 1"),
    "column_in_other_case": (HEADERS, "SELECT APTH.apref\n"),
    "date_literal": (HEADERS, ">= DATE '2024-01-31'"),
    "double_colon_cast": (HEADERS, ">= '2024-01-31'::date"),
    "double_equals": (HEADERS, "APTH.APCo == 1"),
    "wrong_boundary": (HEADERS, "APTH.InvDate > '20240131'"),
    "wrong_end": (TOP, "ORDER BY APTH.InvTotal\n"),
    "dropped_top": (TOP, "SELECT APTH.APRef\n"),
    "lost_negation": (TESTED, "AND EXISTS (\n"),
    "dropped_test": (TESTED, "WHERE APTH.APCo = 1 AND APTH.InvDate >= '20240131'\n"),
    "dropped_distinct": (replace(HEADERS, distinct=True), "SELECT APTH.APRef\n"),
    "no_group_by": (LINES, "WHERE APTH.APCo = 1\n"),
    "dropped_filter": (HEADERS, "WHERE APTH.APCo = 1\n"),
    "inner_for_left": (replace(LINES, joins=(replace(LINES.joins[0], kind="LEFT JOIN"),)), "\nJOIN APTL WITH (NOLOCK) ON"),
    "left_for_inner": (LINES, "\nLEFT JOIN APTL WITH (NOLOCK) ON"),
    "surrogate_key": (LINES, "JOIN APTL WITH (NOLOCK) ON APTL.KeyID = APTH.KeyID\n"),
    "dropped_partition": (replace(HEADERS, outputs=(RUNNING,)), "SUM(APTH.InvTotal) OVER (ORDER BY APTH.InvDate ROWS UNBOUNDED PRECEDING)"),
    "dropped_having": (replace(LINES, having=(Having("SUM", GROSS, ">", "9"),)), "GROUP BY APTH.APRef\n"),
    "aggregate_in_where": (
        replace(LINES, having=(Having("SUM", GROSS, ">", "9"),)),
        "WHERE APTH.APCo = 1 AND SUM(APTL.GrossAmt) > 9\nGROUP BY APTH.APRef\n",
    ),
}


@pytest.mark.parametrize("name", BY_HAND)
def test_what_a_fault_writes_is_what_a_hand_would(core, name):
    right, expected = BY_HAND[name]
    wrong = sql_of(FAULTS[name].apply(right, preference_side(core), Random(0))) + "\n"
    assert expected in wrong


def test_the_wrong_group_is_the_company_or_another_group_of_the_referring_table(core):
    right = replace(HEADERS, joins=(Join(Source("APVM"), VENDORS),))
    wrong = FAULTS["company_for_group"].apply(right, preference_side(core), Random(0))
    assert wrong.joins[0].on[1] == VENDORS[1]
    (ours, theirs) = wrong.joins[0].on[0]
    assert (ours.table, str(theirs)) == ("APTH", "APVM.VendorGroup")
    assert ours.column == "APCo" or ours.column.endswith("Group")
    assert ours.column != "VendorGroup"


def test_an_alias_stands_for_its_table_everywhere(core):
    for right in (HEADERS, LINES, TESTED, Query(Source("Sums", False), (Output(ColumnRef("Sums", "APRef")),), ctes=(Cte("Sums", LINES),))):
        for seed in range(6):
            wrong = FAULTS["alias"].apply(right, preference_side(core), Random(seed))
            assert [f.code for f in check(wrong, core.catalogue)] == ["alias"], wrong


def test_the_fan_out_joins_lines_that_the_answer_does_not_show(core):
    right = Query(Source("APTH"), (Output(TOTAL, "SUM", "Total"),), (APCO,))
    wrong = FAULTS["fan_out"].apply(right, preference_side(core), Random(3))
    assert wrong.outputs == right.outputs
    (join,) = wrong.joins
    keys = {key.from_object for key in core.catalogue.children("APTH")}
    assert join.source.table in keys
    assert {theirs.column for _, theirs in join.on} == {"APCo", "Mth", "APTrans"}


def test_a_column_of_a_cte_keeps_the_name_under_which_it_is_known_outside(core):
    right = Query(Source("Sums", nolock=False), (Output(ColumnRef("Sums", "APRef")),), ctes=(Cte("Sums", LINES),))
    for seed in range(8):
        wrong = FAULTS["wrong_attribute"].apply(right, preference_side(core), Random(seed))
        if wrong is not None:
            assert check(render_sql(wrong), core.catalogue) == []


@pytest.mark.parametrize(("real", "fault", "claim"), [(True, REFUSES_REAL, "not_exists"), (False, ACCEPTS_FAKE, "exists")])
def test_a_wrong_verdict_says_the_opposite_of_the_same_name_in_like_length(core, real, fault, claim):
    for seed in range(30):
        (question,) = memory_chat(preference_side(core), [Slot("exists_memory", TRAINING["exists_memory"][0], real)], (), Random(seed))
        name, answer = wrong_verdict(question)
        assert name == fault
        assert (claim, question.subject.name) in {(c.kind, c.name) for c in claims(answer)}
        assert 0.4 < len(answer) / len(question.answer) < 2.5
