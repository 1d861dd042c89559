"""Rows of INFORMATION_SCHEMA to drafts, wherever they come from: a live server or an export. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from vgpt2.sql.importers.drafts import Draft, Drafts, Key, Reference, Unread
from vgpt2.sql.importers.scripts import Statements
from vgpt2.sql.schema import Column

Row = Mapping[str, Any]
COLUMN_FIELDS = ("TABLE_SCHEMA", "TABLE_NAME", "COLUMN_NAME", "ORDINAL_POSITION", "DATA_TYPE", "CHARACTER_MAXIMUM_LENGTH", "IS_NULLABLE")
FOREIGN_KEY_FIELDS = ("CONSTRAINT_NAME", "TABLE_NAME", "COLUMN_NAME", "REFERENCED_TABLE_NAME", "REFERENCED_COLUMN_NAME")
_MORE_FIELDS = ("TABLE_TYPE", "DOMAIN_NAME", "NUMERIC_PRECISION", "NUMERIC_SCALE", "IS_IDENTITY", "DESCRIPTION", "TABLE_DESCRIPTION")
FIELDS = tuple(dict.fromkeys((*COLUMN_FIELDS, *_MORE_FIELDS, "CONSTRAINT_TYPE", "IS_CLUSTERED", *FOREIGN_KEY_FIELDS)))
REQUIRED_COLUMN_FIELDS = ("TABLE_NAME", "COLUMN_NAME")
_NUMERIC = frozenset(("decimal", "numeric"))
_UNSIZED = frozenset(("text", "ntext", "image", "xml", "timestamp", "rowversion"))


def drafts_of(
    columns: Iterable[Row], *, keys: Iterable[Row] = (), foreign_keys: Iterable[Row] = (), views: Iterable[Row] = (), place: str
) -> Drafts:
    """Drafts of the tables and views that have columns.

    columns: COLUMN_FIELDS, and where known TABLE_TYPE, DOMAIN_NAME (the user-defined type), NUMERIC_PRECISION, NUMERIC_SCALE, IS_IDENTITY,
    DESCRIPTION, TABLE_DESCRIPTION. keys: CONSTRAINT_NAME, TABLE_NAME, COLUMN_NAME, ORDINAL_POSITION, CONSTRAINT_TYPE (PRIMARY KEY or
    UNIQUE), IS_CLUSTERED. foreign_keys: FOREIGN_KEY_FIELDS and ORDINAL_POSITION. views: TABLE_NAME, VIEW_DEFINITION.
    """
    drafts = Drafts(n_files=1)
    schemas: dict[str, str] = {}
    for position, row in enumerate(sorted_by_ordinal(columns), 1):
        name, column = text(row, "TABLE_NAME"), text(row, "COLUMN_NAME")
        schema = text(row, "TABLE_SCHEMA") or "dbo"
        if not name or not column:
            drafts.unread.append(Unread(f"{place}: column row {position}", "has no TABLE_NAME or no COLUMN_NAME"))
        elif schemas.setdefault(name, schema) != schema:
            problem = f"'{name}' stands in the schema '{schemas[name]}' too; that one is kept"
            drafts.unread.append(Unread(f"{place}: column row {position}", problem))
        else:
            draft = drafts.objects.setdefault(name, Draft(name, schema, _kind(row), place, description=text(row, "TABLE_DESCRIPTION")))
            draft.columns.append(column_of(row))
    _add_keys(drafts, keys)
    _add_foreign_keys(drafts, foreign_keys, place)
    _add_definitions(drafts, views, place)
    drafts.n_types = len({c.udt for draft in drafts.objects.values() for c in draft.columns if c.udt})
    return drafts


def column_of(row: Row) -> Column:
    """One row of INFORMATION_SCHEMA.COLUMNS as a column; numbers and truths may be given as text."""
    type_ = (text(row, "DATA_TYPE") or "").lower() or None
    length = None if type_ in _UNSIZED else number(row, "CHARACTER_MAXIMUM_LENGTH")
    is_numeric = type_ in _NUMERIC
    return Column(
        text(row, "COLUMN_NAME") or "",
        type_,
        text(row, "DOMAIN_NAME"),
        length,
        number(row, "NUMERIC_PRECISION") if is_numeric else None,
        number(row, "NUMERIC_SCALE") if is_numeric else None,
        nullable=truth(row, "IS_NULLABLE", default=True),
        identity=truth(row, "IS_IDENTITY", default=False),
        description=text(row, "DESCRIPTION"),
    )


def text(row: Row, field: str) -> str | None:
    value = row.get(field)
    return " ".join(str(value).split()) or None if value is not None else None


def number(row: Row, field: str) -> int | None:
    """A whole number, also from a text such as '30' or '30.0'; None for anything else."""
    try:
        return int(float(row[field]))
    except (KeyError, TypeError, ValueError, OverflowError):
        return None


def truth(row: Row, field: str, *, default: bool) -> bool:
    value = row.get(field)
    return default if value is None or value == "" else str(value).strip().lower() in ("yes", "y", "true", "t", "1")


def sorted_by_ordinal(rows: Iterable[Row]) -> list[Row]:
    """Rows in the order of ORDINAL_POSITION where they have one, else in their own."""
    numbered = [(number(row, "ORDINAL_POSITION"), i, row) for i, row in enumerate(rows)]
    return [row for _, _, row in sorted(numbered, key=lambda entry: (entry[0] or 0, entry[1]))]


def _kind(row: Row) -> str:
    return "view" if (text(row, "TABLE_TYPE") or "").upper() in ("VIEW", "V") else "table"


def _grouped(rows: Iterable[Row]) -> Iterator[tuple[str, list[Row]]]:
    """(table, rows) of every constraint, its columns in key order."""
    groups: dict[tuple[str, str], list[Row]] = defaultdict(list)
    for row in sorted_by_ordinal(rows):
        groups[text(row, "TABLE_NAME") or "", text(row, "CONSTRAINT_NAME") or ""].append(row)
    for (table, _), group in groups.items():
        yield table, group


def _add_keys(drafts: Drafts, keys: Iterable[Row]) -> None:
    for table, group in _grouped(keys):
        draft = drafts.objects.get(table)
        if draft is not None:
            columns = tuple(text(row, "COLUMN_NAME") or "" for row in group)
            is_primary = (text(group[0], "CONSTRAINT_TYPE") or "").upper() == "PRIMARY KEY"
            draft.keys.append(Key(columns, is_primary, truth(group[0], "IS_CLUSTERED", default=False)))


def _add_foreign_keys(drafts: Drafts, foreign_keys: Iterable[Row], place: str) -> None:
    for table, group in _grouped(foreign_keys):
        draft = drafts.objects.get(table)
        parent = text(group[0], "REFERENCED_TABLE_NAME")
        name = text(group[0], "CONSTRAINT_NAME")
        if draft is None or parent is None:
            problem = f"joins '{table}' to '{parent}', and one of the two has no columns"
            drafts.unread.append(Unread(f"{place}: foreign key {name}", problem))
            continue
        columns = tuple(text(row, "COLUMN_NAME") or "" for row in group)
        parent_columns = tuple(filter(None, (text(row, "REFERENCED_COLUMN_NAME") for row in group)))
        draft.references.append(Reference(columns, parent, parent_columns, f"{place}: foreign key {name}"))


def _add_definitions(drafts: Drafts, views: Iterable[Row], place: str) -> None:
    """Queries of views, for what the rows do not say: where a column is read from, and which table a view shows."""
    for row in views:
        name, definition = text(row, "TABLE_NAME"), row.get("VIEW_DEFINITION")
        draft = drafts.objects.get(name or "")
        if draft is None or not isinstance(definition, str):
            continue
        draft.kind = "view"
        statements = Statements()
        statements.read(definition, f"{place}, view {name}")
        found = [other for other in statements.drafts().objects.values() if other.kind == "view"]
        draft.definition = found[0].definition if found else None
        drafts.unread += statements.unread
