"""What the end of an unfinished SQL text may name, against hand cases and against the checker on whole texts."""

import json
import random
import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from vgpt2.judging import BROKEN_SQL
from vgpt2.sql.catalogue import Catalogue, load_catalogue
from vgpt2.sql.checker import check
from vgpt2.sql.cursor import Cursor, Schema
from vgpt2.sql.schema import Column, Object

CORE = load_catalogue(Path(__file__).parents[3] / "data/catalogues/vista-core")
SCHEMA = Schema(CORE)
SUITES = Path(__file__).parents[3] / "eval/suites"


def refused_at(sql: str) -> str | None:
    """The text up to the character that the cursor refuses, fed one by one; None where it goes through and may end."""
    cursor = Cursor(SCHEMA)
    for end, character in enumerate(sql, 1):
        if not cursor.feed(character):
            return sql[:end]
    return None if cursor.may_end() else sql


def unreal(sql: str) -> list[str]:
    """Tables and qualified columns that the checker does not find."""
    lines = re.split(r"\r\n|\r|\n", sql)
    findings = [f for f in check(sql, CORE) if f.code in ("unknown_table", "unknown_column")]
    return [f.name for f in findings if f.code == "unknown_table" or lines[f.line - 1][: f.column - 1].rstrip(" [").endswith(".")]


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT APTH.Vendor FROM APTH WITH (NOLOCK) WHERE APTH.APCo = 1",
        "select APTH.Vendor from APTH where APTH.APCo in (1, 2) order by APTH.Vendor desc",
        "SELECT APTH.* FROM dbo.APTH",
        "SELECT * FROM [dbo].[APTH] AS [x] WHERE x.Vendor = 1",
        "SELECT Vendor, Anything FROM APTH (NOLOCK), APVM v WHERE v.Vendor = 1",
        "SELECT * FROM -- not in schema\n",
        "SELECT APTH. /* not in schema */ -- nor here",
        "-- not in schema",
        "SELECT v.Vendor FROM APVM v",
        "SELECT 'FROM foo', \"FROM foo\", [FROM foo] FROM APTH",
        "SELECT TRIM('x' FROM APTH.Vendor) FROM APTH WHERE APTH.Vendor IS DISTINCT FROM 3",
        "SELECT EXTRACT(YEAR FROM Foo) FROM APTH",
        "SELECT d.x FROM (SELECT APTH.Vendor AS x FROM APTH) AS d WHERE d.x = 1",
        "SELECT v.a FROM (VALUES (1, 2)) AS w (a, b)",
        "WITH c AS (SELECT APTH.Vendor AS V FROM APTH), e (W) AS (SELECT c.V FROM c) SELECT c.V, e.W FROM c JOIN e ON e.W = c.V",
        "WITH r AS (SELECT 1 AS n UNION ALL SELECT r.n + 1 FROM r WHERE r.n < 5) SELECT r.n FROM r",
        "SELECT s.value FROM APTH CROSS APPLY STRING_SPLIT(APTH.APRef, ',') s",
        "SELECT * FROM (APTH JOIN APTL ON APTL.APCo = APTH.APCo) WHERE APTL.GrossAmt > 1",
        "SELECT * INTO #t FROM APTH; SELECT * FROM #t JOIN @x ON 1 = 1",
        "SELECT * FROM sys.objects JOIN INFORMATION_SCHEMA.COLUMNS ON 1 = 1",
        "UPDATE APTH SET APTH.Vendor = 1 WHERE APTH.APCo = 1; DELETE FROM APTH; INSERT INTO APTH (APCo) SELECT APTL.APCo FROM APTL",
        "MERGE INTO APTH AS t USING APTL AS s ON t.APCo = s.APCo WHEN MATCHED THEN UPDATE SET t.Vendor = 1;",
        "SELECT APTH.Vendor FROM APTH UNION ALL SELECT x.Vendor FROM APVM x",
        "SELECT * FROM APTH WHERE EXISTS (SELECT 1 FROM APTL WHERE APTL.APCo = APTH.APCo)",
    ],
)
def test_real_names_go_through(sql):
    assert refused_at(sql) is None
    assert not unreal(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FROM f|oo",
        "SELECT * FROM apth|",
        "SELECT * FROM APTH, f",
        "SELECT * FROM APTH JOIN APT |",
        "SELECT * FROM APTH CROSS APPLY f",
        "SELECT * FROM [f",
        "SELECT * FROM (f",
        "SELECT * FROM dbo|",
        "SELECT * FROM foo.APTH|",
        "SELECT * FROM APTH.|V",
        "SELECT APTH.In|vNum",
        "SELECT * FROM APTH WHERE APTH.F",
        "SELECT * FROM APTH h WHERE h.F",
        "SELECT h.InvTotal FROM APVM h |",
        "SELECT APTH.InvTotal FROM APVM AS APTH |",
        "SELECT (SELECT h.InvTotal) FROM APVM h |",
        "WITH c AS (SELECT APTH.Vendor AS V FROM APTH) SELECT c.W",
        "WITH c AS (SELECT 1 AS a) SELECT * FROM c; SELECT * FROM c |",
        "WITH c AS (SELECT 1 AS a) SELECT * FROM c SELECT * FROM c |",
        "SELECT d.y FROM (SELECT APTH.Vendor AS x FROM APTH) d |",
        "SELECT * FROM (SELECT APTH.Vendor AS x FROM APTH) d WHERE d.V",
        "SELECT * FROM APTH WITH (NOLOCK) x WHERE x.F",
        "SELECT * INTO #t FROM APTH; SELECT #t.",
        "UPDATE f",
        "INSERT INTO f",
        "DELETE f",
        "MERGE INTO APTH USING f",
        "SELECT STRING_SPLIT.f FROM STRING_SPLIT |",
        "DELETE OPENJSON|",
        "MERGE INTO STRING_SPLIT|",
        "SELECT * FROM sys.objects.|name",
        'SELECT * FROM "APTH""',
        "SELECT 1 AS [a]]",
        "SELECT 1 GO\nFROM APTH.|V",
        "WITH APTH AS (SELECT 1 AS a) SELECT APTH.a FROM dbo.APTH;",
    ],
)
def test_names_that_cannot_become_real_are_refused(sql):
    whole = sql.replace("|", "")
    found = refused_at(whole)
    assert found is not None
    if "|" not in sql:
        assert found == whole


