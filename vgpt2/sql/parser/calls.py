"""Function calls and the constructs that look like them: CASE, CAST, CONVERT, IIF, TRIM, ODBC escapes, methods, windows, types."""

from __future__ import annotations

from collections.abc import Callable

from vgpt2.sql.lexer import NUMBER, QUOTED, WORD, Token
from vgpt2.sql.parser.nodes import Call, Case, Condition, Expression, Literal, Name, OrderItem, Star, TypeName, When, Window
from vgpt2.sql.parser.stream import Stream
from vgpt2.sql.parser.words import DATEPART_FUNCTIONS, DATEPARTS, FOREIGN_TYPES

_COUNTS_ROWS = frozenset(("COUNT", "COUNT_BIG", "CHECKSUM", "BINARY_CHECKSUM", "CHECKSUM_AGG", "APPROX_COUNT_DISTINCT"))


def call(s: Stream, name: Name) -> Call:
    """call := name ( [datepart ,] [DISTINCT|ALL] [argument {, argument}] ) [WITHIN GROUP ( ORDER BY ... )] [OVER window]"""
    s.expect("(")
    s.enter()
    node = Call(name.pos, name)
    if node.key in DATEPART_FUNCTIONS:
        node.datepart = datepart(s)
        s.expect(",")
    node.distinct = s.tok.key == "DISTINCT"
    s.accept("DISTINCT", "ALL")
    if s.at("*") and node.key in _COUNTS_ROWS:
        node.args.append(Star(s.take().pos))
    elif not s.at(")"):
        node.args.extend(s.listed(argument))
    s.expect(")")
    s.leave()
    return after_call(s, node)


def after_call(s: Stream, node: Call) -> Call:
    """after_call := [WITHIN GROUP ( ORDER BY ... )] [IGNORE|RESPECT NULLS] [OVER window]"""
    if s.tok.kind is not WORD:
        return node
    if s.accept_words("WITHIN", "GROUP"):
        node.within_group = s.in_parentheses(order_by)
    if not s.accept_words("IGNORE", "NULLS"):
        s.accept_words("RESPECT", "NULLS")
    if s.accept("OVER"):
        node.over = window(s)
    return node


def argument(s: Stream) -> Expression:
    """argument := DEFAULT | expression"""
    default = s.accept("DEFAULT")
    return word(default) if default else s.expression()


def word(token: Token) -> Literal:
    """A word that stands for a value: DEFAULT, or a bare argument of EXEC."""
    return Literal(token.pos, "niladic", token.text)


def datepart(s: Stream) -> str:
    """datepart := year | yy | month | ...: a bare word"""
    if s.tok.kind not in (WORD, QUOTED) or s.tok.name.upper() not in DATEPARTS:
        s.fail("expected a datepart such as day, month or year")
    return s.take().name.upper()


def window(s: Stream) -> Window:
    """window := name | ( [name] [PARTITION BY expression {, expression}] [ORDER BY ...] [frame] )"""
    first = s.tok
    node = Window(first.pos)
    if s.tok.key != "(":
        s.name("( behind OVER")
        return node
    s.take()
    if s.at_name() and not s.at_words("PARTITION", "BY") and s.tok.key not in ("ROWS", "RANGE"):
        s.take()
    if s.accept_words("PARTITION", "BY"):
        node.partition_by = s.listed(Stream.expression)
    if s.at("ORDER"):
        node.order_by = order_by(s)
    if s.accept("ROWS", "RANGE"):
        frame(s)
    s.expect(")")
    return node


def frame(s: Stream) -> None:
    """frame := bound | BETWEEN bound AND bound"""
    if s.accept("BETWEEN"):
        bound(s)
        s.expect("AND")
    bound(s)


def bound(s: Stream) -> None:
    """bound := UNBOUNDED PRECEDING|FOLLOWING | CURRENT ROW | number PRECEDING|FOLLOWING"""
    if s.accept("CURRENT"):
        s.expect("ROW")
        return
    if not s.accept("UNBOUNDED"):
        s.expression()
    s.expect("PRECEDING", "FOLLOWING")


