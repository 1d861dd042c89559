"""Expressions and conditions. T-SQL keeps the two apart: a comparison has no value, so `SELECT a > 1` and `WHERE a` are errors.

One function a production, loosest binding first. A parenthesis may hold either kind, so `disjunction` reads both, and whoever calls it asks
for the kind it needs.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import NoReturn

from vgpt2.sql.lexer import BROKEN, NUMBER, QUOTED, STRING, VARIABLE, WORD, Token
from vgpt2.sql.parser import calls
from vgpt2.sql.parser.nodes import (
    CONDITIONS,
    Arithmetic,
    Call,
    Comparison,
    Condition,
    Exists,
    Expression,
    Literal,
    Logical,
    Name,
    Not,
    Subquery,
    Test,
    TypeName,
    Unary,
    Variable,
)
from vgpt2.sql.parser.stream import Stream
from vgpt2.sql.parser.words import FUNCTION_WORDS, NILADIC, RESERVED, STATIC_TYPES, XML_METHODS

SET_OPERATORS = ("UNION", "EXCEPT", "INTERSECT")
_COMPARISONS = frozenset(("=", "<>", "!=", "<", ">", "<=", ">=", "!<", "!>", "!"))
_DATE_LITERAL = re.compile(r"N?'\s*\d{1,4}[-/.:]")


def expression(s: Stream) -> Expression:
    """expression := sum, which must have a value."""
    first = s.tok
    return _value(s, sum_(s), first)


def condition(s: Stream) -> Condition:
    """condition := disjunction, which must be true or false."""
    first = s.tok
    return _condition(s, disjunction(s), first)


def disjunction(s: Stream) -> Expression | Condition:
    """disjunction := conjunction { OR conjunction }"""
    return _logical(s, "OR", conjunction)


def conjunction(s: Stream) -> Expression | Condition:
    """conjunction := negation { AND negation }"""
    return _logical(s, "AND", negation)


def _logical(s: Stream, operator: str, operand: Callable[[Stream], Expression | Condition]) -> Expression | Condition:
    first = s.tok
    node = operand(s)
    if s.tok.key != operator:
        return node
    operands = [_condition(s, node, first)]
    while s.accept(operator):
        start = s.tok
        operands.append(_condition(s, operand(s), start))
    return Logical(first.pos, operator, operands)


def negation(s: Stream) -> Expression | Condition:
    """negation := { NOT } predicate"""
    if s.tok.key != "NOT":
        return predicate(s)
    first = s.tok
    while s.accept("NOT"):
        pass
    start = s.tok
    return Not(first.pos, _condition(s, predicate(s), start))


def predicate(s: Stream) -> Expression | Condition:
    """predicate := EXISTS ( query ) | CONTAINS ( ... ) | sum [ comparison | [NOT] LIKE | [NOT] BETWEEN | [NOT] IN | IS ... ]"""
    first = s.tok
    if first.key in _LEADING_PREDICATES:
        return _LEADING_PREDICATES[first.key](s)
    left = sum_(s)
    operator = s.tok.key
    if operator in _COMPARISONS:
        return comparison(s, _value(s, left, first))
    if operator == "NOT" or operator in _PREDICATES:
        left = _value(s, left, first)
        negated = bool(s.accept("NOT"))
        if s.tok.key not in _PREDICATES or (negated and s.tok.key == "IS"):
            s.fail("expected LIKE, IN or BETWEEN")
        return _PREDICATES[s.tok.key](s, left, negated)
    return left


def comparison(s: Stream, left: Expression) -> Condition:
    """comparison := operator ( expression | ALL|ANY|SOME ( query ) ); T-SQL allows blanks inside operators, as in `> =`."""
    operator = s.take().key
    if operator in ("<", ">", "!") and s.at("=", ">", "<"):
        operator += s.take().key
    if operator == "!":
        s.fail("expected an operator")
    if s.accept("ALL", "ANY", "SOME"):
        return Comparison(left.pos, left, operator, subquery(s))
    return Comparison(left.pos, left, operator, expression(s))


def like(s: Stream, left: Expression, negated: bool) -> Condition:
    """like := LIKE expression [ESCAPE expression]"""
    s.take()
    operands = [left, expression(s)]
    if s.accept("ESCAPE"):
        operands.append(expression(s))
    return Test(left.pos, "LIKE", operands, negated)


def between(s: Stream, left: Expression, negated: bool) -> Condition:
    """between := BETWEEN expression AND expression"""
    s.take()
    low = expression(s)
    s.expect("AND")
    return Test(left.pos, "BETWEEN", [left, low, expression(s)], negated)


def in_(s: Stream, left: Expression, negated: bool) -> Condition:
    """in := IN ( query | expression {, expression} )"""
    s.take()
    start = s.tok
    s.expect("(")
    s.enter()
    items = [Subquery(start.pos, s.query())] if s.at("SELECT") else s.listed(expression)
    if len(items) == 1 and isinstance(items[0], Subquery) and s.at(*SET_OPERATORS):
        items = [Subquery(start.pos, s.grammar.rest_of_query(s, items[0].query))]
    s.expect(")")
    s.leave()
    return Test(left.pos, "IN", [left, *items], negated)


def is_(s: Stream, left: Expression, negated: bool) -> Condition:
    """is := IS [NOT] ( NULL | DISTINCT FROM expression )"""
    s.take()
    negated = bool(s.accept("NOT"))
    if s.accept_words("DISTINCT", "FROM"):
        return Test(left.pos, "IS DISTINCT FROM", [left, expression(s)], negated)
    s.expect("NULL")
    return Test(left.pos, "IS NULL", [left], negated)


def exists(s: Stream) -> Condition:
    """exists := EXISTS ( query )"""
    first = s.take()
    return Exists(first.pos, subquery(s).query)


def contains(s: Stream) -> Condition:
    """contains := CONTAINS|FREETEXT ( column | * | ( column {, column} ) , expression [, LANGUAGE expression] )"""
    first = s.take()
    s.expect("(")
    if s.at("("):
        columns: list[Expression] = list(s.in_parentheses(lambda s: s.listed(name)))
    else:
        columns = [] if s.accept("*") else [name(s)]
    s.expect(",")
    operands = [*columns, expression(s)]
    if s.accept(","):
        s.name("LANGUAGE")
        operands.append(expression(s))
    s.expect(")")
    return Test(first.pos, first.key, operands)


def updated(s: Stream) -> Condition:
    """updated := UPDATE ( column ), in triggers"""
    first = s.take()
    return Test(first.pos, "UPDATE", [s.in_parentheses(name)])


_LEADING_PREDICATES: dict[str, Callable[[Stream], Condition]] = {
    "EXISTS": exists,
    "CONTAINS": contains,
    "FREETEXT": contains,
    "UPDATE": updated,
}
_PREDICATES: dict[str, Callable[[Stream, Expression, bool], Condition]] = {"LIKE": like, "BETWEEN": between, "IN": in_, "IS": is_}


def sum_(s: Stream) -> Expression | Condition:
    """sum := product { +|-|&|'|'|^ product }"""
    return _arithmetic(s, ("+", "-", "&", "|", "^"), product)


def product(s: Stream) -> Expression | Condition:
    """product := unary { *|/|% unary }"""
    return _arithmetic(s, ("*", "/", "%"), unary)


def _arithmetic(s: Stream, signs: tuple[str, ...], operand: Callable[[Stream], Expression | Condition]) -> Expression | Condition:
    first = s.tok
    node = operand(s)
    if s.tok.key not in signs:
        return node
    operands, operators = [_value(s, node, first)], []
    while s.tok.key in signs:
        operators.append(s.take().key)
        start = s.tok
        operands.append(_value(s, operand(s), start))
    return Arithmetic(first.pos, operands, operators)


def unary(s: Stream) -> Expression | Condition:
    """unary := { +|-|~ } primary { suffix }"""
    first = s.tok
    while s.accept("+", "-", "~"):
        pass
    start = s.tok
    node = primary(s)
    if s.tok.key in _SUFFIXES:
        node = suffixes(s, _value(s, node, start))
    return node if start is first else Unary(first.pos, first.key, _value(s, node, start))


def suffixes(s: Stream, node: Expression) -> Expression:
    """suffix := COLLATE name | AT TIME ZONE unary | . method ( arguments )"""
    while True:
        if s.accept("COLLATE"):
            s.name("a collation")
            node = Unary(node.pos, "COLLATE", node)
        elif s.accept_words("AT", "TIME", "ZONE"):
            first = s.tok
            zone = _value(s, unary(s), first)
            node = Arithmetic(node.pos, [node, zone], ["AT TIME ZONE"])
        elif s.tok.key == "." and s.at_name(1) and s.peek(2).key == "(":
            s.take()
            node = calls.method(s, node)
        else:
            return node


_SUFFIXES = frozenset(("COLLATE", "AT", "."))


def primary(s: Stream) -> Expression | Condition:
    """primary := literal | variable | name | call | CASE ... | CAST ... | ( disjunction ) | ( query ) | {fn ...}"""
    token = s.tok
    if token.kind is WORD:
        return _word(s)
    if token.kind is QUOTED:
        return name_or_call(s)
    if token.kind is NUMBER or token.kind is STRING:
        s.take()
        return Literal(token.pos, token.kind, token.text)
    if token.kind is VARIABLE:
        s.take()
        return Variable(token.pos, token.text)
    if token.key == "(":
        return parenthesis(s)
    if token.key == "{":
        return calls.odbc_escape(s)
    if token.kind is BROKEN and token.text == "`":
        s.fail("backticks do not quote names in T-SQL; write [name]")
    s.fail("expected an expression")


def _word(s: Stream) -> Expression:
    """A primary that begins with an unquoted word: a construct of its own, a literal, or a name."""
    token = s.tok
    follower, construct = calls.CONSTRUCTS.get(token.key, _NO_CONSTRUCT)
    if construct and (follower is None or s.peek().key == follower):
        return construct(s)
    if token.key == "NULL":
        s.take()
        return Literal(token.pos, "null", token.text)
    if token.key in NILADIC:
        s.take()
        return Literal(token.pos, "niladic", token.text)
    if token.key in RESERVED:
        if token.key in FUNCTION_WORDS and s.peek().key == "(":
            return calls.call(s, single(s.take()))
        s.fail("expected an expression")
    following = s.peek()
    if following.kind is STRING and _is_foreign_literal(token, following):
        s.fail(f"T-SQL has no {token.key} literals; write the quoted text alone or CAST it")
    return name_or_call(s)


_NO_CONSTRUCT = (None, None)


def _is_foreign_literal(word: Token, text: Token) -> bool:
    """`DATE '2020-01-31'` and `INTERVAL '1 day'`, but not a column called Date with the alias 'Posting date'."""
    return word.key == "INTERVAL" or (word.key in ("DATE", "TIME", "TIMESTAMP") and bool(_DATE_LITERAL.match(text.text)))


def name_or_call(s: Stream) -> Expression:
    """name_or_call := name [ ( arguments ) ] | type :: method ( arguments )"""
    path = name(s)
    if s.tok.key == "(":
        return call_of(s, path)
    if s.tok.key == "::":
        if path.last.upper() not in STATIC_TYPES:
            s.fail("'::' does not convert in T-SQL; write CAST(... AS type)")
        s.take()
        return calls.method(s, TypeName(path.pos, path.last))
    return path


def call_of(s: Stream, path: Name) -> Call:
    """A function or, as in `T.c.value(..)`, a method of the column before it; the name is read."""
    if len(path.parts) > 1 and path.last in XML_METHODS and not path.quoted:
        target = Name(path.pos, path.parts[:-1], path.positions[:-1])
        return calls.method_call(s, target, Name(path.positions[-1], path.parts[-1:], path.positions[-1:]))
    return calls.call(s, path)


def name(s: Stream) -> Name:
    """name := identifier { . identifier }, at most four parts; all but the first and last may be omitted, as in `db..T`."""
    first = s.name("a column or table name")
    parts, positions, last = [first.name], [first.pos], first
    while s.tok.key == "." and (s.at_name(1) or s.peek().key == "." or _reserved_part(s)):
        s.take()
        if s.tok.key == ".":
            parts.append("")
            positions.append(s.tok.pos)
            continue
        last = s.take()
        parts.append(last.name)
        positions.append(last.pos)
    if len(parts) > 4:
        s.fail("a name has at most four parts", first)
    return Name(first.pos, tuple(parts), tuple(positions), last.kind is QUOTED)


def _reserved_part(s: Stream) -> bool:
    """Fails at a reserved word behind a dot, which needs brackets."""
    word = s.peek()
    if word.kind is WORD and word.key not in ("IDENTITYCOL", "ROWGUIDCOL") and not s.lenient:
        s.fail(f"'{word.text}' is a reserved word; write [{word.text}]", word)
    return word.kind is WORD


def single(token: Token) -> Name:
    """A name of one part."""
    return Name(token.pos, (token.name,), (token.pos,), token.kind is QUOTED)


def parenthesis(s: Stream) -> Expression | Condition:
    """parenthesis := ( query ) | ( disjunction ), and `((SELECT ..) UNION (SELECT ..))` is a query, too"""
    first = s.expect("(")
    s.enter()
    if s.at("WITH"):
        s.fail("WITH cannot stand in parentheses; put it at the head of the statement")
    if s.at("SELECT"):
        node: Expression | Condition = Subquery(first.pos, s.query())
    else:
        node = disjunction(s)
        if isinstance(node, Subquery) and s.at(*SET_OPERATORS):
            node = Subquery(first.pos, s.grammar.rest_of_query(s, node.query))
    s.expect(")")
    s.leave()
    return node


def subquery(s: Stream) -> Subquery:
    """subquery := ( query )"""
    first = s.tok
    node = parenthesis(s)
    if not isinstance(node, Subquery):
        s.fail("expected a query in parentheses", first)
    return node


def _value(s: Stream, node: Expression | Condition, start: Token) -> Expression:
    if isinstance(node, CONDITIONS):
        s.fail("a condition has no value in T-SQL; use CASE or IIF", start)
    return node


def _condition(s: Stream, node: Expression | Condition, start: Token) -> Condition:
    if not isinstance(node, CONDITIONS):
        _fail_at_value(s, node, start)
    return node


def _fail_at_value(s: Stream, node: Expression, start: Token) -> NoReturn:
    """The message for a value where a condition is due: at what follows, if that is a foreign operator, else at the value."""
    if s.tok.key in ("ILIKE", "RLIKE", "REGEXP", "SIMILAR", "~", "||", "::") or s.tok.kind in (WORD, BROKEN, STRING, NUMBER, VARIABLE):
        s.fail("expected a comparison")
    s.fail("expected a condition: a value alone is not true or false", start)
