"""Two queries compared by what they return: equal ones match, every fault that changes the meaning is seen, nothing foreign gets out."""

import json
import os
from collections import Counter, defaultdict
from pathlib import Path
from random import Random

import pytest
import tiny_plans
from tiny_judge import CATALOGUE_FOLDER

from eval.execution import match
from eval.execution.match import Execution, Runner
from vgpt2.datagen.faults import FAULTS, sql_of
from vgpt2.datagen.names.real import load_names
from vgpt2.datagen.plans.plan import render_sql
from vgpt2.datagen.questions.recipes import preference_side
from vgpt2.judging import BROKEN_SQL

pytest.importorskip("sqlglot")
SUITES = Path(match.__file__).parents[1] / "suites"
# a hint, an alias and the table behind a view leave the result as it is; DISTINCT on rows that a key makes single does, too
LEAVE_THE_RESULT = {"missing_nolock", "alias", "base_table"}


@pytest.fixture(scope="module")
def names():
    return load_names(CATALOGUE_FOLDER)


@pytest.fixture(scope="module")
def runner(names):
    with Runner(names.catalogue) as found:
        yield found


GOLD = (
    "SELECT APTH.Mth, APTL.GrossAmt FROM APTH WITH (NOLOCK) JOIN APTL WITH (NOLOCK) ON APTL.APCo = APTH.APCo AND APTL.Mth = APTH.Mth "
    "AND APTL.APTrans = APTH.APTrans WHERE APTH.APCo = 1 AND APTH.InvDate >= '20250501' AND APTH.InvDate < '20250601'"
)


@pytest.mark.parametrize(
    "same",
    [
        GOLD.replace("APTL.APCo = APTH.APCo", "APTH.APCo = APTL.APCo").replace(" WITH (NOLOCK)", ""),
        GOLD.replace("SELECT APTH.Mth, APTL.GrossAmt", "SELECT APTL.GrossAmt AS Amount, APTH.Mth AS [The Month]"),
        GOLD.replace("FROM APTH", "FROM APTL").replace("JOIN APTL", "JOIN APTH"),
        GOLD.replace(">= '20250501' AND APTH.InvDate < '20250601'", "BETWEEN '2025-05-01' AND '2025-05-31'"),
        GOLD.replace("APTH.InvDate >= '20250501' AND APTH.InvDate < '20250601'", "YEAR(APTH.InvDate) = 2025 AND MONTH(APTH.InvDate) = 5"),
        GOLD.replace("'20250601'", "DATEADD(month, 1, '20250501')"),
        GOLD.replace("APTH.APCo = 1", "1 = APTL.APCo"),
        GOLD.replace("APTH.APCo = 1", "APTH.APCo IN (1)").replace("SELECT", "SELECT ALL"),
        GOLD.replace("APTH.APCo = 1", "APTH.APCo = @Co"),  # a variable stands for 1 beside a number
        "DECLARE @From date = '2025-05-01'; " + GOLD.replace("'20250501'", "@From"),
        f"SELECT X.Mth, X.GrossAmt FROM ({GOLD}) X",
        f"WITH X AS ({GOLD}) SELECT * FROM X",
        "SELECT APTH.Mth, APTL.GrossAmt FROM APTH, APTL WHERE APTL.APCo = APTH.APCo AND APTL.Mth = APTH.Mth "
        "AND APTL.APTrans = APTH.APTrans AND APTH.APCo = 1 AND CONVERT(varchar(6), APTH.InvDate, 112) = '202505'",
    ],
)
def test_another_way_to_ask_the_same_matches(runner, same):
    assert runner.match(GOLD, same).verdict == "same"


@pytest.mark.parametrize(
    ("other", "reason"),
    [
        (GOLD.replace(" AND APTL.Mth = APTH.Mth", ""), "rows, not"),
        (GOLD.replace("APTH.APCo = 1 AND ", ""), "rows, not"),
        (GOLD.replace(">= '20250501'", "> '20250501'"), "rows, not"),
        (GOLD.replace("InvDate", "DueDate"), "rows, not"),
        (GOLD.replace("APTL.GrossAmt", "APTL.Retainage"), "returns other values"),
        (GOLD.replace("SELECT APTH.Mth, ", "SELECT "), "returns 1 columns, not 2"),
        (GOLD.replace("SELECT", "SELECT APTH.APRef,"), "returns 3 columns, not 2"),
        (GOLD.replace("SELECT", "SELECT DISTINCT TOP 2"), "rows, not"),
    ],
)
def test_another_question_does_not_match(runner, other, reason):
    found = runner.match(GOLD, other)
    assert found.verdict == "different"
    assert reason in found.reason


def test_more_columns_than_gold_s_match_where_the_question_leaves_them_open(runner):
    wider = GOLD.replace("SELECT", "SELECT APTH.APRef, APTL.APLine,")
    assert runner.match(GOLD, wider).verdict == "different"
    assert runner.match(GOLD, wider, more_columns=True).verdict == "same"
    assert runner.match(wider, GOLD, more_columns=True).verdict == "different"
    assert runner.match(GOLD, wider.replace("APCo = 1", "APCo = 2"), more_columns=True).verdict == "different"


def test_order_counts_only_where_gold_is_ordered_and_ties_may_change_places(runner):
    assert runner.match(GOLD, GOLD + " ORDER BY APTL.GrossAmt").verdict == "same"
    by_amount = GOLD + " ORDER BY APTL.GrossAmt DESC"
    assert runner.match(by_amount, GOLD).reason == "returns the rows in another order"
    assert runner.match(by_amount, GOLD + " ORDER BY 2 DESC").verdict == "same"
    by_month = GOLD + " ORDER BY APTH.Mth"  # many rows a month
    assert runner.match(by_month, GOLD + " ORDER BY APTH.Mth, APTL.GrossAmt").verdict == "same"
    assert runner.match(by_month, GOLD + " ORDER BY APTL.GrossAmt, APTH.Mth").verdict == "different"


