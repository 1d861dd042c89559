"""The verdict on single answers: right ones stand, every kind of fault falls, words alone earn nothing."""

import json
from pathlib import Path

import pytest

from vgpt2.judging import Item, collapsed, existence, judge, names_column, read_items, tables_read
from vgpt2.sql.catalogue import load_catalogue

CATALOGUE = load_catalogue(Path(__file__).parents[2] / "data/catalogues/vista-core")
GOLD = (
    "SELECT APTH.Mth, APTL.GrossAmt\nFROM APTH WITH (NOLOCK)\nJOIN APTL WITH (NOLOCK) ON APTL.APCo = APTH.APCo AND APTL.Mth = APTH.Mth "
    "AND APTL.APTrans = APTH.APTrans\nWHERE APTH.APCo = 1"
)


def fenced(sql: str) -> str:
    return f"```sql\n{sql}\n```"


def sql_item(tables=("APTH", "APTL"), columns=("APTH.Mth", "APTL.GrossAmt")) -> Item:
    expect = {"tables": list(tables), "columns": list(columns), "sql": GOLD}
    return Item("sql", "sql", "sql_schema", [{"role": "user", "content": "?"}], expect)


def exists_item(name: str, real: bool) -> Item:
    return Item("e", "exists", "exists_list", [{"role": "user", "content": f"Does {name} exist?"}], {"name": name, "exists": real})


def test_a_gold_answer_passes_everything():
    verdict = judge(sql_item(), f"Header and lines share a key.\n\n{fenced(GOLD)}", CATALOGUE)
    assert verdict.passed == {"resolves": True, "fitting": True, "nolock": True, "join": True, "company": True}
    assert verdict.right
    assert (verdict.reason, verdict.findings) == ("", ())


@pytest.mark.parametrize(
    ("fault", "sql", "fails"),
    [
        ("unknown table", GOLD.replace("APTL", "APTLines"), {"resolves", "fitting", "nolock", "join", "company"}),
        ("unknown column", GOLD.replace("APTL.GrossAmt", "APTL.InvNum"), {"resolves", "fitting", "nolock", "join", "company"}),
        ("another table's column", GOLD.replace("APTL.GrossAmt", "APTH.GrossAmt"), {"resolves", "fitting", "nolock", "join", "company"}),
        ("wrong case", GOLD.replace("APTH.Mth,", "apth.mth,"), {"resolves", "fitting", "nolock", "join", "company"}),
        ("broken syntax", GOLD.replace("WHERE", "WHERE AND"), {"resolves", "fitting", "nolock", "join", "company"}),
        ("missing NOLOCK", GOLD.replace("APTL WITH (NOLOCK)", "APTL"), {"nolock"}),
        ("incomplete join", GOLD.replace(" AND APTL.APTrans = APTH.APTrans", ""), {"join"}),
        ("no company filter", GOLD.replace("WHERE APTH.APCo = 1", ""), {"company"}),
        ("asked column left out", GOLD.replace(", APTL.GrossAmt", ""), {"fitting", "join", "company"}),
        ("a table too many", GOLD.replace("FROM APTH", "FROM HQCO WITH (NOLOCK), APTH"), {"fitting", "join", "company"}),
        ("a table too few", "SELECT APTH.Mth FROM APTH WITH (NOLOCK) WHERE APTH.APCo = 1", {"fitting", "join", "company"}),
        ("no table at all", "SELECT 1", {"resolves", "fitting", "nolock", "join", "company"}),
    ],
)
def test_each_fault_of_sql_is_caught(fault, sql, fails):
    verdict = judge(sql_item(), fenced(sql), CATALOGUE)
    failed = {name for name, passed in verdict.passed.items() if not passed}
    assert fails <= failed, fault
    assert failed <= fails | {"company"}, fault  # the checker may ask for a filter on the table that the fault brought in
    assert verdict.reason


