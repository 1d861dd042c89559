"""Metadata exports to drafts: rows of INFORMATION_SCHEMA as JSON or CSV files, under its field names or others.

One file holds the columns; keys and foreign keys may stand in files beside it.
"""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from vgpt2.sql.importers.drafts import Drafts
from vgpt2.sql.importers.files import MAX_ROWS_BYTES, read_text
from vgpt2.sql.importers.rows import FOREIGN_KEY_FIELDS, REQUIRED_COLUMN_FIELDS, drafts_of

ENDINGS = (".csv", ".tsv", ".json", ".jsonl")
_KEY_FIELDS = ("CONSTRAINT_NAME", "TABLE_NAME", "COLUMN_NAME", "CONSTRAINT_TYPE")
_SEPARATORS = ",;\t|"
_MAX_FIELD = 1 << 20


def read_export(
    path: Path, *, keys: Path | None = None, foreign_keys: Path | None = None, fields: Mapping[str, str] | None = None
) -> Drafts:
    """Drafts from a file of columns and, where given, files of keys and of foreign keys. `fields`: their name by ours.

    Raises ValueError for a file that is no export, naming the fields that it lacks.
    """
    names = dict(fields or {})
    columns = _rows(path, names, REQUIRED_COLUMN_FIELDS)
    key_rows = _rows(keys, names, _KEY_FIELDS) if keys else []
    foreign_rows = _rows(foreign_keys, names, FOREIGN_KEY_FIELDS) if foreign_keys else []
    return drafts_of(columns, keys=key_rows, foreign_keys=foreign_rows, place=path.name)


def _rows(path: Path, fields: Mapping[str, str], required: tuple[str, ...]) -> list[dict[str, Any]]:
    """The rows under our field names; other spellings of case are taken as they are."""
    text = read_text(path, MAX_ROWS_BYTES)
    rows = _json_rows(path, text) if path.suffix.lower() in (".json", ".jsonl") else _csv_rows(path, text)
    if not rows:
        raise ValueError(f"{path}: has no rows; an export has one row a column or key")
    theirs = {theirs.lower(): ours for ours, theirs in fields.items()}
    renamed = [{theirs.get(name.lower(), name.upper()): value for name, value in row.items()} for row in rows]
    missing = [name for name in required if name not in renamed[0]]
    if missing:
        there = ", ".join(list(rows[0])[:6])[:60]
        raise ValueError(f"{path}: has no field {missing[0]}; its fields are {there}; name yours with --field {missing[0]}=THEIRS")
    return renamed


def _json_rows(path: Path, text: str) -> list[dict[str, Any]]:
    """A JSON array of objects, or one object a line."""
    try:
        rows = json.loads(text) if text.lstrip().startswith("[") else [json.loads(line) for line in text.splitlines() if line.strip()]
    except (json.JSONDecodeError, RecursionError) as error:
        raise ValueError(f"{path}: not JSON: {str(error)[:80]}; write an array of rows, or one row a line") from None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ValueError(f"{path}: holds something else than rows; write an array of objects, or one object a line")
    return rows


def _csv_rows(path: Path, text: str) -> list[dict[str, Any]]:
    """Rows of a CSV file whose first line names the fields; its separator is the one that the first line has most of."""
    head = text.partition("\n")[0]
    separator = max(_SEPARATORS, key=head.count)
    csv.field_size_limit(_MAX_FIELD)
    try:
        rows = list(csv.DictReader(io.StringIO(text, newline=""), delimiter=separator, strict=True))
    except csv.Error as error:
        raise ValueError(f"{path}: not CSV: {str(error)[:80]}; quote fields that hold a separator or a line break") from None
    return [{name: _value(value) for name, value in row.items() if name is not None} for row in rows]


def _value(value: str | list[str] | None) -> str | None:
    return None if not isinstance(value, str) or value in ("", "NULL") else value
