"""Single answers judged whole: right in another way, wrong for a stated reason, unreal names found in prose too."""

from collections import Counter
from random import Random

import pytest
import tiny_judge
import tiny_plans

from eval.failures import REMEDIES
from eval.judged import Judge
from eval.structural import best_likeness
from vgpt2.datagen.faults import FAULTS, sql_of
from vgpt2.datagen.names.real import load_names
from vgpt2.datagen.plans.plan import expectation, render_sql
from vgpt2.datagen.questions.recipes import preference_side
from vgpt2.judging import Item

pytest.importorskip("sqlglot")
NAMES = load_names(tiny_judge.CATALOGUE_FOLDER)
GOLD, TABLES, COLUMNS = tiny_judge.QUERIES["join"]
ITEM = Item("i", "sql", "g", [{"role": "user", "content": "?"}], {"tables": TABLES, "columns": COLUMNS, "sql": GOLD})


@pytest.fixture(scope="module")
def judge():
    with Judge(NAMES) as found:
        yield found


def fenced(sql: str) -> str:
    return f"```sql\n{sql}\n```"


def test_another_right_query_is_right_by_its_result(judge):
    other = (
        "WITH Bills AS (SELECT APTH.APCo, APTH.Mth, APTH.APTrans, APTH.Vendor FROM APTH WITH (NOLOCK) WHERE APTH.APCo = 1)\n"
        "SELECT APTL.GrossAmt, Bills.Vendor FROM APTL WITH (NOLOCK) JOIN Bills ON Bills.APCo = APTL.APCo AND Bills.Mth = APTL.Mth "
        "AND Bills.APTrans = APTL.APTrans WHERE APTL.APCo = 1"
    )
    found = judge(ITEM, fenced(other))
    assert (found.right, found.result, found.reason) == (True, "same", "")


@pytest.mark.parametrize(
    ("answer", "theme", "reason"),
    [
        (fenced(GOLD.replace("APTL WITH", "APTLines WITH")), "invented table", "there is no table or view 'APTLines'"),
        (fenced(GOLD.replace("GrossAmt", "GrossTotal")), "invented column", "has no column 'GrossTotal'"),
        (fenced(GOLD.replace("APTH.APCo = 1", "APTH.Co = 1")), "company column of another module", "has no column 'Co'"),
        (fenced(GOLD.replace("APTH.Vendor", "APTH.GrossAmt")), "column of another table", "has no column 'GrossAmt'"),
        (fenced(GOLD.replace("APTH.Vendor,", "apth.Vendor,")), "wrong case", "written 'APTH'"),
        (fenced(GOLD.replace("APTL WITH (NOLOCK)", "APTL")), "NOLOCK missing", "NOLOCK"),
        (fenced(GOLD.replace(" AND APTL.Mth = APTH.Mth", "")), "part of a key joined", "leaves out Mth"),
        (fenced(GOLD.replace(" WHERE APTH.APCo = 1", "")), "company filter missing", "not filtered by its company"),
        (fenced(GOLD.replace("APCo = 1", "APCo = 2")), "wrong filter", "returns"),
        (fenced(GOLD.replace("APTL.GrossAmt", "APTL.Retainage")), "wrong columns", "returns other values"),
        (fenced(GOLD.replace("SELECT", "SELECT DISTINCT")), "wrong grouping", "rows, not"),
        (fenced("SELECT FROM"), "does not parse", ""),
        ("APTL has no such amount; APTH.Gross does not exist.", "abstained without need", "holds no SQL"),
        ("I would join the two.", "no SQL", "holds no SQL"),
        ("", "collapse", "holds no SQL"),
        (fenced(GOLD.replace("SELECT APTH.", "SELECT APVM.")), "qualifier out of scope", "no table called 'APVM' is in scope"),
    ],
)
def test_a_wrong_answer_has_a_reason_and_a_theme(judge, answer, theme, reason):
    found = judge(ITEM, answer)
    assert not found.right
    assert (found.theme, reason in found.reason) == (theme, True), found.reason
    assert theme in REMEDIES


def test_accepted_alternatives_count_as_gold(judge):
    other = "SELECT APTL.GrossAmt FROM APTL WITH (NOLOCK) WHERE APTL.APCo = 1"
    accepts = [{"tables": ["APTL"], "columns": ["APTL.GrossAmt"], "sql": other}]
    lenient = Item("i", "sql", "g", ITEM.messages, {**ITEM.expect, "accepts": accepts})
    assert not judge(ITEM, fenced(other)).right
    found = judge(lenient, fenced(other))
    assert found.right
    assert found.passed["fitting"]
    assert found.passed["structure"]