def order_by(s: Stream) -> list[OrderItem]:
    """order_by := ORDER BY order_item {, order_item}"""
    s.expect("ORDER")
    s.expect("BY")
    return s.listed(order_item)


def order_item(s: Stream) -> OrderItem:
    """order_item := expression [ASC|DESC]"""
    node = OrderItem(s.tok.pos, s.expression())
    s.accept("ASC", "DESC")
    if s.at("NULLS"):
        s.fail("T-SQL has no NULLS FIRST or NULLS LAST; order by CASE WHEN x IS NULL THEN 1 ELSE 0 END first")
    return node


def case(s: Stream) -> Case:
    """case := CASE [expression] WHEN test THEN expression {WHEN ...} [ELSE expression] END"""
    first = s.expect("CASE")
    s.enter()
    operand = None if s.at("WHEN") else s.expression()
    branches = []
    if not s.at("WHEN"):
        s.fail("expected WHEN")
    while s.at("WHEN"):
        start = s.take()
        test: Expression | Condition = s.condition() if operand is None else s.expression()
        s.expect("THEN")
        branches.append(When(start.pos, test, s.expression()))
    default = s.expression() if s.accept("ELSE") else None
    s.expect("END")
    s.leave()
    return Case(first.pos, operand, branches, default)


def cast(s: Stream) -> Call:
    """cast := CAST|TRY_CAST ( expression AS type )"""
    node = _opened(s)
    node.args.append(s.expression())
    s.expect("AS")
    node.type = type_name(s)
    return _closed(s, node)


def convert(s: Stream) -> Call:
    """convert := CONVERT|TRY_CONVERT ( type , expression [, style] )"""
    node = _opened(s)
    node.type = type_name(s)
    s.expect(",")
    node.args.extend(s.listed(Stream.expression))
    if len(node.args) > 2:
        s.fail(f"{node.name.last.upper()} takes a type, a value and perhaps a style")
    return _closed(s, node)


def parse(s: Stream) -> Call:
    """parse := PARSE|TRY_PARSE ( expression AS type [USING expression] )"""
    node = _opened(s)
    node.args.append(s.expression())
    s.expect("AS")
    node.type = type_name(s)
    if s.accept("USING"):
        node.args.append(s.expression())
    return _closed(s, node)


def iif(s: Stream) -> Call:
    """iif := IIF ( condition , expression , expression )"""
    node = _opened(s)
    node.args.append(s.condition())
    for _ in range(2):
        s.expect(",")
        node.args.append(s.expression())
    return _closed(s, node)


def trim(s: Stream) -> Call:
    """trim := TRIM ( [[LEADING|TRAILING|BOTH] expression FROM] expression )"""
    node = _opened(s)
    if s.at("LEADING", "TRAILING", "BOTH") and s.peek().key not in (")", ",", ".", "FROM"):
        s.take()
    node.args.append(s.expression())
    if s.accept("FROM"):
        node.args.append(s.expression())
    return _closed(s, node)


def identity(s: Stream) -> Call:
    """identity := IDENTITY ( type [, expression , expression] ), in SELECT INTO"""
    node = _opened(s)
    node.type = type_name(s)
    while s.accept(","):
        node.args.append(s.expression())
    return _closed(s, node)


def json_constructor(s: Stream) -> Call:
    """json_constructor := JSON_OBJECT|JSON_ARRAY|... ( ... ), whose pairs 'key': value have a grammar of their own"""
    first = s.take()
    s.skip_parentheses()
    return after_call(s, Call(first.pos, _single(first)))


def next_value(s: Stream) -> Call:
    """next_value := NEXT VALUE FOR sequence [OVER window]"""
    first = s.take()
    s.expect("VALUE")
    s.expect("FOR")
    s.name("a sequence")
    while s.accept("."):
        s.name("a sequence")
    return after_call(s, Call(first.pos, _single(first)))


