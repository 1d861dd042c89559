"""Synthetic rows: keys single, foreign keys obeyed, types kept, the asked values there and their neighbours too."""

import pytest
import tiny_judge

from eval.execution.demands import Limit, Slot, demands
from eval.execution.limits import allowed, holds, refused
from eval.execution.rows import make_rows, needed_columns
from eval.execution.values import as_date, kind_of

CATALOGUE = tiny_judge.catalogue()
CASES = {
    "lines": tiny_judge.QUERIES["join"][0],
    "renamed keys": "SELECT PMSL.SL FROM PMSL WITH (NOLOCK) JOIN JCJM WITH (NOLOCK) ON JCJM.JCCo = PMSL.PMCo AND JCJM.Job = PMSL.Project "
    "WHERE PMSL.PMCo = 7",
    "three levels": "SELECT APTD.Amount FROM APTH JOIN APTL ON APTL.APCo = APTH.APCo AND APTL.Mth = APTH.Mth "
    "AND APTL.APTrans = APTH.APTrans JOIN APTD ON APTD.APCo = APTL.APCo AND APTD.Mth = APTL.Mth "
    "AND APTD.APTrans = APTL.APTrans AND APTD.APLine = APTL.APLine "
    "JOIN APVM ON APVM.VendorGroup = APTH.VendorGroup AND APVM.Vendor = APTH.Vendor WHERE APTH.APCo = 3 AND APVM.Name LIKE 'A%'",
}


def rows_for(sql, seed=0):
    wanted = demands(sql, CATALOGUE)
    tables = list(dict.fromkeys(wanted.tables))
    columns = needed_columns(CATALOGUE, tables, {"*"})
    return tables, make_rows(CATALOGUE, columns, wanted, seed=seed)


@pytest.mark.parametrize("sql", CASES.values(), ids=CASES)
def test_rows_obey_primary_and_foreign_keys_and_types(sql):
    for seed in range(3):
        tables, rows = rows_for(sql, seed)
        for table in tables:
            o = CATALOGUE.objects[table]
            assert rows[table], table
            keys = [tuple(row[name] for name in o.business_key) for row in rows[table]]
            assert len(set(keys)) == len(keys), table
            for row in rows[table]:
                for column in o.columns:
                    value = row[column.name]
                    assert value is not None or column.nullable, (table, column.name)
                    kinds = {"integer": int, "number": (int, float), "text": str, "date": str}
                    assert value is None or isinstance(value, kinds[kind_of(column.type)]), (table, column.name, value)
                    assert kind_of(column.type) != "date" or value is None or as_date(value) == value
            for parent in tables:
                for key in CATALOGUE.joins(table, parent):
                    if table == parent or key.from_object != table:
                        continue
                    known = {tuple(row[name] for name in key.to_columns) for row in rows[parent]}
                    for row in rows[table]:
                        held = tuple(row[name] for name in key.from_columns)
                        assert None in held or held in known, (key, held)


def test_the_same_seed_makes_the_same_rows_and_another_one_others():
    sql = CASES["lines"]
    assert rows_for(sql, 1) == rows_for(sql, 1)
    assert rows_for(sql, 1) != rows_for(sql, 2)


def test_what_a_query_asks_for_is_read_through_ctes_functions_and_sub_queries():
    sql = (
        "WITH Late AS (SELECT APTH.APCo AS Company, APTH.DueDate, APTH.Vendor FROM APTH WHERE ISNULL(APTH.OpenYN, 'N') = 'Y') "
        "SELECT TOP 5 Late.Vendor FROM Late WHERE Late.Company = 4 AND DATEDIFF(day, Late.DueDate, GETDATE()) > 30 AND NOT EXISTS "
        "(SELECT 1 FROM APVM WHERE APVM.Vendor = Late.Vendor AND APVM.ActiveYN <> 'Y')"
    )
    found = demands(sql, CATALOGUE)
    place = {table: found.tables.index(table) for table in ("APTH", "APVM")}
    assert found.limits[Slot(place["APTH"], "APCo")] == [Limit("=", (4,))]
    assert found.limits[Slot(place["APTH"], "OpenYN")] == [Limit("=", ("Y",))]
    assert found.limits[Slot(place["APTH"], "DueDate")] == [Limit("<", ("2025-05-16 00:00:00",))]  # 15 June less 30 days
    assert found.limits[Slot(place["APVM"], "ActiveYN")] == [Limit("<>", ("Y",))]
    assert set(found.links[0]) == {Slot(place["APTH"], "Vendor"), Slot(place["APVM"], "Vendor")}
    assert found.absent == {place["APVM"]}
    assert found.rows == 5


@pytest.mark.parametrize(
    ("limits", "kind", "inside", "outside"),
    [
        ([Limit("=", (3,))], "integer", 3, 4),
        ([Limit(">=", (3,)), Limit("<", (5,))], "integer", 3, 5),
        ([Limit(">", (3,))], "integer", 4, 3),
        ([Limit("<=", ("2025-05-31 00:00:00",))], "date", "2025-05-31 00:00:00", "2025-06-01 00:00:00"),
        ([Limit("IN", ("A", "B"))], "text", "A", "A~"),
        ([Limit("NOT IN", (1, 2))], "integer", 3, 1),
        ([Limit("LIKE", ("A[bc]%",))], "text", "Abab", "X"),
        ([Limit("NULL")], "text", None, "X"),
        ([Limit("NOT NULL")], "text", "X", None),
        ([Limit("YEAR", (2024,))], "date", "2024-03-01 00:00:00", "2025-01-01 00:00:00"),
        ([Limit("MONTH", (4,))], "date", "2025-04-01 00:00:00", None),
    ],
)
def test_values_on_both_sides_of_a_condition(limits, kind, inside, outside):
    pool = ["X"] if kind == "text" else [None]
    fitting, broken = allowed(limits, pool, kind), refused(limits, pool, kind)
    assert inside in fitting
    assert outside in broken
    assert all(holds(limit, value) for limit in limits for value in fitting)
    assert not any(all(holds(limit, value) for limit in limits) for value in broken)
