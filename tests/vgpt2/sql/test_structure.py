"""The structure of a text: the same for texts that mean the same, and other where the meaning is another."""

from pathlib import Path

import pytest
import yaml

from vgpt2.sql.binding import TooMuchWork
from vgpt2.sql.catalogue import Catalogue, load_catalogue
from vgpt2.sql.structure import Structure, as_data, structure

SUITES = Path(__file__).parents[3] / "eval" / "suites"


@pytest.fixture(scope="module")
def core() -> Catalogue:
    return load_catalogue(Path(__file__).parents[3] / "data/catalogues/vista-core")


LINES = (
    "SELECT APTH.Vendor, SUM(APTL.GrossAmt) AS Total FROM APTH WITH (NOLOCK) JOIN APTL WITH (NOLOCK) "
    "ON APTL.APCo = APTH.APCo AND APTL.Mth = APTH.Mth AND APTL.APTrans = APTH.APTrans "
    "WHERE APTH.APCo = 1 AND APTH.InvDate >= '20240301' GROUP BY APTH.Vendor"
)


def test_each_set_of_a_join_by_hand(core):
    assert structure(LINES, core) == Structure(
        tables=frozenset({"APTH", "APTL"}),
        columns=frozenset({"APTH.Vendor", "APTL.GrossAmt"}),
        joins=frozenset({("APTH.APCo", "APTL.APCo"), ("APTH.Mth", "APTL.Mth"), ("APTH.APTrans", "APTL.APTrans")}),
        filters=frozenset({("APTH.APCo", "=", "1"), ("APTL.APCo", "=", "1"), ("APTH.InvDate", ">=", "'20240301'")}),
        group_by=frozenset({"APTH.Vendor"}),
        aggregates=frozenset({("SUM", "APTL.GrossAmt")}),
    )


SAME = {
    "aliases, order of tables and conditions, the side of the filter": (
        "select h.Vendor, sum(l.GrossAmt) from APTL l (nolock), APTH h where '2024-03-01' <= h.InvDate and l.APCo = 1 "
        "and h.APTrans = l.APTrans and h.Mth = l.Mth and h.APCo = l.APCo group by h.Vendor"
    ),
    "a CTE with other names": (
        "WITH Lines (Company, Period, Number, Money) AS (SELECT APTL.APCo, APTL.Mth, APTL.APTrans, APTL.GrossAmt FROM APTL "
        "WHERE APTL.APCo = 1) SELECT APTH.Vendor, SUM(Lines.Money) FROM APTH JOIN Lines ON Lines.Company = APTH.APCo "
        "AND Lines.Period = APTH.Mth AND Lines.Number = APTH.APTrans WHERE APTH.InvDate >= '3/1/2024' GROUP BY APTH.Vendor"
    ),
    "a derived table with a star": (
        "SELECT h.Vendor, SUM(d.GrossAmt) FROM APTH AS h INNER JOIN (SELECT * FROM APTL WHERE APCo = 1) d ON d.APCo = h.APCo "
        "AND d.Mth = h.Mth AND d.APTrans = h.APTrans WHERE NOT h.InvDate < N'20240301' GROUP BY h.Vendor"
    ),
    "the base table": LINES.replace("APTL WITH", "bAPTL WITH").replace("APTL.", "bAPTL."),
    "NULL counted as nothing": LINES.replace("SUM(APTL.GrossAmt)", "ISNULL(SUM(ISNULL(APTL.GrossAmt, 0)), 0)"),
}


@pytest.mark.parametrize("text", SAME.values(), ids=SAME)
def test_another_writing_has_the_same_structure(core, text):
    assert structure(text, core) == structure(LINES, core)


OTHER = {
    "tables": ("FROM APTH", "FROM APVM, APTH"),
    "columns": ("SELECT APTH.Vendor,", "SELECT"),
    "joins": (" AND APTL.Mth = APTH.Mth", ""),
    "filters": ("APTH.APCo = 1 AND", ""),
    "group_by": ("GROUP BY APTH.Vendor", "GROUP BY APTH.Vendor, APTH.Mth"),
    "aggregates": ("SUM(", "MAX("),
}


@pytest.mark.parametrize(("part", "change"), OTHER.items(), ids=OTHER)
def test_a_change_of_meaning_changes_its_set_alone(core, part, change):
    changed, before = structure(LINES.replace(*change), core), structure(LINES, core)
    assert LINES.replace(*change) != LINES
    different = {name for name in Structure.__dataclass_fields__ if getattr(changed, name) != getattr(before, name)}
    assert different == {part}