def odbc_escape(s: Stream) -> Expression:
    """odbc_escape := { fn name ( arguments ) } | { d|t|ts|guid string }"""
    first = s.expect("{")
    kind = s.take()
    if kind.key == "FN":
        function = s.take()
        s.skip_parentheses()
        s.expect("}")
        return Call(first.pos, Name(function.pos, ("fn", function.name), (kind.pos, function.pos)))
    if kind.key not in ("D", "T", "TS", "GUID") or not s.at_string():
        s.fail("expected {fn ..}, {d '..'}, {t '..'} or {ts '..'}", kind)
    text = s.take()
    s.expect("}")
    return Literal(first.pos, "string", text.text)


def method(s: Stream, target: Expression | TypeName) -> Call:
    """method := . name ( arguments ), the dot being read"""
    if s.at("."):
        s.take()
    return method_call(s, target, _single(s.name("a method")))


def method_call(s: Stream, target: Expression | TypeName, name: Name) -> Call:
    """method_call := ( arguments ), behind a target and a method's name"""
    node = call(s, name)
    node.target = target
    return node


def type_name(s: Stream) -> TypeName:
    """type := name [. name] [( number|MAX [, number] )] | DOUBLE PRECISION | [NATIONAL] CHAR|CHARACTER [VARYING] [( number )]"""
    first = s.tok
    if s.accept("DOUBLE"):
        s.expect("PRECISION")
        return TypeName(first.pos, "double precision")
    if s.accept("NATIONAL") and not s.at("CHAR", "CHARACTER", "TEXT"):
        s.fail("expected CHAR or TEXT")
    token = s.take() if s.at("CURSOR") else s.name("a type")
    if s.accept("."):
        token = s.name("a type")
    s.accept("VARYING")
    if token.kind is not QUOTED and token.key in FOREIGN_TYPES:
        s.fail(f"T-SQL has no type {token.text}; write {FOREIGN_TYPES[token.key]}", token)
    return TypeName(first.pos, token.name, type_arguments(s, token) if s.at("(") else ())


def type_arguments(s: Stream, token: Token) -> tuple[str, ...]:
    """type_arguments := ( number|MAX [, number] ); those of xml name a schema"""
    if token.key == "XML":
        s.skip_parentheses()
        return ()
    s.take()
    arguments = []
    for place in range(2):
        if not (s.tok.kind is NUMBER or (place == 0 and s.at("MAX"))):
            s.fail("expected a length" if place == 0 else "expected a scale")
        arguments.append(s.take().text)
        if place == 1 or not s.accept(","):
            break
    s.expect(")")
    return tuple(arguments)


def _opened(s: Stream) -> Call:
    """A call whose name and parenthesis are read."""
    first = s.take()
    s.expect("(")
    s.enter()
    return Call(first.pos, _single(first))


def _closed(s: Stream, node: Call) -> Call:
    s.expect(")")
    s.leave()
    return node


def _single(token: Token) -> Name:
    return Name(token.pos, (token.name,), (token.pos,), token.kind is QUOTED)


# What begins a construct, the token that must follow for it to be one, and the production.
CONSTRUCTS: dict[str, tuple[str | None, Callable[[Stream], Expression]]] = {
    "CASE": (None, case),
    "CAST": ("(", cast),
    "TRY_CAST": ("(", cast),
    "CONVERT": ("(", convert),
    "TRY_CONVERT": ("(", convert),
    "PARSE": ("(", parse),
    "TRY_PARSE": ("(", parse),
    "IIF": ("(", iif),
    "TRIM": ("(", trim),
    "IDENTITY": ("(", identity),
    "JSON_OBJECT": ("(", json_constructor),
    "JSON_ARRAY": ("(", json_constructor),
    "JSON_OBJECTAGG": ("(", json_constructor),
    "JSON_ARRAYAGG": ("(", json_constructor),
    "NEXT": ("VALUE", next_value),
}
