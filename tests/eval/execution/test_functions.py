"""T-SQL's functions against values that SQL Server documents or that the calendar gives."""

import pytest

from eval.execution.database import build, query
from eval.execution.translate import Untranslatable, translate

pytest.importorskip("sqlglot")
COLUMNS = {"T": {"n": "integer", "x": "number", "s": "text", "d": "date"}}
ROW = [7, 2.5, "Abc def", "2024-01-31 00:00:00"]


@pytest.fixture(scope="module")
def connection():
    found = build(COLUMNS, {}, {"T": [ROW]})
    yield found
    found.close()


@pytest.mark.parametrize(
    ("expression", "value"),
    [
        ("DATEADD(month, 1, T.d)", "2024-02-29 00:00:00"),  # the last day of a shorter month
        ("DATEADD(day, -31, T.d)", "2023-12-31 00:00:00"),
        ("DATEADD(year, 1, '20240229')", "2025-02-28 00:00:00"),
        ("DATEADD(quarter, 2, T.d)", "2024-07-31 00:00:00"),
        ("T.d + 1", "2024-02-01 00:00:00"),
        ("T.d - 31", "2023-12-31 00:00:00"),
        ("DATEDIFF(day, T.d, '2024-03-01')", 30),
        ("DATEDIFF(month, T.d, '20240201')", 1),  # boundaries crossed, not months passed
        ("DATEDIFF(year, '20231231', '20240101')", 1),
        ("DATEDIFF(week, '20240106', '20240107')", 1),  # a Saturday and the Sunday after it
        ("DATEDIFF(quarter, T.d, '20240401')", 1),
        ("DATEADD(month, DATEDIFF(month, 0, T.d), 0)", "2024-01-01 00:00:00"),
        ("EOMONTH('20240210')", "2024-02-29 00:00:00"),
        ("EOMONTH(T.d, 1)", "2024-02-29 00:00:00"),
        ("DATEFROMPARTS(2024, 2, 30)", None),
        ("DATEFROMPARTS(YEAR(T.d), MONTH(T.d), 1)", "2024-01-01 00:00:00"),
        ("DATEPART(quarter, T.d) * 100 + DAY(T.d)", 131),
        ("DATEPART(weekday, T.d)", 4),  # a Wednesday, counted from Sunday
        ("DATENAME(month, T.d)", "January"),
        ("FORMAT(T.d, 'yyyy-MM')", "2024-01"),
        ("CONVERT(varchar(10), T.d, 101)", "01/31/2024"),
        ("CONVERT(char(8), T.d, 112)", "20240131"),
        ("CONVERT(varchar(7), T.d, 120)", "2024-01"),
        ("CAST('2024-01-31 13:14:15' AS date)", "2024-01-31 00:00:00"),
        ("CASE WHEN T.d = '1/31/2024' THEN 1 ELSE 0 END", 1),
        ("CASE WHEN T.d BETWEEN '20240101' AND '2024-01-31' THEN 1 ELSE 0 END", 1),
        ("CASE WHEN ISNULL(T.d, '19000101') > '20231231' THEN 1 ELSE 0 END", 1),
        ("CASE WHEN T.d < GETDATE() THEN 1 ELSE 0 END", 1),
        ("T.s + '!' + T.s", "Abc def!Abc def"),
        ("'a' + CAST(T.n AS varchar(5))", "a7"),
        ("LEFT(T.s, 3) + RIGHT(T.s, 3)", "Abcdef"),
        ("CHARINDEX('d', T.s)", 5),
        ("SUBSTRING(T.s, 2, 2)", "bc"),
        ("STUFF(T.s, 1, 3, 'x')", "x def"),
        ("LEN(RTRIM('ab  '))", 2),
        ("UPPER(LTRIM(' a'))", "A"),
        ("CONCAT(T.s, NULL, T.n)", "Abc def7"),
        ("REPLACE(T.s, ' ', '-')", "Abc-def"),
        ("CASE WHEN T.s LIKE 'A[a-c]c%' THEN 1 ELSE 0 END", 1),
        ("CASE WHEN T.s LIKE 'abc%' THEN 1 ELSE 0 END", 0),  # the collation is binary
        ("CASE WHEN T.s LIKE 'A_c def' THEN 1 ELSE 0 END", 1),
        ("T.n / 2", 3),  # whole numbers divide to whole numbers
        ("T.n / 2.0", 3.5),
        ("CAST(T.n AS decimal(10, 2)) / 2", 3.5),
        ("T.n % 4", 3),
        ("ROUND(T.x, 0)", 3.0),  # half away from zero
        ("CAST(T.x AS int)", 2),
        ("ISNULL(NULLIF(T.n, 7), 9)", 9),
        ("IIF(T.n > 5, 'big', 'small')", "big"),
        ("CHOOSE(2, 'a', 'b')", "b"),
        ("CEILING(T.x) + FLOOR(T.x)", 5),
        ("@Co + 0", 1),
    ],
)
def test_an_expression_has_the_value_that_sql_server_gives(connection, expression, value):
    ((found,),) = query(connection, translate(f"SELECT {expression} AS v FROM T WITH (NOLOCK)", COLUMNS).sql)
    assert found == value


