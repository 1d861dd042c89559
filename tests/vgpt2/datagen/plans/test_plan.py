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
    expectation,
    render_sql,
    sql_name,
)

TOTAL, VENDOR = ColumnRef("APTH", "InvTotal"), ColumnRef("APTH", "Vendor")
COMPANY = Filter(ColumnRef("APTH", "APCo"), "=", "1")
LINE = Join(Source("APTL"), ((ColumnRef("APTL", "APCo"), ColumnRef("APTH", "APCo")), (ColumnRef("APTL", "Mth"), ColumnRef("APTH", "Mth"))))


def test_a_query_is_said_in_house_style():
    query = Query(Source("APTH"), (Output(TOTAL), Output(ColumnRef("APTL", "GrossAmt"))), (COMPANY,), (LINE,))
    assert render_sql(query) == (
        "SELECT APTH.InvTotal, APTL.GrossAmt\n"
        "FROM APTH WITH (NOLOCK)\n"
        "JOIN APTL WITH (NOLOCK) ON APTL.APCo = APTH.APCo AND APTL.Mth = APTH.Mth\n"
        "WHERE APTH.APCo = 1"
    )


def test_aggregates_are_labelled_and_grouped():
    query = Query(Source("APTH", nolock=False), (Output(VENDOR), Output(TOTAL, "SUM", "Total")), group_by=(VENDOR,))
    assert render_sql(query) == "SELECT APTH.Vendor, SUM(APTH.InvTotal) AS Total\nFROM APTH\nGROUP BY APTH.Vendor"
    assert render_sql(Query(Source("APTH"), (Output(None, "COUNT", "RowTotal"),))).startswith("SELECT COUNT(*) AS RowTotal\n")


def test_what_a_suite_expects_is_the_query_as_plain_data():
    expect = expectation(Query(Source("APTH"), (Output(TOTAL),), (COMPANY,), (LINE,)))
    assert expect["tables"] == ["APTH", "APTL"]
    assert expect["columns"] == ["APTH.InvTotal"]
    assert expect["joins"] == [[["APTL.APCo", "APTH.APCo"], ["APTL.Mth", "APTH.Mth"]]]
    assert expect["filters"] == [["APTH.APCo", "=", "1"]]


def test_names_that_sql_would_not_take_stand_in_brackets():
    assert [sql_name(name) for name in ("APTH", "Receiver#", "Order", "a]b", "9x")] == ["APTH", "[Receiver#]", "[Order]", "[a]]b]", "[9x]"]
    query = Query(Source("Order Details"), (Output(ColumnRef("Order Details", "from")),))
    assert render_sql(query) == "SELECT [Order Details].[from]\nFROM [Order Details] WITH (NOLOCK)"


def test_groups_are_limited_and_put_in_order():
    count = Output(None, "COUNT", "RowTotal")
    query = Query(Source("APTH"), (Output(VENDOR), count), group_by=(VENDOR,), having=(Having("SUM", TOTAL, ">", "5"),))
    ordered = Query(Source("APTH"), (Output(VENDOR),), order_by=(Order("RowTotal", True), Order(VENDOR)), top=3, distinct=True)
    assert render_sql(query).endswith("GROUP BY APTH.Vendor\nHAVING SUM(APTH.InvTotal) > 5")
    assert render_sql(ordered) == "SELECT DISTINCT TOP 3 APTH.Vendor\nFROM APTH WITH (NOLOCK)\nORDER BY RowTotal DESC, APTH.Vendor"


def test_existence_is_tested_on_the_tie_and_its_own_filters():
    lines = Query(Source("APTL"), (), (Filter(ColumnRef("APTL", "Job"), "IS", "NULL"),))
    test = Exists(lines, ((ColumnRef("APTL", "APTrans"), ColumnRef("APTH", "APTrans")),), negated=True)
    query = Query(Source("APTH"), (Output(TOTAL),), (COMPANY,), exists=(test,))
    assert render_sql(query) == (
        "SELECT APTH.InvTotal\nFROM APTH WITH (NOLOCK)\nWHERE APTH.APCo = 1 AND NOT EXISTS (\n"
        "  SELECT 1\n  FROM APTL WITH (NOLOCK)\n  WHERE APTL.APTrans = APTH.APTrans AND APTL.Job IS NULL\n)"
    )
    assert expectation(query)["exists"] == [["APTL", False, [["APTL.APTrans", "APTH.APTrans"]]]]
    assert expectation(query)["tables"] == ["APTH", "APTL"]


def test_windows_rank_and_run():
    window = Window((VENDOR,), (Order(ColumnRef("APTH", "InvDate"), True),))
    query = Query(Source("APTH"), (Output(None, "ROW_NUMBER", "N", window), Output(TOTAL, "SUM", "S", window)))
    over = "OVER (PARTITION BY APTH.Vendor ORDER BY APTH.InvDate DESC"
    assert render_sql(query).startswith(f"SELECT ROW_NUMBER() {over}) AS N, SUM(APTH.InvTotal) {over} ROWS UNBOUNDED PRECEDING) AS S\n")


def test_a_suite_sees_through_a_cte():
    inner = Query(Source("APTL"), (Output(ColumnRef("APTL", "APCo")), Output(ColumnRef("APTL", "GrossAmt"), "SUM", "Total")))
    outer = Query(Source("T", nolock=False), (Output(ColumnRef("T", "Total")),), ctes=(Cte("T", inner),))
    assert render_sql(outer).startswith(
        "WITH T AS (\n  SELECT APTL.APCo, SUM(APTL.GrossAmt) AS Total\n  FROM APTL WITH (NOLOCK)\n)\nSELECT T.Total\nFROM T"
    )
    assert expectation(outer)["columns"] == ["APTL.GrossAmt"]
    assert expectation(outer)["tables"] == ["APTL"]
