"""Statements and the script they make: SELECT, DECLARE, SET, IF, blocks, procedures. What changes rows is in dml.py, tables in ddl.py.

A text with errors is read on behind the statement that failed, so every statement has at most one error.
"""

from __future__ import annotations

from collections.abc import Callable

from vgpt2.sql.lexer import BROKEN, END, GO, VARIABLE
from vgpt2.sql.parser import calls, ddl, dml, tables
from vgpt2.sql.parser.execute import at_end_of_statement, execute, procedure_call
from vgpt2.sql.parser.expressions import name
from vgpt2.sql.parser.nodes import Cte, Expression, Query, Variable
from vgpt2.sql.parser.select import with_
from vgpt2.sql.parser.statement_nodes import Block, Branch, Evaluate, Opaque, SelectStatement, Statement
from vgpt2.sql.parser.stream import ParseError, Stream, describe
from vgpt2.sql.parser.words import OPAQUE_STATEMENTS, STATEMENTS

_FOREIGN = {
    "LIMIT": "T-SQL has no LIMIT; write SELECT TOP (n)",
    "ILIKE": "T-SQL has no ILIKE; write LIKE",
    "||": "'||' does not concatenate in T-SQL; write + or CONCAT",
    "::": "'::' does not convert in T-SQL; write CAST(... AS type)",
    "MINUS": "T-SQL has no MINUS; write EXCEPT",
    "QUALIFY": "T-SQL has no QUALIFY; filter the window function in an outer query",
    "RETURNING": "T-SQL has no RETURNING; write OUTPUT",
    "USING": "T-SQL has no USING; write ON with both columns",
}
_ORDER_OF_CLAUSES = ("FROM", "WHERE", "GROUP", "HAVING", "ORDER")

MAX_ERRORS = 50  # behind so many broken statements the text is no T-SQL at all


def script(s: Stream) -> tuple[list[Statement], list[ParseError]]:
    """script := { statement | ; | GO }, and the errors of the statements that are none"""
    statements: list[Statement] = []
    errors: list[ParseError] = []
    terminated = True
    while s.tok.kind is not END and len(errors) < MAX_ERRORS:
        if s.tok.kind is GO or s.at(";"):
            terminated = True
            s.take()
            continue
        start = s.index
        try:
            statements.append(_unless_unterminated(s, terminated))
            terminated = False
        except ParseError as error:
            if s.index == start and not terminated:
                statements.pop()  # what follows belongs to the statement before: that one is broken
            errors.append(error)
            _recover(s, start)
            terminated = True
    return statements, errors


def _statements(s: Stream) -> list[Statement]:
    """The statements of a block, up to its END or the end of the batch."""
    found: list[Statement] = []
    terminated = True
    while s.tok.kind not in (END, GO) and s.tok.key not in ("END", "ELSE"):
        if s.accept(";"):
            terminated = True
        else:
            found.append(_unless_unterminated(s, terminated))
            terminated = False
    return found


def _unless_unterminated(s: Stream, terminated: bool) -> Statement:
    if s.at("WITH") and not terminated:
        s.fail("the statement before WITH must end with ';'")
    return statement(s)


def statement(s: Stream) -> Statement:
    """statement := select | insert | ... by its first word"""
    key = s.tok.key
    production = _PRODUCTIONS.get(key)
    if production is not None:
        s.enter()
        node = production(s)
        s.leave()
        return node
    if key == "(":
        return select_statement(s, [])
    if s.at_name() and s.peek().key == ":":
        label = s.take()
        s.take()
        return Opaque(label.pos)
    if _is_system_procedure(s):
        return procedure_call(s)
    unexpected(s)
    raise AssertionError


def unexpected(s: Stream) -> None:
    """Fail at a token that begins no statement, with the reason where it is a known one."""
    token = s.tok
    if token.kind is BROKEN and token.text == "`":
        s.fail("backticks do not quote names in T-SQL; write [name]")
    if token.key in _FOREIGN:
        s.fail(_FOREIGN[token.key])
    if token.key in _ORDER_OF_CLAUSES:
        s.fail(f"{token.key} is out of place: the clauses stand in the order {', '.join(_ORDER_OF_CLAUSES)}")
    s.fail(f"unexpected {describe(token)}")


def _recover(s: Stream, start: int) -> None:
    """Move behind the statement that began at `start` and failed: to the next ';', or to the next batch where a block is open."""
    words = [token.key for token in s.tokens[start : s.index]]
    in_block = words.count("BEGIN") + words.count("CASE") > words.count("END")
    s.depth = 0
    while s.tok.kind not in (END, GO) and (in_block or s.tok.key != ";"):
        s.take()


def select_statement(s: Stream, ctes: list[Cte]) -> Statement:
    """select_statement := query [OPTION ( ... )] [WITH CHECK OPTION]"""
    node: Query = s.query()
    node.ctes = ctes
    option(s)
    s.accept_words("WITH", "CHECK", "OPTION")
    return SelectStatement(node.pos, node)