@pytest.mark.parametrize(
    ("sql", "rows"),
    [
        ("SELECT TOP 1 x.n FROM (VALUES (2), (1)) x(n) ORDER BY x.n", [(1,)]),
        ("DECLARE @From date = '20240101', @N int = 3; SELECT @N FROM T WHERE T.d >= @From", [(3,)]),
        ("DECLARE @N int; SET @N = 4; SELECT @N AS n", [(4,)]),
        ("SELECT T.[s] AS 'A label', dbo.T.n FROM dbo.T ORDER BY 'A label'", None),
        ("SELECT Label = T.n FROM T", [(7,)]),
        # a label of dates, compared deep inside a condition
        (
            "SELECT X.n FROM (SELECT T.n, MAX(T.d) AS Last, 1 AS a FROM T GROUP BY T.n) X WHERE X.n = 7 AND X.a = 1 AND (X.n > 1 AND "
            "(X.a > 0 AND X.Last >= '20240131'))",
            [(7,)],
        ),
        ("WITH X AS (SELECT EOMONTH(T.d) AS E FROM T) SELECT 1 FROM X WHERE (1 = 1 AND (2 = 2 AND (3 = 3 AND X.E = '1/31/2024')))", [(1,)]),
        ("SELECT STRING_AGG(T.s, ', ') FROM T", [("Abc def",)]),
        ("SELECT SUM(T.n) OVER (PARTITION BY T.s ORDER BY T.d ROWS UNBOUNDED PRECEDING) FROM T", [(7,)]),
        ("SELECT T.n FROM T ORDER BY T.n OFFSET 0 ROWS FETCH NEXT 1 ROWS ONLY", [(7,)]),
        ("SELECT T.n FROM T WHERE EXISTS (SELECT 1 FROM T U WHERE U.n = T.n) OPTION (RECOMPILE)", [(7,)]),
    ],
)
def test_forms_of_queries(connection, sql, rows):
    found = query(connection, translate(sql, COLUMNS).sql) if rows is not None else rows
    assert found == rows


PIVOT = "SELECT * FROM T PIVOT (SUM(n) FOR s IN ([a])) p"


@pytest.mark.parametrize("sql", ["", "UPDATE T SET n = 1", "SELECT 1; SELECT 2", "EXEC p", PIVOT, "WITH"])
def test_what_has_no_counterpart_is_refused_in_a_few_words(sql):
    with pytest.raises(Untranslatable) as refusal:
        translate(sql, COLUMNS)
    assert 0 < len(str(refusal.value)) <= 90
    assert "\n" not in str(refusal.value)


def test_sort_keys_are_outputs_or_are_added_behind_them():
    assert translate("SELECT T.n, T.s FROM T", COLUMNS).keys == ()
    assert translate("SELECT T.n AS a, T.s FROM T ORDER BY a, 2", COLUMNS).keys == (0, 1)
    hidden = translate("SELECT T.n FROM T ORDER BY T.s, T.n", COLUMNS)
    assert (hidden.keys, hidden.extra, hidden.is_ordered) == ((1, 0), 1, True)
    assert translate("SELECT DISTINCT T.n FROM T ORDER BY T.n", COLUMNS).extra == 0