CONDITIONS = {
    "Vendor BETWEEN 5 AND 9": {("APTH.Vendor", ">=", "5"), ("APTH.Vendor", "<=", "9")},
    "Vendor IN (7)": {("APTH.Vendor", "=", "7")},
    "Vendor IN (9, 7.0)": {("APTH.Vendor", "IN", "7, 9")},
    "NOT Vendor != 7": {("APTH.Vendor", "=", "7")},
    "HoldCode IS NOT NULL": {("APTH.HoldCode", "IS NOT NULL", "")},
    "NOT (Vendor = 7 OR HoldCode IS NULL)": {("APTH.Vendor", "<>", "7"), ("APTH.HoldCode", "IS NOT NULL", "")},
    "Vendor = 7 OR HoldCode IS NULL": {("APTH.HoldCode IS NULL OR APTH.Vendor = 7", "OR", "")},
    "InvTotal - Amount > 0": {("APTH.InvTotal - APTH.Amount", ">", "0")},
    "YEAR(InvDate) = @Year": {("YEAR(APTH.InvDate)", "=", "@year")},
    "DueDate < DATEADD(day, -60, GETDATE())": {("APTH.DueDate", "<", "DATEADD(DAY, -60, GETDATE())")},
    "PayName NOT LIKE 'A%'": {("APTH.PayName", "NOT LIKE", "'A%'")},
}


@pytest.mark.parametrize(("text", "expected"), CONDITIONS.items(), ids=CONDITIONS)
def test_conditions_have_one_spelling(core, text, expected):
    assert structure(f"SELECT Vendor FROM APTH WITH (NOLOCK) WHERE {text}", core).filters == expected


def test_existence_tests_are_filters_and_tie_their_tables(core):
    tie = "APTD.APCo = APTH.APCo AND APTD.Mth = APTH.Mth AND APTD.APTrans = APTH.APTrans"
    found = structure(f"SELECT APTH.APRef FROM APTH WHERE NOT EXISTS (SELECT 1 FROM APTD WHERE {tie})", core)
    assert found.filters == {("APTD", "NOT EXISTS", "")}
    assert ("APTD.Mth", "APTH.Mth") in found.joins
    assert found.tables == {"APTH", "APTD"}
    assert found.columns == {"APTH.APRef"}
    listed = structure("SELECT APVM.Name FROM APVM WHERE APVM.Vendor IN (SELECT APTH.Vendor FROM APTH)", core)
    assert listed.filters == {("APTH", "EXISTS", "")}
    assert listed.joins == {("APTH.Vendor", "APVM.Vendor")}


def test_equality_goes_through_a_third_table(core):
    tables = "SELECT APTD.Amount FROM APTH, APTL, APTD"
    text = f"{tables} WHERE APTL.APCo = APTH.APCo AND APTD.APCo = APTL.APCo AND APTL.Mth = APTH.Mth AND APTD.Mth = APTL.Mth"
    found = structure(text, core)
    assert {("APTD.APCo", "APTH.APCo"), ("APTD.Mth", "APTH.Mth")} <= found.joins
    assert structure(text.replace("APTD.APCo = APTL.APCo", "APTD.APCo = APTH.APCo"), core) == found


def test_distinct_groups_by_what_it_returns(core):
    assert structure("SELECT DISTINCT Vendor FROM APTH", core) == structure("SELECT Vendor FROM APTH GROUP BY Vendor", core)


def test_aggregates_name_what_they_add_up(core):
    text = "SELECT COUNT(*), COUNT(DISTINCT Vendor), SUM(CASE WHEN HoldCode IS NULL THEN InvTotal - Amount ELSE 0 END) FROM APTH"
    pairs = {("COUNT", "*"), ("COUNT DISTINCT", "APTH.Vendor"), *(("SUM", f"APTH.{c}") for c in ("HoldCode", "InvTotal", "Amount"))}
    assert structure(text, core).aggregates == pairs


def test_filters_on_a_computed_output_are_those_on_what_it_is_made_of(core):
    outer = "WITH T AS (SELECT Vendor, SUM(InvTotal) AS Total FROM APTH GROUP BY Vendor) SELECT T.Vendor FROM T WHERE T.Total > 600"
    having = "SELECT Vendor FROM APTH GROUP BY Vendor HAVING SUM(InvTotal) > 600"
    assert structure(outer, core) == structure(having, core)


