"""SQLite database files to drafts: what SQLite itself says of its tables, and the stored text for views, types and comments.

The file is opened read-only; only its schema is read.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from vgpt2.sql.importers.drafts import Draft, Drafts, Key, Reference, Unread
from vgpt2.sql.importers.scripts import Statements
from vgpt2.sql.schema import Column

MAGIC = b"SQLite format 3\0"
_STORED = "SELECT type, name, sql FROM sqlite_master WHERE name NOT LIKE 'sqlite\\_%' ESCAPE '\\' AND sql IS NOT NULL ORDER BY rowid"
_COLUMNS = 'SELECT name, type, "notnull", pk FROM pragma_table_xinfo(?) WHERE hidden <> 1 ORDER BY cid'
_INDEXES = 'SELECT name, origin FROM pragma_index_list(?) WHERE "unique" = 1 AND partial = 0 ORDER BY seq DESC'
_INDEX_COLUMNS = "SELECT name FROM pragma_index_info(?) ORDER BY seqno"
_FOREIGN_KEYS = 'SELECT id, "table", "from", "to" FROM pragma_foreign_key_list(?) ORDER BY id DESC, seq'
_MAX_STEPS = 50_000_000  # of SQLite's machine: a schema takes thousands


def read_database(path: Path) -> Drafts:
    """Drafts of a database file. Raises ValueError for a file that SQLite cannot read."""
    connection = sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)
    try:
        connection.text_factory = lambda data: data.decode("utf-8", errors="replace")
        connection.set_progress_handler(lambda: 1, _MAX_STEPS)
        connection.execute("PRAGMA trusted_schema = OFF")
        return _drafts(connection, path)
    except (sqlite3.Error, UnicodeDecodeError) as error:  # the latter: a message that quotes damaged text
        raise ValueError(f"{path}: SQLite cannot read it: {str(error)[:80]}; give an intact database file") from None
    finally:
        connection.close()


def _drafts(connection: sqlite3.Connection, path: Path) -> Drafts:
    """The stored text gives views, types and descriptions; keys and what the text leaves open are SQLite's own word."""
    stored = [(kind, name, sql) for kind, name, sql in connection.execute(_STORED) if isinstance(sql, str) and isinstance(name, str)]
    statements = Statements(is_plain=True)
    for kind, name, sql in stored:
        if kind in ("table", "view", "trigger"):
            statements.read(sql, f"{path.name}, {name}")
    drafts = statements.drafts()
    drafts.n_files = 1
    for kind, name, _ in stored:
        if kind in ("table", "view"):
            _complete(connection, drafts, kind, name, path)
    return drafts


def _complete(connection: sqlite3.Connection, drafts: Drafts, kind: str, name: str, path: Path) -> None:
    draft = drafts.objects.get(name)
    if draft is None:
        draft = Draft(name, "main", kind, path.name)
        drafts.add(draft)
    draft.schema = "main"
    try:
        columns = list(connection.execute(_COLUMNS, (name,)))
    except sqlite3.OperationalError as error:  # a view over what is gone, or over a function that only its application has
        drafts.unread.append(Unread(draft.place, f"{kind} '{name}': {str(error)[:80]}"))
        return
    if kind == "view":
        if draft.definition is None:
            draft.columns = [_column(row, None) for row in columns]
            drafts.unread[:] = [entry for entry in drafts.unread if not entry.place.startswith(f"{path.name}, {name}:")]
        return
    read = {column.name: column for column in draft.columns}
    draft.columns = [_column(row, read.get(row[0])) for row in columns]
    draft.keys = list(_keys(connection, name, columns))
    draft.references = list(_references(connection, name, draft.place))


def _column(row: tuple[Any, ...], read: Column | None) -> Column:
    """A column as SQLite lists it, with the type and the words that its text has."""
    name, type_, is_required, _ = row
    if read is not None:
        return read
    return Column(str(name), str(type_).lower() or None, nullable=not is_required)


def _keys(connection: sqlite3.Connection, table: str, columns: list[tuple[Any, ...]]) -> Iterator[Key]:
    primary = tuple(name for _, name in sorted((pk, name) for name, _, _, pk in columns if pk))
    if primary:
        yield Key(primary, is_primary=True)
    for index, origin in list(connection.execute(_INDEXES, (table,))):
        names = tuple(name for (name,) in connection.execute(_INDEX_COLUMNS, (index,)))
        if origin != "pk" and None not in names:  # an indexed expression has no name
            yield Key(names)


def _references(connection: sqlite3.Connection, table: str, place: str) -> Iterator[Reference]:
    keys: dict[int, list[tuple[str, str, str | None]]] = {}
    for number, parent, column, parent_column in connection.execute(_FOREIGN_KEYS, (table,)):
        keys.setdefault(number, []).append((parent, column, parent_column))
    for rows in keys.values():
        parent_columns = tuple(parent_column for _, _, parent_column in rows if parent_column is not None)
        yield Reference(tuple(column for _, column, _ in rows), rows[0][0], parent_columns, place)