def option(s: Stream) -> None:
    """option := OPTION ( hint {, hint} )"""
    if s.accept("OPTION"):
        if s.peek().key == ")":
            s.fail("expected a query hint", s.peek())
        if not s.at("("):
            s.fail("expected (")
        s.skip_parentheses()


def with_statement(s: Stream) -> Statement:
    """with_statement := with ( select | insert | update | delete | merge )"""
    ctes = with_(s)
    production = dml.PRODUCTIONS.get(s.tok.key)
    if production is not None:
        node = production(s)
        node.ctes = ctes
        option(s)
        return node
    if not s.at("SELECT", "("):
        s.fail("expected SELECT, INSERT, UPDATE, DELETE or MERGE")
    return select_statement(s, ctes)


def changing_statement(s: Stream) -> Statement:
    """changing_statement := ( insert | update | delete | merge ) [OPTION ( ... )]"""
    if s.at_words("UPDATE", "STATISTICS"):
        return opaque(s)
    node = dml.PRODUCTIONS[s.tok.key](s)
    option(s)
    return node


def declare(s: Stream) -> Statement:
    """declare := DECLARE declaration {, declaration} | DECLARE name CURSOR ..."""
    first = s.expect("DECLARE")
    if s.tok.kind is VARIABLE:
        return Block(first.pos, s.listed(declaration))
    s.name("a variable or a cursor")
    while not s.at("CURSOR"):
        s.name("CURSOR")
    return cursor(s)


def declaration(s: Stream) -> Statement:
    """declaration := @name [AS] ( TABLE ( ... ) | CURSOR | type [= expression] )"""
    token = s.take()
    if token.kind is not VARIABLE:
        s.fail("expected a variable", token)
    s.accept("AS")
    if s.accept("TABLE"):
        return tables.table_body(s, ddl.named(token))
    calls.type_name(s)
    return Evaluate(token.pos, [s.expression()] if s.accept("=") else [])


def cursor(s: Stream) -> Statement:
    """cursor := CURSOR {option} FOR [with] query [FOR READ ONLY | FOR UPDATE [OF name {, name}]]"""
    s.expect("CURSOR")
    while s.at_name():
        s.take()
    if not s.accept("FOR"):
        return Opaque(s.tok.pos)
    node = select_statement(s, with_(s) if s.at("WITH") else [])
    if s.accept("FOR"):
        s.accept("READ", "UPDATE")
        s.accept("ONLY")
        if s.accept("OF"):
            s.listed(Stream.name)
    return node


def set_(s: Stream) -> Statement:
    """set := SET @name ( operator ( expression | cursor ) | . method ( ... ) ) | SET option ... ON|OFF|value"""
    first = s.expect("SET")
    if s.tok.kind is VARIABLE:
        token = s.take()
        if s.at("."):
            return Evaluate(first.pos, [calls.method(s, Variable(token.pos, token.text))])
        s.expect("=", "+=", "-=", "*=", "/=", "%=", "&=", "|=", "^=")
        return cursor(s) if s.at("CURSOR") else Evaluate(first.pos, [s.expression()])
    set_option(s)
    return Opaque(first.pos)


def set_option(s: Stream) -> None:
    """set_option := TRANSACTION ISOLATION LEVEL word [word] | [STATISTICS|OFFSETS] name {[,|.] name} ( ON | OFF | value )"""
    if s.accept_words("TRANSACTION", "ISOLATION", "LEVEL"):
        s.expect("READ", "REPEATABLE", "SNAPSHOT", "SERIALIZABLE")
        s.accept("UNCOMMITTED", "COMMITTED", "READ")
        return
    if not s.accept(*_RESERVED_OPTIONS):
        s.name("a variable or an option")
    while s.accept(",", "."):
        s.name("an option")
    if s.at_name() and s.peek().key in ("ON", "OFF", ".", ","):
        set_option(s)
    elif not s.accept("ON", "OFF"):
        calls.argument(s)


_RESERVED_OPTIONS = ("STATISTICS", "OFFSETS", "ROWCOUNT", "TEXTSIZE", "IDENTITY_INSERT", "TRANSACTION")


def if_(s: Stream) -> Statement:
    """if := IF condition statement [[;] ELSE statement]"""
    first = s.expect("IF")
    test = s.condition()
    then = statement(s)
    if s.at_words(";", "ELSE"):
        s.take()
    return Branch(first.pos, test, then, statement(s) if s.accept("ELSE") else None)


def while_(s: Stream) -> Statement:
    """while := WHILE condition statement"""
    first = s.expect("WHILE")
    return Branch(first.pos, s.condition(), statement(s))


def begin(s: Stream) -> Statement:
    """begin := BEGIN [TRY|CATCH] {statement} END [TRY|CATCH] | BEGIN TRAN ..."""
    first = s.expect("BEGIN")
    if s.at("TRAN", "TRANSACTION", "DISTRIBUTED"):
        return opaque(s, first.pos)
    kind = s.accept("TRY", "CATCH")
    if s.accept_words("ATOMIC", "WITH"):
        s.skip_parentheses()
    body = _statements(s)
    s.expect("END")
    if kind is not None:
        s.expect(kind.key)
    return Block(first.pos, body)