def test_a_self_join_pairs_a_column_with_itself(core):
    found = structure("SELECT a.APRef FROM APTH a JOIN APTH b ON b.Vendor = a.Vendor AND b.APTrans > a.APTrans", core)
    assert found.joins == {("APTH.Vendor", "APTH.Vendor")}
    assert found.filters == {("APTH.APTrans", ">", "APTH.APTrans")}


def test_branches_of_a_union_all_count(core):
    found = structure("SELECT APTH.InvTotal FROM APTH WHERE APCo = 1 UNION ALL SELECT ARTH.Invoiced FROM ARTH WHERE ARCo = 2", core)
    assert found.columns == {"APTH.InvTotal", "ARTH.Invoiced"}
    assert not found.joins
    assert found.filters == {("APTH.APCo", "=", "1"), ("ARTH.ARCo", "=", "2")}


@pytest.mark.parametrize(
    "text", ["", "hello", "SELECT", "SELECT x.y FROM nowhere", "SELECT * FROM (SELECT 1 AS a) d WHERE d.a IN (", "((("]
)
def test_what_does_not_resolve_has_what_can_be_told(core, text):
    assert structure(text, core).tables == frozenset()


def test_a_chain_that_doubles_stays_short(core):
    steps = ["c0 AS (SELECT InvTotal AS v FROM APTH)"]
    steps += [f"c{i} AS (SELECT c{i - 1}.v + c{i - 1}.v AS v FROM c{i - 1})" for i in range(1, 40)]
    found = structure(f"WITH {', '.join(steps)} SELECT v FROM c39 WHERE v > 1", core)
    assert found.columns == {"APTH.InvTotal"}
    ((what, operator, value),) = found.filters
    assert len(what) <= 500
    assert (operator, value) == (">", "1")


def test_a_suite_holds_lists_in_a_fixed_order(core):
    data = as_data(structure(LINES, core))
    assert data["joins"] == [[["APTH.APCo", "APTL.APCo"], ["APTH.APTrans", "APTL.APTrans"], ["APTH.Mth", "APTL.Mth"]]]
    assert data["functions"] == ["SUM"]
    assert data["aggregates"] == [["SUM", "APTL.GrossAmt"]]
    assert data["tables"] == ["APTH", "APTL"]


@pytest.mark.parametrize("text", ["SELECT 1 --" + "x" * 100_000, "a chain of self-joins"], ids=["long", "chained"])
def test_texts_made_to_be_slow_are_refused(core, text):
    chain = " ".join(f"JOIN APTH t{i} ON t{i}.Vendor = t{i - 1}.Vendor" for i in range(1, 500))
    with pytest.raises(TooMuchWork):
        structure(text if text.startswith("SELECT") else f"SELECT t0.Vendor FROM APTH t0 {chain}", core)


def test_tables_keys_and_aggregates_are_those_that_sqlglot_finds(core):
    """A second opinion on every gold query written by hand; keys of those without CTEs and aliases."""
    sqlglot = pytest.importorskip("sqlglot", reason="the second opinion comes with the extra [dev]")
    exp = sqlglot.exp
    functions = {"SUM": exp.Sum, "COUNT": exp.Count, "AVG": exp.Avg, "MAX": exp.Max, "MIN": exp.Min}
    entries = [entry for name in ("plain", "hard") for entry in yaml.safe_load((SUITES / f"{name}.yaml").read_text("utf-8"))]
    queries = [query for entry in entries if "sql" in entry for query in (entry["sql"], *entry.get("accepts", ()))]
    assert len(queries) > 300
    for query in queries:
        tree, found = sqlglot.parse_one(query, read="tsql"), structure(query, core)
        ctes = {cte.alias for cte in tree.find_all(exp.CTE)}
        assert found.tables == {table.name for table in tree.find_all(exp.Table)} - ctes, query
        called = {function.removesuffix(" DISTINCT") for function, _ in found.aggregates}
        assert called == {name for name, kind in functions.items() if tree.find(kind)}, query
        if not ctes and not any(table.alias for table in tree.find_all(exp.Table)):
            conditions = [join.args["on"] for join in tree.find_all(exp.Join) if not join.args["on"].find(exp.Or)]
            sides = [(str(node.this), str(node.expression)) for condition in conditions for node in condition.find_all(exp.EQ)]
            assert {tuple(sorted(pair)) for pair in sides if "." in pair[0] and "." in pair[1]} <= found.joins, query
