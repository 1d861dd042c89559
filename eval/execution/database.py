"""An in-memory SQLite database of synthetic rows on which a foreign query may read and do nothing else."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Mapping, Sequence
from typing import Any

from eval.execution import functions
from eval.execution.results import Cells
from eval.execution.values import Kind

MAX_ROWS = 5000
TIME_LIMIT_S = 2.0
STEPS_BETWEEN_LOOKS = 20_000
MAX_VALUE_BYTES = 1_000_000
_ALLOWED = frozenset({sqlite3.SQLITE_SELECT, sqlite3.SQLITE_READ, sqlite3.SQLITE_RECURSIVE})
_FORBIDDEN_FUNCTIONS = frozenset({"load_extension", "readfile", "writefile", "edit", "fts3_tokenizer", "zeroblob", "randomblob", "random"})
_AFFINITY: dict[Kind, str] = {"integer": "INTEGER", "number": "REAL", "text": "TEXT", "date": "TEXT"}


class TooSlow(Exception):
    """The query took more than TIME_LIMIT_S of CPU time."""


class TooManyRows(Exception):
    """The query returned more than MAX_ROWS rows."""


def build(
    tables: Mapping[str, Mapping[str, Kind]], views: Mapping[str, str], rows: Mapping[str, Sequence[Sequence[Any]]]
) -> sqlite3.Connection:
    """A database with these tables, further names for them, and their rows; from then on it can only be read."""
    connection = sqlite3.connect(":memory:", isolation_level=None)
    for table, columns in tables.items():
        listed = ", ".join(f"{_quoted(name)} {_AFFINITY[kind]}" for name, kind in columns.items())
        create = f"CREATE TABLE {_quoted(table)} ({listed})"
        insert = f"INSERT INTO {_quoted(table)} VALUES ({', '.join('?' * len(columns))})"
        connection.execute(create)
        connection.executemany(insert, rows[table])
    for name, table in views.items():
        view = f"CREATE VIEW {_quoted(name)} AS SELECT * FROM {_quoted(table)}"
        connection.execute(view)
    functions.register(connection)
    connection.execute("PRAGMA trusted_schema = OFF")
    connection.execute("PRAGMA query_only = ON")
    connection.setlimit(sqlite3.SQLITE_LIMIT_LENGTH, MAX_VALUE_BYTES)
    connection.setlimit(sqlite3.SQLITE_LIMIT_ATTACHED, 0)
    connection.set_authorizer(_authorize)
    return connection


def query(connection: sqlite3.Connection, sql: str, *, limit_s: float = TIME_LIMIT_S) -> list[Cells]:
    """All rows of one query. Raises TooSlow, TooManyRows, or sqlite3.Error for what SQLite does not take."""
    end = time.thread_time() + limit_s  # a verdict must not depend on who else uses the machine
    connection.set_progress_handler(lambda: time.thread_time() > end, STEPS_BETWEEN_LOOKS)
    try:
        rows = connection.execute(sql).fetchmany(MAX_ROWS + 1)
    except sqlite3.OperationalError:
        if time.thread_time() > end:
            raise TooSlow from None
        raise
    finally:
        connection.set_progress_handler(None, 0)
    if len(rows) > MAX_ROWS:
        raise TooManyRows
    return rows


def _authorize(action: int, first: str | None, second: str | None, database: str | None, trigger: str | None) -> int:
    """Reading and functions that have no effect; ATTACH, PRAGMA, writing and everything unknown are denied."""
    if action == sqlite3.SQLITE_FUNCTION:
        return sqlite3.SQLITE_DENY if (second or "").lower() in _FORBIDDEN_FUNCTIONS else sqlite3.SQLITE_OK
    return sqlite3.SQLITE_OK if action in _ALLOWED else sqlite3.SQLITE_DENY


def _quoted(name: str) -> str:
    return '"' + name.replace('"', '""') + '"'