def test_columns_beside_gold_s_are_right_where_the_suite_leaves_them_open(judge):
    wider = fenced(GOLD.replace("SELECT", "SELECT APTH.APRef,"))
    open_item = Item("i", "sql", "g", ITEM.messages, {**ITEM.expect, "more_columns": True})
    assert not judge(ITEM, wider).right
    found = judge(open_item, wider)
    assert found.right
    assert found.passed["structure"]


def test_a_second_block_with_another_result_spoils_the_answer(judge):
    assert judge(ITEM, f"{fenced(GOLD)}\nThe same again:\n{fenced(GOLD)}").right
    assert not judge(ITEM, f"{fenced(GOLD)}\nOr:\n{fenced(GOLD.replace('APCo = 1', 'APCo = 2'))}").right


def test_prose_that_names_what_is_not_there_is_a_hallucination(judge):
    assert judge(ITEM, f"APTH joins APTL.\n{fenced(GOLD)}").unreal == []
    assert judge(ITEM, f"The vendor is in APVendorMaster.\n{fenced(GOLD)}").unreal == ["APVendorMaster"]
    assert judge(ITEM, "APTX does not exist; use APTH.").unreal == []


def test_without_an_engine_structure_decides(judge):
    with Judge(NAMES, executes=False) as blind:
        assert not blind.executes
        found = blind(ITEM, fenced(GOLD))
        assert (found.right, found.result) == (True, None)
        assert "result" not in found.passed
        wrong = blind(ITEM, fenced(GOLD.replace("APCo = 1", "APCo = 2")))
        assert (wrong.right, wrong.reason, wrong.theme) == (False, "another structure than gold's", "wrong filter")


def test_what_cannot_be_run_is_right_only_by_its_structure(judge):
    found = judge(ITEM, fenced(GOLD.replace("SELECT", "SELECT TOP 5 PERCENT")))
    assert found.result == "not executed"
    assert found.passed["result"] is False


@pytest.mark.parametrize(
    ("expect", "answer", "right"),
    [
        ({"why": "absent"}, "The weather is not stored in this database.", True),
        ({"why": "absent"}, "There is no table WeatherLog.", True),
        ({"why": "absent"}, fenced(GOLD), False),
        ({"why": "absent"}, f"That is not in the schema, but here:\n{fenced(GOLD)}", False),
        ({"why": "absent"}, "Sure, ask the site office.", False),
        ({"why": "ambiguous", "candidates": ["APTH", "ARTH"]}, "Do you mean APTH or ARTH?", True),
        ({"why": "ambiguous", "candidates": ["APTH", "ARTH"]}, "Which one?", False),
        ({"why": "ambiguous", "candidates": ["APTH", "ARTH"]}, "APTH and ARTH hold it.", False),
    ],
)
def test_what_cannot_be_answered_is_abstained_from(judge, expect, answer, right):
    found = judge(Item("a", "abstain", "g", ITEM.messages, expect), answer)
    assert (found.right, found.answerable) == (right, False)
    assert right == (found.theme == "")


def test_every_kind_of_fault_makes_an_answer_wrong(judge):
    """Gold answers of every form are right; of each kind of fault in them nearly all are caught, most by the checker."""
    side, missed, caught = preference_side(NAMES), Counter(), Counter()
    plans = [(seed, query) for seed in range(24) if (query := tiny_plans.plan(side, Random(f"plan/{seed}")))]
    for seed, query in plans:
        gold = expectation(query)
        item = Item(str(seed), "sql", "g", ITEM.messages, {**gold, "tables": sorted(set(gold["tables"]) & set(NAMES.catalogue.objects))})
        assert judge(item, fenced(render_sql(query))).right, render_sql(query)
        for fault in FAULTS.values():
            broken = fault.apply(query, side, Random(f"{fault.name}/{seed}"))
            if broken is not None:
                (missed if judge(item, fenced(sql_of(broken))).right else caught)[fault.name] += 1
    assert len(caught) > 40
    assert sum(missed.values()) <= 0.02 * sum(caught.values()), missed
    assert not {name for name in missed if not FAULTS[name].is_semantic}, missed


def test_structures_are_compared_part_by_part():
    other = GOLD.replace("APCo = 1", "APCo = 2").replace("APTL.GrossAmt", "APTL.Retainage")
    found = best_likeness([GOLD], [other], NAMES.catalogue)
    assert [part for part, same in found.equal.items() if not same] == ["filters", "columns"]
    # tables 2, join pairs 3, filters 2 (the company of both tables), columns 2; of these the filters and one column are missing
    assert (found.present, found.wanted) == (6, 9)
    assert best_likeness([other, GOLD], [GOLD], NAMES.catalogue).is_whole
    assert not best_likeness([GOLD], [GOLD, other], NAMES.catalogue).is_whole
    assert best_likeness([], [GOLD], NAMES.catalogue) is None
