"""Statements that make, change and drop tables and views. Definitions of other objects are passed over unread."""

from __future__ import annotations

from vgpt2.sql.lexer import BROKEN, END, GO, QUOTED, Token
from vgpt2.sql.parser import calls, tables
from vgpt2.sql.parser.expressions import name
from vgpt2.sql.parser.nodes import Name
from vgpt2.sql.parser.select import with_
from vgpt2.sql.parser.sources import column_names
from vgpt2.sql.parser.statement_nodes import (
    DropTable,
    IndexDefinition,
    KeyDefinition,
    Opaque,
    Statement,
    TableDefinition,
    TypeDefinition,
    ViewDefinition,
)
from vgpt2.sql.parser.stream import Stream
from vgpt2.sql.parser.words import STATEMENTS

UNREAD = ("GRANT", "DENY", "REVOKE", "BACKUP", "RESTORE", "DBCC", "BULK", "KILL")
_ALTERATIONS = ("ADD", "ALTER", "MODIFY", "DROP")


def create(s: Stream) -> Statement:
    """create := CREATE TABLE table_body | CREATE|ALTER [OR ALTER] VIEW view | ALTER TABLE alter_table | CREATE index|type

    Anything else is unread.
    """
    first = s.take()
    if s.accept("OR"):
        s.expect("ALTER", *(("REPLACE",) if s.lenient else ()))
    if s.lenient:
        s.accept("UNLOGGED", "MATERIALIZED")
    kind = s.accept("VIEW", "TABLE")
    if kind is not None and s.lenient and not s.accept_words("IF", "NOT", "EXISTS") and not s.accept_words("IF", "EXISTS"):
        s.accept("ONLY")
    if kind is not None and kind.key == "VIEW":
        return view(s)
    if kind is not None:
        path = name(s)
        return tables.table_body(s, path) if first.key == "CREATE" else alter_table(s, path)
    if first.key == "CREATE" and s.at("UNIQUE"):
        return index(s)
    if first.key == "CREATE" and s.accept("TYPE"):
        return type_(s, first)
    return unread(s, first)


def view(s: Stream) -> Statement:
    """view := name [( column {, column} )] [WITH attribute {, attribute}] AS [with] query [WITH CHECK OPTION]"""
    path = name(s)
    columns = column_names(s) if s.at("(") else None
    if s.accept("WITH"):
        s.listed(Stream.name)
    s.expect("AS")
    ctes = with_(s) if s.at("WITH") else []
    query = s.query()
    query.ctes = ctes
    s.accept_words("WITH", "CHECK", "OPTION")
    return ViewDefinition(path.pos, path, columns, query)


def alter_table(s: Stream, path: Name) -> Statement:
    """alter_table := [WITH CHECK|NOCHECK] ADD altered {, altered} | anything else, unread"""
    if s.at("WITH") and s.peek().key in ("CHECK", "NOCHECK"):
        s.take()
        s.take()
    if not s.at(*(_ALTERATIONS if s.lenient else ("ADD",))):
        return unread(s)
    table = TableDefinition(path.pos, path, adds=True)
    tables.altered(s, table)
    while s.accept(","):
        tables.altered(s, table)
    return table


def index(s: Stream) -> Statement:
    """index := UNIQUE [CLUSTERED|NONCLUSTERED] INDEX [name] ON name ( column {, column} ) ...; one with WHERE is no key"""
    first = s.expect("UNIQUE")
    is_clustered = tables.clustering(s)
    s.expect("INDEX")
    while not s.at("ON"):
        if s.tok.kind in (END, GO, BROKEN):
            s.fail("expected ON")
        s.take()
    s.take()
    s.accept("ONLY")
    path = name(s)
    if s.accept("USING"):
        s.take()
    key = KeyDefinition(first.pos, "UNIQUE", tables.key_columns(s), is_clustered)
    is_partial = False
    while s.tok.kind not in (END, GO, BROKEN) and not s.at(";") and (s.tok.key not in STATEMENTS or s.at("WITH")):
        is_partial |= s.at("WHERE")
        if s.at("("):
            s.skip_parentheses()
        else:
            s.take()
    return Opaque(first.pos) if is_partial or not key.columns else IndexDefinition(first.pos, path, key)


def type_(s: Stream, first: Token) -> Statement:
    """type := name FROM type [[NOT] NULL] | name and anything else, unread"""
    path = name(s)
    if not s.accept("FROM"):
        return unread(s, first)
    node = TypeDefinition(first.pos, path, calls.type_name(s))
    if s.accept_words("NOT", "NULL"):
        node.nullable = False
    elif s.accept("NULL"):
        node.nullable = True
    return node


def drop(s: Stream) -> Statement:
    """drop := DROP TABLE [IF EXISTS] name {, name} | DROP anything else, unread up to the next statement"""
    first = s.expect("DROP")
    kind = s.take().key
    s.accept_words("IF", "EXISTS")
    names = s.listed(name)
    while s.accept("ON", "."):
        name(s)
    return DropTable(first.pos, names) if kind == "TABLE" else Opaque(first.pos)


def unread(s: Stream, first: Token | None = None) -> Statement:
    """A statement whose grammar is none of ours: passed over to the next ';' or batch.

    On a lenient stream the cursor stays: its reader looks for the next definition, and there may be one before that.
    """
    first = first or s.tok
    while not s.lenient and s.tok.kind not in (END, GO, BROKEN) and not s.at(";"):
        s.take()
    return Opaque(first.pos)


def named(token: Token) -> Name:
    """A name of one part: a word, a quoted name or a variable."""
    return Name(token.pos, (token.name,), (token.pos,), token.kind is QUOTED)
