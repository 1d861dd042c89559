"""Calls of procedures: EXEC, also as the source of an INSERT."""

from __future__ import annotations

from vgpt2.sql.lexer import END, GO, VARIABLE
from vgpt2.sql.parser import calls
from vgpt2.sql.parser.nodes import Expression
from vgpt2.sql.parser.statement_nodes import Evaluate, Opaque, Statement
from vgpt2.sql.parser.stream import Stream
from vgpt2.sql.parser.words import STATEMENTS


def execute(s: Stream) -> Statement:
    """execute := EXEC|EXECUTE [@result =] ( ( expression ) [AT server] | procedure_call ) [WITH RECOMPILE|RESULT SETS ( ... )]"""
    first = s.take()
    if s.tok.kind is VARIABLE and s.peek().key == "=":
        s.take()
        s.take()
    if s.at("("):
        arguments: list[Expression] = s.in_parentheses(lambda s: s.listed(Stream.expression))
        if s.accept("AT"):
            s.name("a server")
        return Evaluate(first.pos, arguments)
    node = procedure_call(s)
    if s.accept("WITH"):
        s.expect("RECOMPILE", "RESULT")
        if s.accept("SETS"):
            s.skip_parentheses()
    return node


def procedure_call(s: Stream) -> Statement:
    """procedure_call := name|@name [argument {, argument}]"""
    first = s.tok
    if first.kind is VARIABLE:
        s.take()
    else:
        s.name("a procedure")
        while s.accept("."):
            if not s.at("."):
                s.name("a procedure")
    if at_end_of_statement(s):
        return Opaque(first.pos)
    return Evaluate(first.pos, s.listed(procedure_argument))


def procedure_argument(s: Stream) -> Expression:
    """procedure_argument := [@name =] ( DEFAULT | expression [OUTPUT|OUT] ); a bare word is a string here"""
    if s.tok.kind is VARIABLE and s.peek().key == "=":
        s.take()
        s.take()
    if s.at_name() and s.peek().key not in (".", "("):
        return calls.word(s.take())
    node = calls.argument(s)
    s.accept("OUTPUT", "OUT")
    return node


def at_end_of_statement(s: Stream) -> bool:
    """Whether the cursor is behind a statement: at ';', at the end of a block or batch, or at a word that begins another one."""
    return s.tok.kind in (END, GO) or s.tok.key in STATEMENTS or s.tok.key in (";", "END", "ELSE")