def test_a_name_that_must_go_on_may_not_end():
    for text, may in (("SELECT * FROM APT", False), ("SELECT * FROM APTH", True), ("SELECT * FROM", True), ("SELECT APTH.", True)):
        cursor = Cursor(SCHEMA)
        assert cursor.feed(text)
        assert cursor.may_end() is may


PIECES = """
    SELECT FROM WHERE JOIN ON AND AS WITH UNION ALL UPDATE SET DELETE INSERT INTO VALUES CROSS APPLY EXISTS IN GROUP BY ORDER TOP NOT
    APTH APTL APVM ARTH bAPTH dbo a b c foo Vendor APCo InvTotal GrossAmt Foo V #t @x NOLOCK 1 'x' ( ) ( ) , , . . . = = * ; + -- /* */
    [APTH] [foo] [ ] SELECT FROM SELECT FROM JOIN ON APTH.Vendor APTH.APCo APTL.APCo a.Vendor b.Vendor
    ' " "APTH" < ; GO [a 'b' MERGE USING PIVOT
""".split()  # noqa: SIM905


def way_out(cursor: Cursor) -> str | None:
    return next(cursor.ways_out(), None)


def walk(rng: random.Random, steps: int) -> str:
    """A text of pieces drawn by chance, each only where the cursor takes it and a way leads on; that way is gone at the end."""
    cursor, text = Cursor(SCHEMA), ""
    for _ in range(steps):
        offered = rng.sample(PIECES, 12)
        for piece in (p for word in offered for p in (f"{word} ", word, f"\n{word}")):
            tried = cursor.copy()
            if tried.feed(piece) and way_out(tried) is not None:
                cursor, text = tried, text + piece
                break
    way = way_out(cursor)
    assert way is not None, text
    for character in way:
        assert cursor.feed(character), f"{way!r} ends in {text!r}"
        text += character
    assert cursor.may_end(), text
    return text


@pytest.mark.parametrize(
    ("text", "way"),
    [
        ("SELECT * FROM", ""),
        ("SELECT * FROM APT", "D"),  # APTD is the first of the shortest names
        ("SELECT * FROM [APT", "D]"),
        ("SELECT * FROM dbo", "."),
        ("SELECT * FROM STRING_SPLIT", "("),
        ("SELECT * FROM -", "-"),
        ("SELECT * FROM /", "*"),
        ("SELECT h.InvTotal FROM APVM h", "_w"),  # h has been asked for what APVM has not
        ("WITH APTH AS (SELECT 1 AS a) SELECT APTH.a FROM dbo.APTH ", "_w"),
        ("APVM DELETE APTL APTH.APCo c Foo a.Vendor FROM [APTH] [APTH]", ""),
        ("WITH APTH AS (SELECT 1 AS a) SELECT APTH.a FROM dbo.APTH AS [APTH", "_w]"),
        ("WITH APTH AS (SELECT 1 AS a) SELECT APTH.a FROM dbo.APTH --", "\n_w"),
    ],
)
def test_every_state_knows_a_way_out(text, way):
    cursor = Cursor(SCHEMA)
    assert cursor.feed(text)
    assert way_out(cursor) == way


def test_where_no_alias_can_save_the_text_it_has_no_way_out():
    """Nothing behind a string or an operator makes a source of what stands before it."""
    for sign in ("'", "<", "[APTH]"):
        cursor = Cursor(SCHEMA)
        assert cursor.feed(f"WITH APTH AS (SELECT 1 AS a) SELECT APTH.a FROM dbo.APTH {sign}")
        assert way_out(cursor) is None


ODD = Schema(
    Catalogue(
        [
            Object("Order Details", "view", columns=(Column("Order", "int"), Column("Unit Price", "int"), Column("Qty", "int"))),
            Object("Order", "view", schema="sales", columns=(Column("a]b", "int"), Column('x"y', "int"))),
        ]
    )
)


