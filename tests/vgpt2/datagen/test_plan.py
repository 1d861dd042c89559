from vgpt2.datagen.plan import ColumnRef, Filter, Join, Output, Query, Source, expectation, render_sql

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
