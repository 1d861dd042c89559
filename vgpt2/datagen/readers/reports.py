"""Report SQL, one query a file: clean ones become answers, others are counted by the checker's finding."""

from __future__ import annotations

import re
from pathlib import Path

from vgpt2.datagen.names.real import Names
from vgpt2.datagen.names.statements import UNREAL
from vgpt2.datagen.readers.document import Document, Reading, files, text_of
from vgpt2.dropped import Dropped
from vgpt2.sql.binding import TooMuchWork, bind
from vgpt2.sql.checker import check
from vgpt2.sql.parser import parse

_COMMENT = re.compile(r"('(?:[^']|'')*'|\[[^\]]{0,128}\]|\"[^\"]*\")|--[^\n]*|/\*.*?\*/", re.DOTALL)


def read(path: Path, names: Names, source: str) -> Reading:
    """A document a file, under the words of its name."""
    documents, dropped = [], Dropped()
    for file in files(path, ".sql"):
        text = text_of(file)
        sql = without_comments(text)
        if not re.match(r"(?:SELECT|WITH)\b", sql, re.IGNORECASE):
            dropped.add("holds no query", f"{file}:1")
            continue
        found = [f for f in check(text, names.catalogue) if f.severity == "error"]
        if found:
            worst = min(found, key=lambda f: f.code not in UNREAL)  # an invented name says more than a missing hint
            dropped.add(worst.code, f"{file}:{worst.line}")
            continue
        documents.append(Document("report", title(file), source, f"{file}:1", _read_objects(sql, names), sql=sql))
    return Reading(tuple(documents), dropped)


def without_comments(text: str) -> str:
    """The SQL alone, without blank lines and blanks at the ends of lines."""
    bare = _COMMENT.sub(lambda m: m[1] or " ", text)
    return "\n".join(line.rstrip() for line in bare.splitlines() if line.strip()).strip().rstrip(";")


def title(file: Path) -> str:
    """What the report is called: 'open_invoices-by-vendor.sql' -> 'open invoices by vendor'."""
    return " ".join(re.sub(r"[_\-.]+", " ", file.stem).split())


def _read_objects(sql: str, names: Names) -> tuple[str, ...]:
    statements, _ = parse(sql)
    try:
        binding = bind(statements, names.catalogue)
    except TooMuchWork:
        return ()
    sources = [source for bound in binding.selects for source in bound.scope.sources if source.object is not None]
    return tuple(dict.fromkeys(s.object.name for s in sorted(sources, key=lambda s: s.pos) if s.object is not None))