def test_keyword_stuffing_gains_nothing():
    """Names, key words and house style in prose, in a comment or beside a broken block earn no point."""
    words = "SELECT FROM WHERE JOIN APTH APTL APTH.Mth APTL.GrossAmt APCo WITH (NOLOCK) APTrans"
    for answer in (
        words,
        f"Use these: {words}. They exist.",
        fenced(f"-- {words}\nSELECT 1"),
        fenced(f"{words} SELECT APTH.Mth"),
        f"{fenced(GOLD)}\n\nor\n\n{fenced('SELECT Nothing.At FROM Nothing')}",
        "",
    ):
        verdict = judge(sql_item(), answer, CATALOGUE)
        assert not any(verdict.passed.values()), answer


def test_naming_every_table_does_not_fit():
    every = "SELECT APTH.Mth, APTL.GrossAmt FROM " + ", ".join(f"{name} WITH (NOLOCK)" for name in list(CATALOGUE.objects)[:60])
    assert not judge(sql_item(), fenced(every), CATALOGUE).passed["fitting"]


def test_a_second_block_must_stand_too():
    fine = judge(sql_item(), f"{fenced(GOLD)}\nThe same again:\n{fenced(GOLD)}", CATALOGUE)
    broken = judge(sql_item(), f"{fenced(GOLD)}\nThe same again:\n{fenced('SELECT Fake FROM APTH WITH (NOLOCK)')}", CATALOGUE)
    assert fine.right
    assert not broken.passed["resolves"]


def test_the_company_filter_is_asked_for_only_where_there_is_a_company():
    verdict = judge(sql_item(("APVM",), ("APVM.Name",)), fenced("SELECT APVM.Name FROM APVM WITH (NOLOCK)"), CATALOGUE)
    assert "company" not in verdict.passed
    assert "join" not in verdict.passed


@pytest.mark.parametrize(
    "answer",
    [
        "APTH exists: AP invoice header.",
        "Yes, the table APTH exists.",
        "Yes.",
        "`APTH` is a real view. bAPTransactions does not exist.",
        "dbo.APTH exists.",
    ],
)
def test_accepting_a_real_name_passes_and_accepting_an_unreal_one_fails(answer):
    assert existence(answer, "APTH") == "accepts"
    assert judge(exists_item("APTH", real=True), answer, CATALOGUE).right
    assert not judge(exists_item("APTH", real=False), answer, CATALOGUE).right


@pytest.mark.parametrize(
    "answer",
    [
        "APTX does not exist; use APTH instead.",
        "No, there is no table called APTX.",
        "No.",
        "I cannot find APTX in the database.",
        "APTX is not a table here. APTH exists.",
    ],
)
def test_refusing_an_unreal_name_passes_and_refusing_a_real_one_fails(answer):
    assert existence(answer, "APTX") == "refuses"
    assert judge(exists_item("APTX", real=False), answer, CATALOGUE).right
    refusal = judge(exists_item("APTX", real=True), answer, CATALOGUE)
    assert not refusal.right
    assert refusal.reason == "denies that APTX exists"


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "Databases hold many tables.",
        "APTL exists: AP invoice lines.",  # about another name
        "bAPTH exists.",
        "apth exists.",  # the collation is binary
        "APTH exists. APTH does not exist.",
        "WITH (NOLOCK) on every table in Viewpoint.",  # the 'no' of NOLOCK and 'in viewpoint' once counted as refusals
        "If APTH exists, query it.",
        "Does APTH exist?",
    ],
)
def test_an_answer_that_says_neither_or_both_passes_for_no_name(answer):
    assert existence(answer, "APTH") is None
    assert not judge(exists_item("APTH", real=True), answer, CATALOGUE).right
    assert not judge(exists_item("APTH", real=False), answer, CATALOGUE).right


