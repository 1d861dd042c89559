"""The judge's database can be read and nothing else, whatever SQL reaches it."""

import sqlite3

import pytest

from eval.execution.database import TooManyRows, TooSlow, build, query


@pytest.fixture
def connection():
    found = build({"T": {"a": "integer", "b": "text"}}, {"V": "T"}, {"T": [[n, str(n)] for n in range(100)]})
    yield found
    found.close()


def test_tables_and_their_other_names_are_read(connection):
    assert query(connection, "SELECT SUM(V.a), COUNT(T.b) FROM T JOIN V ON V.a = T.a") == [(4950, 100)]


@pytest.mark.parametrize(
    "sql",
    [
        "ATTACH DATABASE ':memory:' AS other",
        "ATTACH DATABASE 'judge.db' AS other",
        "DETACH DATABASE main",
        "PRAGMA query_only = OFF",
        "PRAGMA writable_schema = ON",
        "SELECT load_extension('x')",
        "SELECT randomblob(1000000)",
        "SELECT zeroblob(1000000000)",
        "INSERT INTO T VALUES (1, 'x')",
        "UPDATE T SET a = 1",
        "DELETE FROM T",
        "DROP TABLE T",
        "CREATE TABLE U (x)",
        "CREATE TEMP TABLE U (x)",
        "CREATE TRIGGER g AFTER INSERT ON T BEGIN SELECT 1; END",
        "VACUUM INTO 'judge.db'",
        "ANALYZE",
        "BEGIN; DELETE FROM T",
        "SELECT 1; DELETE FROM T",
    ],
)
def test_nothing_but_reading_is_allowed(connection, sql, tmp_path, monkeypatch):
    """THREAT 15."""
    monkeypatch.chdir(tmp_path)
    with pytest.raises((sqlite3.Error, sqlite3.Warning)):
        query(connection, sql)
    assert list(tmp_path.iterdir()) == []
    assert query(connection, "SELECT COUNT(*) FROM T") == [(100,)]


def test_a_query_is_stopped_by_the_clock_by_its_rows_and_by_the_size_of_a_value(connection):
    endless = "WITH RECURSIVE N(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM N) SELECT MAX(i) FROM N"
    with pytest.raises(TooSlow):
        query(connection, endless, limit_s=0.2)
    with pytest.raises(TooManyRows):
        query(connection, "SELECT T.a FROM T, V, T AS W")
    with pytest.raises(sqlite3.Error):
        query(connection, "SELECT REPLACE(HEX(SUM(a)) || '0000000000', '0', PRINTF('%.900000c', 'x')) FROM T")
    assert query(connection, "SELECT 1") == [(1,)]
