"""What stands behind FROM: tables with their hints, derived tables, functions, joins, APPLY, PIVOT and UNPIVOT."""

from __future__ import annotations

from vgpt2.sql.lexer import BROKEN, END, NUMBER, VARIABLE, Token
from vgpt2.sql.parser import calls
from vgpt2.sql.parser.expressions import SET_OPERATORS, call_of, name, single
from vgpt2.sql.parser.nodes import (
    Alias,
    Call,
    Derived,
    Expression,
    FunctionTable,
    Join,
    Joined,
    Name,
    Pivot,
    Query,
    Source,
    Table,
    Unpivot,
    Values,
    Variable,
)
from vgpt2.sql.parser.stream import Stream
from vgpt2.sql.parser.words import TABLE_HINTS

_NO_ALIAS = frozenset(("USING", "OUTPUT"))
_ROWSETS = frozenset(("OPENROWSET", "OPENQUERY", "OPENDATASOURCE", "CONTAINSTABLE", "FREETEXTTABLE", "CHANGETABLE", "PREDICT"))


def from_(s: Stream) -> list[Source]:
    """from := FROM source {, source}"""
    s.expect("FROM")
    return s.listed(source)


def source(s: Stream) -> Source:
    """source := primary { join | pivot }"""
    return rest_of_source(s, primary(s))


def rest_of_source(s: Stream, first: Source) -> Source:
    """The joins and pivots behind a primary. The right side of a JOIN is a source itself, so `A JOIN B JOIN C ON .. ON ..` nests."""
    left, joins = first, list[Join]()
    while True:
        if s.at("PIVOT", "UNPIVOT"):
            left = Joined(left.pos, left, joins) if joins else left
            left, joins = (pivot(s, left) if s.at("PIVOT") else unpivot(s, left)), []
            continue
        start = s.tok
        kind = join_kind(s)
        if kind is None:
            return Joined(first.pos, left, joins) if joins else left
        joins.append(join(s, kind, start))


def join(s: Stream, kind: str, start: Token) -> Join:
    """join := CROSS JOIN primary | APPLY primary | kind JOIN source ON condition"""
    if kind in ("CROSS", "CROSS APPLY", "OUTER APPLY"):
        right = primary(s)
        while s.at("PIVOT", "UNPIVOT"):
            right = pivot(s, right) if s.at("PIVOT") else unpivot(s, right)
        return Join(start.pos, kind, right)
    s.enter()
    right = source(s)
    s.leave()
    if not s.at("ON"):
        s.fail("expected ON: this JOIN has no condition")
    s.take()
    return Join(start.pos, kind, right, s.condition())


def join_kind(s: Stream) -> str | None:
    """join_kind := [INNER | LEFT|RIGHT|FULL [OUTER]] [LOOP|HASH|MERGE|REMOTE] JOIN | CROSS JOIN | CROSS|OUTER APPLY"""
    first = s.tok.key
    if first == "JOIN":
        s.take()
        return "INNER"
    if first in ("CROSS", "OUTER"):
        s.take()
        if s.accept("APPLY"):
            return f"{first} APPLY"
        if first == "OUTER":
            s.fail("expected APPLY")
        s.expect("JOIN", "APPLY")
        return "CROSS"
    if first not in ("INNER", "LEFT", "RIGHT", "FULL"):
        return None
    s.take()
    if first != "INNER":
        s.accept("OUTER")
    s.accept("LOOP", "HASH", "MERGE", "REMOTE")
    s.expect("JOIN")
    return first


def primary(s: Stream) -> Source:
    """primary := ( query|values ) alias | ( source ) | @variable | rowset | function | table"""
    token = s.tok
    if token.key == "(":
        body = parenthesised(s)
        return derived(s, token, body) if isinstance(body, Query | Values) else body
    if token.kind is VARIABLE:
        return variable(s)
    if token.key in _ROWSETS:
        return rowset(s)
    if token.key == "OPENXML":
        return function(s, calls.call(s, single(s.take())))
    if token.key == "{":
        return outer_join_escape(s)
    while s.at(".", "::"):  # leading parts of a name may be left out: `..#t`
        s.take()
    path = name(s) if s.at_name() else s.fail("expected a table, a view or a query in parentheses")
    if s.at("(") and not at_hints(s):
        node = call_of(s, path)
        return function(s, node)
    return table(s, path)