def return_(s: Stream) -> Statement:
    """return := RETURN [expression | [with] query | ( [with] query )]: only here may WITH stand in parentheses"""
    first = s.expect("RETURN")
    if s.at_words("(", "WITH"):
        return s.in_parentheses(lambda s: select_statement(s, with_(s)))
    if s.at("SELECT", "WITH"):
        return select_statement(s, with_(s) if s.at("WITH") else [])
    if at_end_of_statement(s):
        return Opaque(first.pos)
    return Evaluate(first.pos, [s.expression()])


def print_(s: Stream) -> Statement:
    """print := PRINT expression"""
    first = s.expect("PRINT")
    return Evaluate(first.pos, [s.expression()])


def raiserror(s: Stream) -> Statement:
    """raiserror := RAISERROR ( expression {, expression} ) [WITH NOWAIT|LOG|SETERROR] | RAISERROR number text"""
    first = s.expect("RAISERROR")
    if not s.at("("):
        return opaque(s, first.pos)
    arguments: list[Expression] = s.in_parentheses(lambda s: s.listed(Stream.expression))
    if s.accept("WITH"):
        s.listed(Stream.name)
    return Evaluate(first.pos, arguments)


def _is_system_procedure(s: Stream) -> bool:
    """A procedure may be called without EXEC at the head of a batch; believed only of names that begin as system procedures do."""
    at_head = s.index == 0 or s.tokens[s.index - 1].kind is GO
    return at_head and s.tok.text.lower().startswith(("sp_", "xp_"))


def fetch(s: Stream) -> Statement:
    """fetch := FETCH [[NEXT|PRIOR|FIRST|LAST|ABSOLUTE expression|RELATIVE expression] FROM] [GLOBAL] cursor [INTO @name {, @name}]"""
    first = s.expect("FETCH")
    if s.accept("ABSOLUTE", "RELATIVE"):
        s.expression()
    else:
        s.accept("NEXT", "PRIOR", "FIRST", "LAST")
    s.accept("FROM")
    s.accept("GLOBAL")
    if s.tok.kind is VARIABLE:
        s.take()
    else:
        s.name("a cursor")
    if s.accept("INTO"):
        s.listed(Stream.expression)
    return Opaque(first.pos)


def use(s: Stream) -> Statement:
    """use := USE name"""
    first = s.expect("USE")
    s.name("a database")
    return Opaque(first.pos)


def opaque(s: Stream, pos: int | None = None) -> Statement:
    """A statement of one keyword and plain words, read up to the next statement."""
    first = s.take()
    while not at_end_of_statement(s) and s.tok.kind is not BROKEN:
        if s.at("("):
            s.skip_parentheses()
        elif s.at(")"):
            unexpected(s)
        else:
            s.take()
    with_options(s)
    return Opaque(first.pos if pos is None else pos)


def with_options(s: Stream) -> None:
    """with_options := [WITH ( ... ) | WITH word [string]] behind a statement that takes no query"""
    if s.at_words("WITH", "("):
        s.take()
        s.skip_parentheses()
    elif s.at("WITH") and s.at_name(1) and s.peek(2).key not in ("AS", "("):
        s.take()
        s.take()
        if s.at_string():
            s.take()


def truncate(s: Stream) -> Statement:
    """truncate := TRUNCATE TABLE name [WITH ( ... )]"""
    first = s.expect("TRUNCATE")
    s.expect("TABLE")
    name(s)
    with_options(s)
    return Opaque(first.pos)


def create(s: Stream) -> Statement:
    """create := CREATE|ALTER [OR ALTER] ( table | view | routine | anything else, unread )"""
    kind = s.peek().key if s.peek().key != "OR" else s.peek(3).key
    if kind in ("PROC", "PROCEDURE", "FUNCTION", "TRIGGER"):
        return routine(s)
    node = ddl.create(s)
    with_options(s)
    return node


def routine(s: Stream) -> Statement:
    """routine := CREATE PROC|FUNCTION|TRIGGER ... AS {statement}, to the end of the batch; the header is not read"""
    first = s.tok
    while s.tok.kind not in (END, GO) and not (s.at("AS") and (s.peek().key in STATEMENTS or s.peek().key == "(")):
        s.take()
    s.accept("AS")
    return Block(first.pos, _statements(s))


_PRODUCTIONS: dict[str, Callable[[Stream], Statement]] = {
    **dict.fromkeys(OPAQUE_STATEMENTS, opaque),
    **dict.fromkeys(ddl.UNREAD, ddl.unread),
    **dict.fromkeys(dml.PRODUCTIONS, changing_statement),
    "SELECT": lambda s: select_statement(s, []),
    "WITH": with_statement,
    "DECLARE": declare,
    "SET": set_,
    "IF": if_,
    "WHILE": while_,
    "BEGIN": begin,
    "RETURN": return_,
    "PRINT": print_,
    "RAISERROR": raiserror,
    "EXEC": execute,
    "EXECUTE": execute,
    "FETCH": fetch,
    "USE": use,
    "CREATE": create,
    "ALTER": create,
    "DROP": ddl.drop,
    "TRUNCATE": truncate,
}