@pytest.mark.parametrize(
    ("sql", "passes"),
    [
        ("SELECT [Order Details].[Unit Price] FROM [Order Details]", True),
        ('SELECT "Order Details"."Order" FROM "Order Details"', True),
        ('SELECT [Order]."a]b", [Order].[x"y] FROM sales.[Order]', True),
        ("SELECT [Order Details].Qty FROM [Order Details]", True),
        ("SELECT * FROM Order", False),  # reserved and blank: brackets are needed
        ("SELECT * FROM Order Details", False),
        ("SELECT [Order Details].Order", False),
        ("SELECT [Order Details].[a]b]", False),
        ("SELECT * FROM [Order]", True),
        ("SELECT * FROM [Orders]", False),
    ],
)
def test_names_are_spelt_as_t_sql_reads_them(sql, passes):
    cursor = Cursor(ODD)
    assert all(map(cursor.feed, sql)) is passes
    assert not passes or cursor.may_end()


@settings(max_examples=400, deadline=None)
@given(st.integers(0, 2**32), st.integers(5, 40))
def test_no_text_that_goes_through_names_what_does_not_exist(seed, steps):
    sql = walk(random.Random(seed), steps)
    assert not unreal(sql), sql


SHAPES = (
    "SELECT {q}.{c}, {q}.{c} FROM {t} {a} JOIN {t} ON {q}.{c} = {q}.{c} WHERE {q}.{c} = 1",
    "WITH {a} AS (SELECT {q}.{c} AS {c} FROM {t}) SELECT {a}.{c} FROM {a} {b}, {t} WHERE {q}.{c} = 1",
    "SELECT {q}.{c} FROM (SELECT {q}.{c}, {q}.{c} AS {d} FROM {t} {a}) {b} JOIN {t} AS {a} ON {q}.{c} = {b}.{d}",
    "SELECT {t}.{c} FROM {t} WITH (NOLOCK) WHERE EXISTS (SELECT {q}.{c} FROM {t} {a}, {t} WHERE {a}.{c} = {q}.{c}) ORDER BY {q}.{c}",
    "SELECT {q}.{c} FROM {t} {a} UNION ALL SELECT {q}.{c} FROM {t} {b} WHERE {b}.{c} IN (SELECT {q}.{c} FROM {t})",
    "SELECT {a}.{c} FROM dbo.{t} {a} CROSS APPLY (SELECT TOP 1 {q}.{c} FROM {t} WHERE {t}.{c} = {a}.{c}) {b} WHERE {b}.{c} = 1",
    "WITH {a} ({c}) AS (SELECT {q}.{c} FROM {t}), {b} AS (SELECT {a}.{c} FROM {a}) SELECT {q}.{c} FROM {b} JOIN {a} ON {a}.{c} = {b}.{c}",
    "UPDATE {t} SET Vendor = 1 FROM {t} JOIN {t} {a} ON {a}.{c} = {q}.{c} WHERE {q}.{c} = 1",
    "SELECT {q}.{c} FROM {t} {a} LEFT JOIN ({t} JOIN {t} {b} ON {b}.{c} = {q}.{c}) ON {b}.{c} = {a}.{c}",
)


def filled(rng: random.Random) -> str:
    tables, aliases = ["APTH", "APTL", "APVM", "ARTH"], ["x", "y", "APTH"]
    columns = ["APCo", "Vendor", "InvTotal", "GrossAmt", "Mth", "Foo"]
    shape, found = rng.choice(SHAPES), ""
    names = {"a": rng.choice(aliases), "b": rng.choice([*aliases, "z"])}
    for part in shape.split("{"):
        key, brace, rest = part.partition("}")
        if not brace:
            found += part
            continue
        drawn = {"q": [*tables, *names.values()], "t": tables, "c": columns, "d": columns, "a": [names["a"]], "b": [names["b"]]}[key]
        found += rng.choice(drawn) + rest
    return found


def test_well_formed_queries_are_refused_wherever_the_checker_finds_something_unreal():
    """Six thousand queries of nine shapes with names by chance: what goes through is real."""
    rng = random.Random(0)
    passed = 0
    for _ in range(6000):
        sql = filled(rng)
        cursor = Cursor(SCHEMA)
        if cursor.feed(sql) and cursor.may_end():
            passed += 1
            assert not unreal(sql), sql
    assert passed > 60


def test_right_answers_of_the_suites_go_through():
    """Queries written by others: what the checker resolves is refused nowhere."""
    files = [SUITES / f"{suite}.jsonl" for suite in ("demo", "plain", "hard", "probe")]
    items = [json.loads(line) for file in files for line in file.read_text("utf-8").splitlines()]
    golds = {item["expect"]["sql"] for item in items if item["expect"].get("sql")}
    clean = [sql for sql in golds if not BROKEN_SQL & {f.code for f in check(sql, CORE)}]
    assert len(clean) > 100
    refused = [sql for sql in clean if not (cursor := Cursor(SCHEMA)).feed(sql) or not cursor.may_end()]
    assert not refused, refused[0]