def parenthesised(s: Stream) -> Query | Values | Source:
    """parenthesised := ( query | VALUES ... | source )"""
    s.expect("(")
    s.enter()
    content: Query | Values | Source
    if s.at("SELECT"):
        content = s.query()
    elif s.at("VALUES"):
        content = values(s)
    elif s.at("("):
        content = doubly_parenthesised(s)
    elif s.at("INSERT", "UPDATE", "DELETE", "MERGE"):
        return changed_rows(s)
    elif s.at("WITH"):
        s.fail("WITH cannot stand in parentheses; put it at the head of the statement")
    else:
        content = source(s)
    s.expect(")")
    s.leave()
    return content


def changed_rows(s: Stream) -> Source:
    """changed_rows := statement with OUTPUT ) alias: a statement that changes rows as a source of INSERT, its columns not followed"""
    first = s.tok
    while not s.at(")"):
        if s.tok.kind in (END, BROKEN):
            s.fail("expected )")
        if s.at("("):
            s.skip_parentheses()
        else:
            s.take()
    s.take()
    s.leave()
    no_function = Name(first.pos, ("", first.name), (first.pos, first.pos))
    return FunctionTable(first.pos, Call(first.pos, no_function), alias(s, with_columns=True))


def doubly_parenthesised(s: Stream) -> Query | Values | Source:
    """What begins with a second parenthesis: a query in parentheses, a set operation upon it, or joins upon a derived table."""
    first = s.tok
    content = parenthesised(s)
    if isinstance(content, Query) and s.at(*SET_OPERATORS):
        return s.grammar.rest_of_query(s, content)
    if isinstance(content, Query | Values):
        return content if s.at(")") else rest_of_source(s, derived(s, first, content))
    return rest_of_source(s, content)


def derived(s: Stream, first: Token, body: Query | Values) -> Derived:
    """derived := ( query|values ) [AS] name [( column {, column} )]"""
    node = alias(s, with_columns=True)
    if node is None:
        s.fail("expected a name: a query in FROM needs one")
    return Derived(first.pos, body, node)


def values(s: Stream) -> Values:
    """values := VALUES ( expression {, expression} ) {, ( ... )}"""
    first = s.expect("VALUES")
    return Values(first.pos, s.listed(row))


def row(s: Stream) -> list[Expression]:
    """row := ( DEFAULT|expression {, DEFAULT|expression} )"""
    s.expect("(")
    s.enter()
    expressions = s.listed(calls.argument)
    s.expect(")")
    s.leave()
    return expressions


def table(s: Stream, path: Name) -> Table:
    """table := name [FOR SYSTEM_TIME ...] [hints] [[AS] alias] [TABLESAMPLE ( ... )] [hints]"""
    node = Table(path.pos, path)
    if s.at_words("FOR", "SYSTEM_TIME"):
        system_time(s)
    hints(s, node)
    node.alias = alias(s)
    if s.accept("TABLESAMPLE"):
        s.accept("SYSTEM")
        s.skip_parentheses()
        if s.accept("REPEATABLE"):
            s.skip_parentheses()
    hints(s, node)
    return node


def variable(s: Stream) -> Table | FunctionTable:
    """variable := @table [[AS] alias] | @xml.nodes( ... ) alias"""
    token = s.take()
    if s.at("."):
        return function(s, calls.method(s, Variable(token.pos, token.text)))
    node = Table(token.pos, single(token), alias(s))
    hints(s, node)
    return node


def function(s: Stream, call: Call) -> FunctionTable:
    """function := call [WITH ( column type ... )] [[AS] alias [( column {, column} )]]"""
    node = FunctionTable(call.pos, call)
    if call.key in ("OPENJSON", "OPENXML") and s.at_words("WITH", "("):
        s.take()
        node.columns = declared_columns(s)
    node.alias = alias(s, with_columns=True)
    if at_hints(s) or s.at_words("WITH", "("):
        hints(s, Table(call.pos, call.name))
    return node


def declared_columns(s: Stream) -> list[str] | None:
    """declared_columns := ( name type [path] [AS JSON] {, ...} | table ); None for the columns of a table"""
    s.expect("(")
    names = []
    while True:
        names.append(s.name("a column").name)
        if s.at(")"):
            break
        calls.type_name(s)
        if s.at_string():
            s.take()
        s.accept_words("AS", "JSON")
        if not s.accept(","):
            break
    s.expect(")")
    return names


def rowset(s: Stream) -> FunctionTable:
    """rowset := OPENROWSET|OPENQUERY|CONTAINSTABLE|... ( anything ) {. name} [alias]"""
    token = s.take()
    s.skip_parentheses()
    while s.accept("."):
        if not s.at("."):
            s.name("a table")
    return FunctionTable(token.pos, Call(token.pos, single(token)), alias(s, with_columns=True))