def test_sort_columns_that_are_not_shown_are_not_compared(runner):
    by_hidden = GOLD + " ORDER BY APTH.APRef, APTH.APTrans"
    assert runner.match(by_hidden, by_hidden).verdict == "same"
    assert runner.match(by_hidden, GOLD + " ORDER BY APTH.APTrans, APTH.APRef").verdict == "different"


@pytest.mark.parametrize(
    ("sql", "reason"),
    [
        ("SELECT X.Mth, X.GrossAmt FROM APTH CROSS APPLY (SELECT 1 AS GrossAmt, APTH.Mth) X", "APPLY"),
        (GOLD.replace("SELECT", "SELECT TOP 10 PERCENT"), "PERCENT"),
        (GOLD + " FOR XML AUTO", "FOR XML"),
        ("SELECT APTH.Mth, SUM(APTH.InvTotal) FROM APTH GROUP BY ROLLUP(APTH.Mth)", "ROLLUP"),
        ("DELETE FROM APTH", "is no query"),
        ("SELECT NOW(), 1 FROM APTH", "no such function"),
        ("((((", ""),
        ("SELECT " + "(" * 500 + "1" + ")" * 500 + ", 2 FROM APTH", ""),
        ("", ""),
    ],
)
def test_what_cannot_be_run_is_said_and_never_passes(runner, sql, reason):
    found = runner.match(GOLD, sql)
    assert found.verdict == "not executed"
    assert found.matches is None
    assert reason in found.reason
    assert runner.match(GOLD, GOLD).verdict == "same"  # the child lives on, or another has taken its place


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH DATABASE '/tmp/judge-was-here.db' AS x",
        "PRAGMA query_only = OFF",
        "SELECT load_extension('/tmp/x.so'), 1 FROM APTH",
        "SELECT 1, 2 INTO OUTFILE FROM APTH",
        "SELECT sqlite_version(), writefile('/tmp/judge-was-here', 'x') FROM APTH",
        "INSERT INTO APTH (APCo) SELECT 9 FROM APTH",
        "DROP TABLE APTH",
        "SELECT name, sql FROM sqlite_master",
    ],
)
def test_a_foreign_query_can_only_read_the_rows(runner, sql):
    assert runner.match(GOLD, sql).verdict in ("not executed", "different")
    assert not os.path.exists("/tmp/judge-was-here")
    assert not os.path.exists("/tmp/judge-was-here.db")
    assert runner.match(GOLD, GOLD).verdict == "same"


def test_a_query_without_end_is_a_verdict_within_seconds(runner):
    endless = "WITH N AS (SELECT 1 AS A, 2 AS B UNION ALL SELECT N.A + 1, N.B FROM N) SELECT COUNT(*) AS C, MAX(N.A) AS D FROM N"
    assert runner.match(GOLD, endless) == Execution("timeout", "takes longer than 2 s")
    many = "SELECT A.Mth, B.GrossAmt FROM APTH A, APTL B, APTH C, APTL D, APTH E"
    assert runner.match(GOLD, many).reason == "returns more than 5,000 rows"


def test_a_child_that_hangs_is_ended_and_another_one_takes_its_place(names, monkeypatch):
    monkeypatch.setattr(match, "ANSWER_LIMIT_S", 0.0)
    with Runner(names.catalogue) as runner:
        assert runner.match(GOLD, GOLD).verdict == "timeout"
        monkeypatch.setattr(match, "ANSWER_LIMIT_S", 60.0)
        assert runner.match(GOLD, GOLD).verdict == "same"


def test_alternatives_that_a_suite_accepts_run_as_its_gold_does(runner):
    ran = 0
    for line in (SUITES / "hard.jsonl").read_text("utf-8").splitlines():
        for accepted in json.loads(line)["expect"].get("accepts", ())[:1]:
            found = runner.match(accepted["sql"], accepted["sql"])
            assert found.verdict == "same", (found, accepted["sql"])
            ran += 1
    assert ran >= 30


def test_faults_of_every_kind_change_the_result(names, runner):
    """Where a fault can be run at all, 95 of 100 show on some set of rows; kinds that leave the result as it is never do."""
    side, counts = preference_side(names), defaultdict(Counter)
    plans = [(seed, query) for seed in range(60) if (query := tiny_plans.plan(side, Random(f"plan/{seed}")))]
    for seed, query in plans:
        gold = render_sql(query)
        assert runner.match(gold, gold).verdict == "same", gold
        for fault in FAULTS.values():
            broken = None if BROKEN_SQL & set(fault.codes) else fault.apply(query, side, Random(f"{fault.name}/{seed}"))
            if broken is not None:
                counts[fault.name][runner.match(gold, sql_of(broken)).verdict] += 1
    assert counts.keys() >= LEAVE_THE_RESULT
    for name in LEAVE_THE_RESULT:
        assert set(counts[name]) == {"same"}
    changing = {name: found for name, found in counts.items() if name not in LEAVE_THE_RESULT}
    shown = sum(found["different"] + found["timeout"] for found in changing.values())
    ran = sum(found.total() - found["not executed"] for found in changing.values())
    print(f"faults seen in the result: {shown} of {ran}, of {len(changing)} kinds")
    assert ran > 150
    assert shown >= 0.97 * ran
    for name, found in changing.items():
        assert found["same"] <= max(1, 0.05 * found.total()) or name == "dropped_distinct", (name, found)