@pytest.mark.parametrize(
    ("answer", "said"),
    [
        ("APTH.InvNum does not exist; use APTH.APRef instead.", "refuses"),
        ("APTH has no column InvNum.", "refuses"),
        ("There is no column InvNum.", "refuses"),
        ("APTH.InvNum exists: invoice number.", "accepts"),
        ("APTH has the column InvNum.", "accepts"),
        ("APTL.InvNum exists.", None),  # of another table
        ("APTH does not exist.", None),  # about the table, not the column
    ],
)
def test_claims_about_columns_are_about_that_column_of_that_table(answer, said):
    assert existence(answer, "APTH.InvNum") == said


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("APTH.APRef holds the invoice number.", True),
        ("The column is APRef.", True),
        ("Use `APRef`.", True),
        ("APTH.InvDate holds it.", False),
        ("APTH.APRef or APTH.InvDate.", False),
        ("APRef, InvDate, DueDate, Vendor", False),  # naming all of them is no answer
        ("aprref", False),
        ("", False),
    ],
)
def test_a_column_is_found_when_it_alone_is_named(answer, right):
    assert names_column(answer, "APTH", "APRef", CATALOGUE) == right


@pytest.mark.parametrize(
    ("answer", "reason"),
    [
        ("APTH.APRef does not exist. Nearest name: APTH.APRef.", "denies that APTH.APRef exists"),
        ("Nearest name: APTD (AP transaction detail). APTH.APRef does not exist.", "denies that APTH.APRef exists"),
        ("There is no table or view named APTH. APTH.APRef holds it.", "denies that APTH exists"),
        ("APTH.APRef holds it. APTH.InvNum does not exist.", "does not name APRef of APTH alone"),
        ("Nearest name: APTH.APRef. APTX does not exist.", ""),
        ("APTH.APRef exists and holds it.", ""),
    ],
)
def test_a_column_that_is_named_and_denied_is_not_found(answer, reason):
    item = Item("q", "column", "columns", [], {"table": "APTH", "column": "APRef"})
    verdict = judge(item, answer, CATALOGUE)
    assert (verdict.passed, verdict.reason) == ({"column": not reason}, reason)


@pytest.mark.parametrize(
    ("answer", "kind"),
    [
        ("", "empty"),
        (" \n\t", "empty"),
        ("!!!!!!!!!!!!!!!!!", "empty"),
        ("The report is a column. " * 12, "repetition"),
        ("word " + "!" * 80, "repetition"),
        ("a" * 200, "repetition"),
        ("No.", None),
        (GOLD, None),
        ("SELECT " + ", ".join(f"APTH.Column{n}" for n in range(60)) + " FROM APTH", None),
        ("-" * 100 + " a heading " + "=" * 100, None),
        ("yes " * 8, None),  # too short to tell
    ],
)
def test_collapse_is_told_from_lists_and_short_answers(answer, kind):
    assert collapsed(answer) == kind


@pytest.mark.parametrize(
    ("sql", "tables"),
    [
        ("SELECT * FROM APTH", {"APTH"}),
        ("SELECT * FROM dbo.APTH WITH (NOLOCK), [APTL] WITH (NOLOCK) WHERE APTH.Mth IN (1, APVM)", {"APTH", "APTL"}),
        ("SELECT APVM.Name FROM APTH JOIN APTL ON APTH.Mth = APTL.Mth, HQCO ORDER BY 1, ARCM", {"APTH", "APTL", "HQCO"}),
        ("SELECT (SELECT MAX(Mth) FROM APTD) FROM (SELECT * FROM APTH) x", {"APTD", "APTH"}),
        ("SELECT 'FROM APTH' -- FROM APTL", set()),
        ("SELECT APTH", set()),
        ("FROM", set()),
        ("SELECT * FROM dbo.", set()),
        ("", set()),
    ],
)
def test_tables_read_stand_in_a_from_clause(sql, tables):
    assert tables_read(sql, CATALOGUE) == tables



