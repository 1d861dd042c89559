"""Queries: SELECT with its clauses, set operations, ORDER BY and FOR XML."""

from __future__ import annotations

from vgpt2.sql.lexer import NUMBER, STRING, VARIABLE, Token
from vgpt2.sql.parser import calls
from vgpt2.sql.parser.expressions import SET_OPERATORS, name, parenthesis
from vgpt2.sql.parser.nodes import CONDITIONS, Cte, Expression, Item, Literal, Name, Query, Select, SetOperation, Star, Subquery, Window
from vgpt2.sql.parser.sources import column_names, from_
from vgpt2.sql.parser.stream import Stream

_ASSIGNMENTS = frozenset(("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^="))
_CONDITION_SIGNS = frozenset(("=", "<>", "!=", "<", ">", "<=", ">=", "AND", "OR", "LIKE", "BETWEEN", "IN", "IS", "NOT"))


def query(s: Stream) -> Query:
    """query := branch { UNION [ALL]|EXCEPT|INTERSECT branch } tail"""
    s.enter()
    first = s.tok
    node = branch(s)
    branches, operators = [node], list[str]()
    while s.at(*SET_OPERATORS):
        operators.append(set_operator(s))
        branches.append(branch(s))
    body = SetOperation(first.pos, branches, operators) if operators else node
    s.leave()
    return tail(s, Query(first.pos, body))


def rest_of_query(s: Stream, first: Query) -> Query:
    """A query whose first branch, in parentheses, is read."""
    branches: list[Select | Query] = [first]
    operators = []
    while s.at(*SET_OPERATORS):
        operators.append(set_operator(s))
        branches.append(branch(s))
    return tail(s, Query(first.pos, SetOperation(first.pos, branches, operators)))


def set_operator(s: Stream) -> str:
    """set_operator := UNION [ALL] | EXCEPT | INTERSECT"""
    operator = s.take().key
    return "UNION ALL" if operator == "UNION" and s.accept("ALL") else operator


def branch(s: Stream) -> Select | Query:
    """branch := select | ( query )"""
    if s.at("("):
        node = parenthesis(s)
        if not isinstance(node, Subquery):
            s.fail("expected SELECT")
        return node.query
    return select(s)


def tail(s: Stream, node: Query) -> Query:
    """tail := [ORDER BY ... [OFFSET expression ROWS [FETCH NEXT expression ROWS ONLY]]] [FOR XML|JSON|BROWSE ...]"""
    if s.at("ORDER"):
        node.order_by = calls.order_by(s)
        if s.accept("OFFSET"):
            node.limits = offset(s)
    if s.at("FOR") and s.peek().key in ("XML", "JSON", "BROWSE"):
        s.take()
        node.for_clause = for_clause(s)
    return node


def offset(s: Stream) -> list[Expression]:
    """offset := expression ROW|ROWS [FETCH FIRST|NEXT expression ROW|ROWS ONLY]"""
    limits = [s.expression()]
    s.expect("ROWS", "ROW")
    if s.at("FETCH") and s.peek().key in ("NEXT", "FIRST"):
        s.take()
        s.take()
        limits.append(s.expression())
        s.expect("ROWS", "ROW")
        s.expect("ONLY")
    return limits


def for_clause(s: Stream) -> str:
    """for_clause := BROWSE | XML|JSON mode [( string )] {, directive}, the FOR being read"""
    kind = s.take().key
    if kind == "BROWSE":
        return kind
    s.expect("PATH", "AUTO", "RAW", "EXPLICIT")
    if s.at("("):
        s.skip_parentheses()
    while s.accept(","):
        s.name("a directive such as TYPE or ROOT")
        while s.at("XSINIL", "ABSENT", "BASE64"):
            s.take()
        if s.at("("):
            s.skip_parentheses()
    return kind


def select(s: Stream) -> Select:
    """select := SELECT [ALL|DISTINCT] [top] item {, item} [INTO name] [from] [WHERE condition] [group_by] [HAVING condition] [windows]"""
    first = s.expect("SELECT")
    node = Select(first.pos, [])
    node.distinct = s.tok.key == "DISTINCT"
    s.accept("ALL", "DISTINCT")
    if s.accept("TOP"):
        node.top = top(s)
    node.items = s.listed(item)
    if s.accept("INTO"):
        node.into = name(s)
    if s.at("FROM"):
        node.sources = from_(s)
    if s.accept("WHERE"):
        node.where = s.condition()
    if s.accept("GROUP"):
        s.expect("BY")
        node.group_by = group_by(s)
        node.grouped = True
    if s.accept("HAVING"):
        node.having = s.condition()
    if s.at("WINDOW") and s.at_name(1) and s.peek(2).key == "AS":
        s.take()
        node.windows = s.listed(named_window)
    return node


