"""A recursive-descent parser for the T-SQL of queries and scripts: text in, typed tree with positions out.

tree, errors = parse("SELECT APTH.APRef FROM APTH WITH (NOLOCK)")
"""

from __future__ import annotations

from vgpt2.sql.lexer import tokenize
from vgpt2.sql.parser.expressions import condition, expression
from vgpt2.sql.parser.select import query, rest_of_query
from vgpt2.sql.parser.statement_nodes import Statement
from vgpt2.sql.parser.statements import script
from vgpt2.sql.parser.stream import Grammar, ParseError, Stream, TooDeep

__all__ = ["ParseError", "TooDeep", "lenient_stream", "parse"]

_GRAMMAR = Grammar(expression, condition, query, rest_of_query)


def parse(sql: str) -> tuple[list[Statement], list[ParseError]]:
    """The statements of a text, and one error for each that is not T-SQL, in the order of the text."""
    return script(Stream(tokenize(sql), _GRAMMAR))


def lenient_stream(sql: str) -> Stream:
    """A cursor over a text whose table definitions may be those of another database."""
    return Stream(tokenize(sql), _GRAMMAR, lenient=True)
