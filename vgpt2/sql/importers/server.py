"""A live SQL Server to drafts, through pyodbc. Reads the catalogue views alone, and never repeats the connection string."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from vgpt2.sql.importers import queries
from vgpt2.sql.importers.drafts import Drafts
from vgpt2.sql.importers.rows import Row, drafts_of

CONNECT_TIMEOUT_S = 15
QUERY_TIMEOUT_S = 300


def read_server(connection_string: str) -> Drafts:
    """Drafts of the database that the string leads to. Raises ValueError, without a word of the string, where it cannot be read."""
    try:
        import pyodbc
    except ImportError:
        raise ValueError("a live SQL Server is read through pyodbc, which is not installed; pip install pyodbc") from None
    try:
        connection = pyodbc.connect(connection_string, timeout=CONNECT_TIMEOUT_S, readonly=True, autocommit=True)
        connection.timeout = QUERY_TIMEOUT_S
        try:
            return drafts_from(connection.cursor())
        finally:
            connection.close()
    except pyodbc.Error as error:
        # the driver's message may repeat parts of the string, so that only its five-letter state is shown
        state = str(error.args[0])[:5] if error.args else "?"
        raise ValueError(
            f"the SQL Server cannot be read (ODBC state {state}); see that the connection string is right and may read the catalogue views"
        ) from None


def drafts_from(cursor: Any) -> Drafts:
    """Drafts from a DB-API cursor: four queries, all of them constants."""
    columns, keys, foreign_keys, views = (list(_rows(cursor, query)) for query in queries.ALL)
    return drafts_of(columns, keys=keys, foreign_keys=foreign_keys, views=views, place="server")


def _rows(cursor: Any, query: str) -> Iterator[Row]:
    cursor.execute(query)
    names = [column[0] for column in cursor.description]
    for values in cursor.fetchall():
        yield dict(zip(names, values))
