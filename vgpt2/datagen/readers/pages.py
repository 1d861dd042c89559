"""Markdown pages, one an object: which columns and which other objects somebody found worth naming."""

from __future__ import annotations

import re
from pathlib import Path

from vgpt2.datagen.names.real import Names
from vgpt2.datagen.readers.document import Document, Reading, files, seen_objects, text_of
from vgpt2.dropped import Dropped

_HEADING = re.compile(r"^#\s+\W*([A-Za-z_][\w#$]*)", re.MULTILINE)
_CODE = re.compile(r"`([^`\n]+)`")
_CELL = re.compile(r"^[ \t]*\|[ \t]*`?([A-Za-z_][\w#$.]*)`?[ \t]*\|", re.MULTILINE)
_WORD = re.compile(r"[A-Za-z_][\w#$]*")


def read(path: Path, names: Names, source: str) -> Reading:
    """A document a page whose heading or file name is an object of the catalogue; other pages are left out and counted."""
    documents, dropped = [], Dropped()
    for file in files(path, ".md"):
        text = text_of(file)
        heading = _HEADING.search(text)
        line = text.count("\n", 0, heading.start()) + 1 if heading else 1
        where = f"{file}:{line}"
        about = seen_objects([*([heading[1]] if heading else []), file.stem], names)
        if not about:
            dropped.add("is about no object of the catalogue", where)
            continue
        words = _names_in(text)
        columns = tuple(dict.fromkeys(word for word in words if names.catalogue.objects[about[0]].has(word)))
        others = tuple(name for name in seen_objects(words, names) if name != about[0])
        if columns or others:
            documents.append(Document("page", about[0], source, where, others, columns))
        else:
            dropped.add("names neither columns nor other objects", where)
    return Reading(tuple(documents), dropped)


def _names_in(text: str) -> list[str]:
    """Words that stand as names: in code marks, in the first cell of a table's row, or by their capitals."""
    marked = [
        (m.start() + piece.start(), piece.group()) for m in (*_CODE.finditer(text), *_CELL.finditer(text)) for piece in _WORD.finditer(m[1])
    ]
    bare = [(m.start(), m.group()) for m in _WORD.finditer(text) if sum(c.isupper() for c in m.group()) > 1]
    return [word for _, word in sorted({*marked, *bare})]
