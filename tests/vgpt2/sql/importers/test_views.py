"""Columns of views: names, types, where each is read from, and which views show one table."""

from __future__ import annotations

import pytest

from vgpt2.sql.catalogue import Catalogue, Object
from vgpt2.sql.importers.assemble import assemble
from vgpt2.sql.importers.scripts import Statements
from vgpt2.sql.schema import Column

TABLES = """
CREATE TYPE dbo.bDesc FROM varchar(30)
CREATE TABLE bHead (Co tinyint NOT NULL, Id int IDENTITY(1,1) NOT NULL, Name dbo.bDesc, Amt numeric(12,2) NOT NULL,
  CONSTRAINT pk PRIMARY KEY (Co, Id))
CREATE TABLE bLine (Co tinyint NOT NULL, Id int NOT NULL, Line smallint NOT NULL, Qty int NOT NULL, PRIMARY KEY (Co, Id, Line))
"""


def objects(*views: str) -> Catalogue:
    statements = Statements()
    for text in (TABLES, *views):
        statements.read(text, "x.sql")
    drafts = statements.drafts()
    catalogue = assemble(drafts)
    assert drafts.unread == []
    return catalogue


def view(query: str, head: str = "V") -> Object:
    return objects(f"CREATE VIEW {head} AS {query}").objects["V"]


def only(query: str) -> Column:
    (column,) = view(query).columns
    return column


CO = Column("Co", "tinyint", nullable=False)


@pytest.mark.parametrize(
    ("item", "expected"),
    [
        ("Co", CO),
        ("bHead.Co", CO),
        ("Co AS X", Column("X", "tinyint", nullable=False, source="bHead.Co")),
        ("X = Co", Column("X", "tinyint", nullable=False, source="bHead.Co")),
        ("Co AS 'X'", Column("X", "tinyint", nullable=False, source="bHead.Co")),
        ("Co + 1 AS X", Column("X")),
        ("Name COLLATE Latin1_General_BIN AS X", Column("X", "varchar", "bDesc", length=30, source="bHead.Name")),
        ("CAST(Co AS varchar(10)) AS X", Column("X", "varchar", length=10)),
        ("CONVERT(numeric(8, 3), Co) AS X", Column("X", "numeric", precision=8, scale=3)),
        ("ISNULL(Name, '') AS X", Column("X", "varchar", length=30, nullable=False)),
        ("COALESCE(Amt, 0) AS X", Column("X", "numeric", precision=12, scale=2)),
        ("ROW_NUMBER() OVER (ORDER BY Id) AS X", Column("X", "bigint", nullable=False)),
        ("(SELECT MAX(Qty) FROM bLine) AS X", Column("X")),
        ("CASE WHEN Co = 1 THEN Name END AS X", Column("X")),
    ],
)
def test_a_column_of_the_select_list(item: str, expected: Column) -> None:
    assert only(f"SELECT {item} FROM bHead") == expected


@pytest.mark.parametrize(
    "query",
    [
        "SELECT Co FROM (SELECT * FROM bHead) AS d",
        "SELECT d.X AS Co FROM (SELECT Co AS X FROM bHead) AS d",
        "WITH c AS (SELECT Co FROM bHead) SELECT * FROM c",
        "WITH c (X) AS (SELECT Co FROM bHead), e AS (SELECT X FROM c) SELECT X AS Co FROM e",
        "SELECT h.Co FROM bHead h CROSS JOIN bLine l",
        "SELECT DISTINCT Co FROM bHead",
        "SELECT Co FROM bHead UNION ALL SELECT bHead.Co FROM bHead",
        "SELECT h.Co FROM bLine l RIGHT JOIN bHead h ON h.Co = l.Co",
    ],
)
def test_a_column_is_followed_through_queries_to_its_table(query: str) -> None:
    assert only(query) == Column("Co", "tinyint", nullable=False, source="bHead.Co")


def test_a_star_gives_all_columns_of_its_sources_in_order() -> None:
    assert view("SELECT l.*, h.Name FROM bHead h JOIN bLine l ON l.Id = h.Id").column_names == ("Co", "Id", "Line", "Qty", "Name")
    assert view("SELECT * FROM bHead").column_names == ("Co", "Id", "Name", "Amt")


def test_the_far_side_of_an_outer_join_may_be_null() -> None:
    query = "SELECT h.Co AS A, l.Qty AS B, m.Line AS C FROM bHead h LEFT JOIN (bLine l JOIN bLine m ON m.Id = l.Id) ON l.Id = h.Id"
    assert [column.nullable for column in view(query).columns] == [False, True, True]
    query = "SELECT h.Co AS A, l.Qty AS B FROM bHead h FULL JOIN bLine l ON l.Id = h.Id"
    assert [column.nullable for column in view(query).columns] == [True, True]


