"""Statements that change rows: INSERT, UPDATE, DELETE and MERGE, with OUTPUT."""

from __future__ import annotations

from collections.abc import Callable

from vgpt2.sql.lexer import VARIABLE
from vgpt2.sql.parser import calls
from vgpt2.sql.parser.execute import execute
from vgpt2.sql.parser.expressions import name, single
from vgpt2.sql.parser.nodes import Condition, Item, Name, Query, Table, Values
from vgpt2.sql.parser.select import item, top
from vgpt2.sql.parser.sources import alias, from_, hints, source, values
from vgpt2.sql.parser.statement_nodes import Assignment, Delete, Insert, Merge, MergeWhen, Update
from vgpt2.sql.parser.stream import Stream

_SETS = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^="))


def insert(s: Stream) -> Insert:
    """insert := INSERT [TOP ( n )] [INTO] target [( column {, column} )] [output] ( values | query | EXEC ... | DEFAULT VALUES )"""
    first = s.expect("INSERT")
    if s.accept("TOP"):
        top(s)
    s.accept("INTO")
    where = target(s)
    hints(s, where)
    columns: list[Name] = []
    if s.at("(") and s.peek().key not in ("SELECT", "("):
        columns = s.in_parentheses(lambda s: s.listed(name))
    written = output(s)
    return Insert(first.pos, where, columns, inserted_rows(s), output=written)


def inserted_rows(s: Stream) -> Query | Values | None:
    """inserted_rows := VALUES ... | query | DEFAULT VALUES | EXEC ...; None for the last two"""
    if s.at("VALUES"):
        return values(s)
    if s.accept_words("DEFAULT", "VALUES"):
        return None
    if s.at("EXEC", "EXECUTE"):
        execute(s)
        return None
    if not s.at("SELECT", "("):
        s.fail("expected VALUES or SELECT")
    return s.query()


def target(s: Stream) -> Table:
    """target := name | @name"""
    token = s.tok
    if token.kind is VARIABLE:
        return Table(token.pos, single(s.take()))
    return Table(token.pos, name(s))


def update(s: Stream) -> Update:
    """update := UPDATE [TOP ( n )] target [hints] SET assignment {, assignment} [output] [from] [WHERE condition]"""
    first = s.expect("UPDATE")
    if s.accept("TOP"):
        top(s)
    node = Update(first.pos, target(s), [])
    hints(s, node.target)
    s.expect("SET")
    node.assignments = s.listed(assignment)
    node.output = output(s)
    if s.at("FROM"):
        node.sources = from_(s)
    node.where = where(s)
    return node


def assignment(s: Stream) -> Assignment:
    """assignment := [@name =] column operator expression | @name operator expression | column . WRITE ( ... )"""
    first = s.tok
    if first.kind is VARIABLE:
        s.take()
        if s.peek(1).kind is not VARIABLE and s.at("=") and s.at_name(1) and _is_column_assignment(s):
            s.take()
            return assignment(s)
        s.expect(*_SETS)
        return Assignment(first.pos, None, calls.argument(s))
    column = name(s)
    if s.at("("):
        return Assignment(first.pos, None, calls.call(s, column))
    s.expect(*_SETS)
    return Assignment(first.pos, column, calls.argument(s))


def _is_column_assignment(s: Stream) -> bool:
    """Whether `@v =` goes on with `column =`, and not with a value."""
    ahead = 1
    while s.at_name(ahead) and s.peek(ahead + 1).key == ".":
        ahead += 2
    return s.peek(ahead + 1).key == "="


def where(s: Stream) -> Condition | None:
    """where := [WHERE ( condition | CURRENT OF cursor )]"""
    if not s.accept("WHERE"):
        return None
    if s.accept("CURRENT"):
        s.expect("OF")
        s.accept("GLOBAL")
        s.take()
        return None
    return s.condition()


def delete(s: Stream) -> Delete:
    """delete := DELETE [TOP ( n )] [FROM] target [hints] [output] [from] [WHERE condition]"""
    first = s.expect("DELETE")
    if s.accept("TOP"):
        top(s)
    s.accept("FROM")
    node = Delete(first.pos, target(s))
    hints(s, node.target)
    node.output = output(s)
    if s.at("FROM"):
        node.sources = from_(s)
    node.where = where(s)
    return node


def output(s: Stream) -> list[Item]:
    """output := { OUTPUT item {, item} [INTO target [( column {, column} )]] }"""
    items: list[Item] = []
    while s.accept("OUTPUT"):
        items += s.listed(item)
        if s.accept("INTO"):
            target(s)
            if s.at("("):
                s.skip_parentheses()
    return items


def merge(s: Stream) -> Merge:
    """merge := MERGE [TOP ( n )] [INTO] target [hints] [[AS] alias] USING source ON condition merge_when {merge_when} [output]"""
    first = s.expect("MERGE")
    if s.accept("TOP"):
        top(s)
    s.accept("INTO")
    into = target(s)
    hints(s, into)
    into.alias = alias(s)
    s.expect("USING")
    using = source(s)
    s.expect("ON")
    node = Merge(first.pos, into, using, s.condition(), [])
    if not s.at("WHEN"):
        s.fail("expected WHEN")
    while s.at("WHEN"):
        node.whens.append(merge_when(s))
    node.output = output(s)
    return node


def merge_when(s: Stream) -> MergeWhen:
    """merge_when := WHEN [NOT] MATCHED [BY TARGET|SOURCE] [AND condition] THEN ( UPDATE SET ... | DELETE | INSERT [( ... )] values )"""
    first = s.expect("WHEN")
    s.accept("NOT")
    s.expect("MATCHED")
    if s.accept("BY"):
        s.expect("TARGET", "SOURCE")
    node = MergeWhen(first.pos, s.condition() if s.accept("AND") else None, [], [], [])
    s.expect("THEN")
    if s.accept("DELETE"):
        return node
    if s.accept("UPDATE"):
        s.expect("SET")
        node.assignments = s.listed(assignment)
        return node
    s.expect("INSERT")
    if s.at("("):
        node.columns = s.in_parentheses(lambda s: s.listed(name))
    if s.accept_words("DEFAULT", "VALUES"):
        return node
    node.values = [value for row in values(s).rows for value in row]
    return node


PRODUCTIONS: dict[str, Callable[[Stream], Insert | Update | Delete | Merge]] = {
    "INSERT": insert,
    "UPDATE": update,
    "DELETE": delete,
    "MERGE": merge,
}