def row(**changes: object) -> str:
    expect = {"name": "A", "exists": True}
    fields = {"id": "a", "kind": "exists", "group": "g", "messages": [{"role": "user", "content": "?"}], "expect": expect}
    return json.dumps(fields | changes) + "\n"


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ("{", ":1: is not JSON"),
        ("[1]", ":1:id: is missing"),
        (row(id=5), ":1:id: is missing, empty or no str"),
        (row(expect={}), ":1:expect: is missing, empty"),
        (row(kind="guess"), ":1:kind: is 'guess'; known are sql, exists, column"),
        (row(expect={"name": "A"}), ":1:expect.exists: is missing; kind exists needs name, exists"),
        (row(kind="sql"), ":1:expect.tables: is missing"),
        (row(messages=[{}]), ":1:messages: every message needs role and content"),
    ],
)
def test_a_suite_row_that_cannot_be_judged_is_refused_by_line_and_field(tmp_path, line, says):
    path = tmp_path / "suite.jsonl"
    path.write_text(line, "utf-8")
    with pytest.raises(ValueError) as refusal:
        read_items(path)
    assert says in str(refusal.value)
    assert "\n" not in str(refusal.value)


def test_an_empty_suite_and_equal_ids_are_refused(tmp_path):
    path = tmp_path / "suite.jsonl"
    path.write_text("\n", "utf-8")
    with pytest.raises(ValueError, match="holds no question"):
        read_items(path)
    path.write_text(row() * 2, "utf-8")
    with pytest.raises(ValueError, match="two rows have the id 'a'"):
        read_items(path)


def test_the_judge_returns_on_any_text():
    hostile = ["(" * 5000, "SELECT " * 3000, "\x00\ud800```sql\n", "```" * 999, "<sql>" * 500, "APTH exists " * 3000, "⟦0⟧ does not exist"]
    for answer in hostile:
        judge(sql_item(), answer, CATALOGUE)
        judge(exists_item("APTH", real=True), answer, CATALOGUE)


def test_what_no_column_holds_must_be_said_and_not_passed_over():
    item = Item("c", "column", "g", [{"role": "user", "content": "?"}], {"table": "APTH", "column": None})
    assert judge(item, "No column of APTH holds the repair code.", CATALOGUE).right
    assert judge(item, "APTH does not hold the repair code.", CATALOGUE).right
    for answer in ("", "Databases hold many things.", "APTH.APRef holds it.", "No column of APTH holds it, but APTH.APRef does."):
        assert not judge(item, answer, CATALOGUE).right, answer


@pytest.mark.parametrize(
    ("answer", "abstained"),
    [
        ("There is no table that holds the weather.", True),
        ("The weather is not stored in this database.", True),
        ("That cannot be answered from the schema.", True),
        ("This is not a question for a database.", True),
        ("APWeather does not exist.", True),
        ("No object shown holds the weather.", True),
        ("Use WITH (NOLOCK).", False),
        ("", False),
        (f"It is not in the schema.\n{fenced(GOLD)}", False),
    ],
)
def test_an_abstention_says_so_and_gives_no_sql(answer, abstained):
    item = Item("a", "abstain", "g", [{"role": "user", "content": "?"}], {"why": "absent"})
    assert judge(item, answer, CATALOGUE).right == abstained


def test_asking_back_names_two_of_the_candidates():
    expect = {"why": "ambiguous", "candidates": ["APTH", "ARTH", "POHD"]}
    item = Item("a", "abstain", "g", [{"role": "user", "content": "?"}], expect)
    assert judge(item, "Do you mean APTH or ARTH?", CATALOGUE).right
    assert not judge(item, "Do you mean APTH?", CATALOGUE).right
    assert not judge(item, "APTH, ARTH and POHD.", CATALOGUE).right


def test_an_accepted_alternative_fits_too():
    alone = {"tables": ["APTL"], "columns": ["APTL.GrossAmt"]}
    item = sql_item()
    lenient = Item(item.id, item.kind, item.group, item.messages, {**item.expect, "accepts": [alone]})
    answer = fenced("SELECT APTL.GrossAmt FROM APTL WITH (NOLOCK) WHERE APTL.APCo = 1")
    assert not judge(item, answer, CATALOGUE).passed["fitting"]
    assert judge(lenient, answer, CATALOGUE).passed["fitting"]