def test_branches_of_a_union_keep_what_they_have_in_common() -> None:
    columns = view("SELECT Co AS A, Id AS B, Name AS C FROM bHead UNION SELECT Co, Qty, NULL FROM bLine").columns
    assert columns == (Column("A", "tinyint", nullable=False), Column("B", "int", nullable=False), Column("C"))


def test_a_column_list_names_the_columns() -> None:
    assert view("SELECT Co, COUNT(*) FROM bHead GROUP BY Co", "V (X, N)").columns == (
        Column("X", "tinyint", nullable=False, source="bHead.Co"),
        Column("N", "int", nullable=False),
    )


@pytest.mark.parametrize(
    ("query", "shown"),
    [
        ("SELECT * FROM bHead", ("bHead", False)),
        ("SELECT Co, Id FROM dbo.bHead AS h WITH (NOLOCK)", ("bHead", False)),
        ("SELECT Co, (SELECT 1 AS o) AS One FROM bHead", ("bHead", False)),
        ("SELECT * FROM bHead WHERE Co = 1", ("bHead", True)),
        ("SELECT TOP 5 * FROM bHead", ("bHead", True)),
        ("SELECT DISTINCT Co FROM bHead", (None, False)),
        ("SELECT Co FROM bHead GROUP BY Co", (None, False)),
        ("SELECT MAX(Co) AS Co FROM bHead", (None, False)),
        ("SELECT h.Co FROM bHead h JOIN bLine l ON l.Id = h.Id", (None, False)),
        ("SELECT Co FROM bHead UNION SELECT Co FROM bLine", (None, False)),
        ("SELECT 1 AS A", (None, False)),
    ],
)
def test_a_view_shows_one_table_if_each_row_is_a_row_of_it(query: str, shown: tuple[str | None, bool]) -> None:
    v = view(query)
    assert (v.base_table, v.row_filter) == shown


def test_such_a_view_has_its_tables_keys_under_its_own_names_and_stands_for_it() -> None:
    catalogue = objects(
        "CREATE VIEW Head AS SELECT Co AS HeadCo, Id, Name FROM bHead",
        "CREATE VIEW Part AS SELECT HeadCo FROM Head WHERE Id > 0",
        "ALTER TABLE bLine ADD FOREIGN KEY (Co, Id) REFERENCES bHead",
    )
    head, part = catalogue.objects["Head"], catalogue.objects["Part"]
    assert (head.primary_key, head.business_key, head.unique_keys) == (("HeadCo", "Id"), ("HeadCo", "Id"), (("HeadCo", "Id"),))
    assert (part.base_table, part.row_filter, part.unique_keys, part.depends_on) == ("bHead", True, (), ("Head",))
    assert part.columns == (Column("HeadCo", "tinyint", nullable=False, source="bHead.Co"),)
    assert catalogue.objects["bHead"].exposed_by == ("Head", "Part")
    (key,) = catalogue.foreign_keys
    assert (key.from_object, key.to_object, key.pairs) == ("bLine", "Head", (("Co", "HeadCo"), ("Id", "Id")))


def test_an_identity_stays_one_in_a_view_of_its_table_alone() -> None:
    assert view("SELECT Id FROM bHead").columns[0].identity
    assert not view("SELECT h.Id FROM bHead h CROSS JOIN bLine l").columns[0].identity


def test_names_may_be_written_in_another_case_where_the_database_takes_them() -> None:
    catalogue = objects("CREATE VIEW W AS SELECT h.CO AS X, NAME FROM v h", "CREATE VIEW V AS SELECT H.co, h.name FROM BHEAD h")
    assert catalogue.objects["V"].columns[1] == Column("name", "varchar", "bDesc", length=30, source="bHead.Name")
    assert catalogue.objects["W"].columns[0] == Column("X", "tinyint", nullable=False, source="bHead.Co")
    assert (catalogue.objects["W"].depends_on, catalogue.objects["V"].depends_on) == (("V",), ("bHead",))


def test_a_thousand_ctes_one_upon_the_other_come_to_an_end() -> None:
    chain = ", ".join(f"c{n} AS (SELECT * FROM {f'c{n - 1}' if n else 'bHead'})" for n in range(1000))
    statements = Statements()
    statements.read(TABLES, "x.sql")
    statements.read(f"CREATE VIEW V AS WITH {chain} SELECT * FROM c999", "x.sql")
    drafts = statements.drafts()
    assert "V" in assemble(drafts).objects
