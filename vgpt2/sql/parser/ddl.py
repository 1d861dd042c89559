"""Statements that make, change and drop tables and views. Definitions of other objects are passed over unread."""

from __future__ import annotations

from vgpt2.sql.lexer import BROKEN, END, GO, QUOTED, Token
from vgpt2.sql.parser import calls
from vgpt2.sql.parser.expressions import name
from vgpt2.sql.parser.nodes import Name
from vgpt2.sql.parser.select import with_
from vgpt2.sql.parser.sources import column_names
from vgpt2.sql.parser.statement_nodes import DropTable, Opaque, Statement, TableDefinition, ViewDefinition
from vgpt2.sql.parser.stream import Stream
from vgpt2.sql.parser.words import STATEMENTS

UNREAD = ("GRANT", "DENY", "REVOKE", "BACKUP", "RESTORE", "DBCC", "BULK", "KILL")
_CONSTRAINTS = frozenset(("CONSTRAINT", "PRIMARY", "UNIQUE", "FOREIGN", "CHECK", "INDEX", "PERIOD"))


def create(s: Stream) -> Statement:
    """create := CREATE TABLE table_body | CREATE|ALTER [OR ALTER] VIEW view | ALTER TABLE alter_table | anything else, unread"""
    first = s.take()
    if s.accept("OR"):
        s.expect("ALTER")
    if s.accept("VIEW"):
        return view(s)
    if s.accept("TABLE"):
        path = name(s)
        return table_body(s, path) if first.key == "CREATE" else alter_table(s, path)
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


def table_body(s: Stream, path: Name) -> TableDefinition:
    """table_body := ( element {, element} ) {word}: the storage clauses behind it are not read"""
    s.expect("(")
    columns = []
    while not s.at(")"):
        columns += element(s)
        if not s.accept(","):
            break
    s.expect(")")
    while s.at("ON", "TEXTIMAGE_ON") and s.at_name(1):
        s.take()
        s.take()
        if s.at("("):
            s.skip_parentheses()
    return TableDefinition(path.pos, path, columns)


def element(s: Stream) -> list[str]:
    """element := constraint | name type ... | name AS expression; the columns it makes"""
    made = []
    if s.tok.key not in _CONSTRAINTS:
        made.append(s.name("a column").name)
        if not s.at("AS"):
            calls.type_name(s)
    while not s.at(",", ")"):
        if s.tok.kind in (END, GO, BROKEN):
            s.fail("expected )")
        if s.at("("):
            s.skip_parentheses()
        else:
            s.take()
    return made


def alter_table(s: Stream, path: Name) -> Statement:
    """alter_table := ADD [COLUMN] element {, element} | anything else, unread"""
    if not s.at("ADD") or s.peek().key in _CONSTRAINTS or not s.at_name(1):
        return unread(s)
    s.take()
    columns = [s.name("a column").name]
    calls.type_name(s)
    while s.tok.kind not in (END, GO) and not s.at(";"):
        if s.at(",") and s.at_name(1):
            s.take()
            columns.append(s.take().name)
        elif s.at("("):
            s.skip_parentheses()
        elif s.tok.key in STATEMENTS or s.at("END", "ELSE"):
            break
        else:
            s.take()
    return TableDefinition(path.pos, path, columns, adds=True)


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
    """A statement whose grammar is none of ours: passed over to the next ';' or batch."""
    first = first or s.tok
    while s.tok.kind not in (END, GO, BROKEN) and not s.at(";"):
        s.take()
    return Opaque(first.pos)


def named(token: Token) -> Name:
    """A name of one part: a word, a quoted name or a variable."""
    return Name(token.pos, (token.name,), (token.pos,), token.kind is QUOTED)
