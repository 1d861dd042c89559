"""Headers of stored procedures: name, parameters with their types, and the objects that the text names."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from vgpt2.datagen.names.real import Names
from vgpt2.datagen.readers.document import Document, Reading, files, seen_objects, text_of
from vgpt2.dropped import Dropped
from vgpt2.sql.lexer import END, GO, QUOTED, VARIABLE, WORD, Token, tokenize

_BEFORE_OBJECTS = frozenset(("FROM", "JOIN", "INTO", "UPDATE"))


def read(path: Path, names: Names, source: str) -> Reading:
    """A document a procedure; scripts without one are left out and counted."""
    documents, dropped = [], Dropped()
    types = {c.udt: c.type_text for o in names.catalogue.objects.values() for c in o.columns if c.udt}
    for file in files(path, ".sql"):
        text = text_of(file)
        tokens = tokenize(text)
        starts = [n for n in range(len(tokens)) if _begins(tokens, n)]
        if not starts:
            dropped.add("creates no procedure", f"{file}:1")
        for start, end in zip(starts, [*starts[1:], len(tokens)]):
            where = f"{file}:{text.count(chr(10), 0, tokens[start].pos) + 1}"
            name, at = _name(tokens, start)
            if name is None:
                dropped.add("has no name that can be read", where)
                continue
            parameters, at = _parameters(tokens, at, end, types)
            documents.append(Document("procedure", name, source, where, _objects(tokens[at:end], names), parameters=parameters))
    return Reading(tuple(documents), dropped)


def _begins(tokens: Sequence[Token], n: int) -> bool:
    keys = [token.key for token in tokens[n : n + 4]]
    words = keys[3:] if keys[1:3] == ["OR", "ALTER"] else keys[1:2]
    return keys[0] in ("CREATE", "ALTER") and bool({"PROC", "PROCEDURE"} & set(words)) and (n < 1 or tokens[n - 1].key != "OR")


def _name(tokens: Sequence[Token], start: int) -> tuple[str | None, int]:
    """The procedure's name without its schema, and the place behind it."""
    at = next(n for n in range(start, len(tokens)) if tokens[n].key in ("PROC", "PROCEDURE")) + 1
    while at + 2 < len(tokens) and tokens[at + 1].key == ".":
        at += 2
    return (tokens[at].name, at + 1) if tokens[at].kind in (WORD, QUOTED) else (None, at)


def _parameters(tokens: Sequence[Token], at: int, end: int, types: dict[str, str | None]) -> tuple[tuple[tuple[str, str | None], ...], int]:
    """(name, type) pairs up to the AS or WITH that ends the header. User-defined types are said as what they stand for."""
    found: list[tuple[str, str | None]] = []
    depth = 0
    while at < end and tokens[at].kind not in (END, GO):
        token = tokens[at]
        depth += {"(": 1, ")": -1}.get(token.key, 0)
        if token.key in ("AS", "WITH") and tokens[at - 1].kind != VARIABLE and depth <= 0:
            break
        if (
            token.kind == VARIABLE
            and (not found or tokens[at - 1].key in (",", "(") or tokens[at - 1].kind != VARIABLE)
            and tokens[at - 1].key != "="
        ):
            found.append((token.text, _type(tokens, at + 1, types)))
        at += 1
    return tuple(found), at


def _type(tokens: Sequence[Token], at: int, types: dict[str, str | None]) -> str | None:
    """The type that stands at a place, or None where it is neither SQL Server's nor one that the catalogue resolves."""
    at += tokens[at].key == "AS"
    while tokens[at + 1].key == ".":
        at += 2
    name = tokens[at].name
    if name in types:
        return types[name]
    if name != name.lower():
        return name.lower() if name.isupper() else None
    if tokens[at + 1].key != "(":
        return name
    close = next((n for n in range(at, min(at + 6, len(tokens))) if tokens[n].key == ")"), at)
    return "".join(token.text for token in tokens[at : close + 1])


def _objects(tokens: Sequence[Token], names: Names) -> tuple[str, ...]:
    """Objects behind FROM, JOIN, INTO and UPDATE."""
    found = []
    for n, token in enumerate(tokens):
        if token.key in _BEFORE_OBJECTS:
            at = n + 1
            while at + 2 < len(tokens) and tokens[at + 1].key == ".":
                at += 2
            if at < len(tokens) and tokens[at].kind in (WORD, QUOTED):
                found.append(tokens[at].name)
    return seen_objects(found, names)