def top(s: Stream) -> Expression:
    """top := ( expression ) | number, then [PERCENT] [WITH TIES]"""
    if s.at("("):
        first = s.tok
        count = parenthesis(s)
        if isinstance(count, CONDITIONS):
            s.fail("expected a number of rows", first)
    elif s.tok.kind is NUMBER:
        count = Literal(s.tok.pos, "number", s.take().text)
    else:
        s.fail("expected a number or a parenthesis behind TOP")
    s.accept("PERCENT")
    s.accept_words("WITH", "TIES")
    return count


def item(s: Stream) -> Item:
    """item := * | name.* | @variable = expression | alias = expression | expression [[AS] alias]"""
    first = s.tok
    if first.kind is VARIABLE and s.peek().key in _ASSIGNMENTS:
        s.take()
        s.take()
        return Item(first.pos, s.expression(), variable=first.text)
    if (first.kind is STRING or s.at_name()) and s.peek().key == "=":
        s.take()
        s.take()
        return Item(first.pos, value(s), alias=_alias_text(first))
    star = star_or_none(s)
    if star is not None:
        return Item(first.pos, star)
    node = Item(first.pos, value(s))
    if s.accept("AS"):
        if not (s.at_name() or s.at_string()):
            s.fail("expected an alias")
        node.alias = _alias_text(s.take())
    elif s.at_name() or s.at_string():
        node.alias = _alias_text(s.take())
    return node


def value(s: Stream) -> Expression:
    """An expression of a select list; a comparison there gets its own message."""
    node = s.expression()
    if s.tok.key in _CONDITION_SIGNS:
        s.fail("a condition has no value in T-SQL; use CASE or IIF")
    return node


def star_or_none(s: Stream) -> Star | None:
    """star := [name {. name} .] *"""
    if s.at("*"):
        return Star(s.take().pos)
    ahead = 0
    while s.at_name(ahead) and s.peek(ahead + 1).key == ".":
        ahead += 2
        while s.peek(ahead).key == ".":
            ahead += 1
    if not ahead or s.peek(ahead).key != "*":
        return None
    first = s.tok
    tokens = [s.take() for _ in range(ahead + 1)]
    names = [token for token in tokens if token.key not in (".", "*")]
    return Star(first.pos, Name(first.pos, tuple(t.name for t in names), tuple(t.pos for t in names)))


def group_by(s: Stream) -> list[Expression]:
    """group_by := [ALL] grouping {, grouping} [WITH ROLLUP|CUBE], GROUP BY being read"""
    s.accept("ALL")
    found = [expression for group in s.listed(grouping) for expression in group]
    if s.at("WITH") and s.peek().key in ("ROLLUP", "CUBE"):
        s.take()
        s.take()
    return found


def grouping(s: Stream) -> list[Expression]:
    """grouping := ROLLUP|CUBE|GROUPING SETS ( grouping {, grouping} ) | ( [grouping {, grouping}] ) | expression"""
    if s.at_words("GROUPING", "SETS"):
        s.take()
        s.take()
        return groupings(s)
    if s.at("ROLLUP", "CUBE") and s.peek().key == "(":
        s.take()
        return groupings(s)
    if s.at("(") and (s.peek().key == ")" or _holds_a_comma(s)):
        return groupings(s)
    first = s.tok
    node = s.expression()
    if isinstance(node, Literal) and node.kind == "number":
        s.fail("GROUP BY takes columns, not positions", first)
    return [node]


def groupings(s: Stream) -> list[Expression]:
    """groupings := ( [grouping {, grouping}] )"""
    s.expect("(")
    if s.accept(")"):
        return []
    s.enter()
    found = [expression for group in s.listed(grouping) for expression in group]
    s.expect(")")
    s.leave()
    return found


def _holds_a_comma(s: Stream) -> bool:
    """Whether the parenthesis at the cursor is a list: it has a comma of its own."""
    depth = ahead = 0
    while True:
        key = s.peek(ahead).key
        depth += {"(": 1, ")": -1}.get(key, 0)
        if depth == 1 and key == ",":
            return True
        if depth == 0 or s.index + ahead >= len(s.tokens):
            return False
        ahead += 1


def named_window(s: Stream) -> Window:
    """named_window := name AS window"""
    s.name("a window")
    s.expect("AS")
    return calls.window(s)


def with_(s: Stream) -> list[Cte]:
    """with := WITH [XMLNAMESPACES ( ... ) ,] cte {, cte}"""
    s.expect("WITH")
    if s.at_words("XMLNAMESPACES", "("):
        s.take()
        s.skip_parentheses()
        if not s.accept(","):
            return []
    return s.listed(cte)


def cte(s: Stream) -> Cte:
    """cte := name [( column {, column} )] AS ( query )"""
    token = s.name("the name of a common table expression")
    columns = column_names(s) if s.at("(") else None
    s.expect("AS")
    s.expect("(")
    s.enter()
    body = s.query()
    s.expect(")")
    s.leave()
    return Cte(token.pos, token.name, columns, body)


def _alias_text(token: Token) -> str:
    """The alias meant by a name or a string."""
    if token.kind is STRING:
        return token.text[token.text.index("'") + 1 : -1].replace("''", "'")
    return token.name