def outer_join_escape(s: Stream) -> Source:
    """outer_join_escape := { oj source }, as view designers write it"""
    s.expect("{")
    s.expect("OJ")
    node = source(s)
    s.expect("}")
    return node


def system_time(s: Stream) -> None:
    """system_time := FOR SYSTEM_TIME ( ALL | AS OF x | FROM x TO y | BETWEEN x AND y | CONTAINED IN ( x , y ) )"""
    s.take()
    s.take()
    if s.accept("ALL"):
        return
    if s.accept_words("CONTAINED", "IN"):
        s.skip_parentheses()
        return
    if s.accept_words("AS", "OF"):
        s.expression()
        return
    s.expect("FROM", "BETWEEN")
    s.expression()
    s.expect("TO", "AND")
    s.expression()


def alias(s: Stream, *, with_columns: bool = False) -> Alias | None:
    """alias := [AS] name [( column {, column} )]"""
    if not s.accept("AS") and not at_alias(s):
        return None
    token = s.name("an alias")
    node = Alias(token.pos, token.name)
    if with_columns and s.at("("):
        node.columns = column_names(s)
    return node


def at_alias(s: Stream) -> bool:
    """Whether the next word is an alias without AS, and not the beginning of a clause of this or of another dialect."""
    if not s.at_name() or s.tok.key in _NO_ALIAS:
        return False
    if s.tok.key == "LIMIT" and (s.peek().kind is NUMBER or s.peek().kind is VARIABLE):
        s.fail("T-SQL has no LIMIT; write SELECT TOP (n)")
    return not (s.tok.key == "WINDOW" and s.at_name(1) and s.peek(2).key == "AS")


def column_names(s: Stream) -> list[str]:
    """column_names := ( name {, name} )"""
    s.expect("(")
    names = [token.name for token in s.listed(lambda s: s.name("a column"))]
    s.expect(")")
    return names


def hints(s: Stream, node: Table) -> None:
    """hints := { [WITH] ( hint {[,] hint} ) }"""
    while at_hints(s) or s.at_words("WITH", "("):
        s.accept("WITH")
        s.expect("(")
        while True:
            node.hints.add(hint(s))
            if not s.accept(",") and s.at(")"):
                break
        s.expect(")")
    if s.at("WITH") and s.peek().key in TABLE_HINTS:
        s.fail(f"table hints stand in parentheses: WITH ({s.peek().key})")


def at_hints(s: Stream) -> bool:
    """Whether a parenthesis opens table hints, the old form without WITH, and not the arguments of a function."""
    return s.tok.key == "(" and s.peek().key in TABLE_HINTS and (s.peek(2).key in (")", ",", "=", "(") or s.peek(2).key in TABLE_HINTS)


def hint(s: Stream) -> str:
    """hint := NOLOCK | ... | INDEX ( index {, index} ) | INDEX = index | FORCESEEK [( ... )]"""
    if s.tok.key not in TABLE_HINTS:
        s.fail("expected a table hint such as NOLOCK")
    key = s.take().key
    if s.accept("="):
        if s.at("("):
            s.skip_parentheses()
        else:
            s.take()
    elif s.at("("):
        s.skip_parentheses()
    return key


def pivot(s: Stream, left: Source) -> Pivot:
    """pivot := PIVOT ( aggregate FOR column IN ( name {, name} ) ) [AS] alias"""
    first = s.expect("PIVOT")
    s.expect("(")
    aggregate = calls.call(s, name(s))
    s.expect("FOR")
    column = name(s)
    s.expect("IN")
    made = column_names(s)
    s.expect(")")
    return Pivot(first.pos, left, aggregate, column, made, _required_alias(s, "PIVOT"))


def unpivot(s: Stream, left: Source) -> Unpivot:
    """unpivot := UNPIVOT ( value FOR name IN ( column {, column} ) ) [AS] alias"""
    first = s.expect("UNPIVOT")
    s.expect("(")
    value = s.name("a column").name
    s.expect("FOR")
    label = s.name("a column").name
    s.expect("IN")
    columns = s.in_parentheses(lambda s: s.listed(name))
    s.expect(")")
    return Unpivot(first.pos, left, value, label, columns, _required_alias(s, "UNPIVOT"))


def _required_alias(s: Stream, construct: str) -> Alias:
    node = alias(s, with_columns=True)
    if node is None:
        s.fail(f"expected a name: {construct} needs one")
    return node
