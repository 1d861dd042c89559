"""A form dictionary in JSON: which table is behind a form, and which column behind each of its fields.

{"APEntry": {"table": "APHB", "fields": {"Invoice Date": "InvDate"}}}
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from vgpt2.datagen.names.real import Names
from vgpt2.datagen.readers.document import Document, DocumentError, Reading, files, seen_objects, text_of
from vgpt2.dropped import Dropped


def read(path: Path, names: Names, source: str) -> Reading:
    """A document a form whose table is real; fields whose column the table lacks are left out, each counted."""
    documents, dropped = [], Dropped()
    for file in files(path, ".json"):
        text = text_of(file)
        for form, entry in _entries(file, text).items():
            where = f"{file}:{_line(text, form)}"
            table, fields = _checked(entry, where)
            real = seen_objects([table], names)
            if not real:
                dropped.add(f"unknown_table {table}", where)
                continue
            o = names.catalogue.objects[real[0]]
            for label, column in fields.items():
                if not o.has(column):
                    dropped.add(f"unknown_column {real[0]}.{column}", f"{file}:{_line(text, label)}")
            kept = tuple((label, column) for label, column in fields.items() if o.has(column))
            documents.append(Document("form", form, source, where, real, fields=kept))
    return Reading(tuple(documents), dropped)


def _entries(file: Path, text: str) -> dict[str, Any]:
    try:
        read = json.loads(text)
    except json.JSONDecodeError as error:
        raise DocumentError(f"{file}:{error.lineno}: not valid JSON: {error.msg}") from None
    if not isinstance(read, dict):
        raise DocumentError(f"{file}:1: holds a {type(read).__name__}; a form dictionary maps form names to their tables and fields")
    return read


def _checked(entry: Any, where: str) -> tuple[str, dict[str, str]]:
    """(table, column by field) of one form."""
    if not isinstance(entry, dict) or not isinstance(entry.get("table"), str):
        raise DocumentError(f"{where}: a form needs 'table', the name of one table or view")
    fields = entry.get("fields", {})
    if not isinstance(fields, dict) or not all(isinstance(column, str) for column in fields.values()):
        raise DocumentError(f"{where}: 'fields' must map what the screen shows to a column's name")
    return entry["table"], fields


def _line(text: str, name: str) -> int:
    """The line on which a key of the file stands."""
    return text.count("\n", 0, max(0, text.find(json.dumps(name)))) + 1
