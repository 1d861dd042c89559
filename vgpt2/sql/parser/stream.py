"""The tokens of a text as the grammar reads them: one token at a time, one error at the first that does not fit."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple, NoReturn, TypeVar

from vgpt2.sql.lexer import BROKEN, END, QUOTED, STRING, WORD, Token
from vgpt2.sql.parser.nodes import Condition, Expression, Query
from vgpt2.sql.parser.words import RESERVED

MAX_DEPTH = 60
T = TypeVar("T")


class ParseError(Exception):
    """The text is not T-SQL from `pos` on."""

    def __init__(self, message: str, token: Token) -> None:
        super().__init__(message)
        self.message = message
        self.pos = token.pos
        self.word = token.text[:40]


class TooDeep(ParseError):
    """The text nests deeper than MAX_DEPTH."""


class Grammar(NamedTuple):
    """The productions that others refer back to: an expression may hold a query, which holds expressions."""

    expression: Callable[[Stream], Expression]
    condition: Callable[[Stream], Condition]
    query: Callable[[Stream], Query]
    rest_of_query: Callable[[Stream, Query], Query]  # set operators behind a query that stood in parentheses


class Stream:
    """A cursor over tokens, with the grammar's recursive productions at hand.

    `lenient`: table definitions may be those of another database, so that a reserved word may be a name and any words a type.
    """

    def __init__(self, tokens: list[Token], grammar: Grammar, *, lenient: bool = False) -> None:
        self.tokens = tokens
        self.grammar = grammar
        self.lenient = lenient
        self.index = 0
        self.depth = 0
        self.tok = tokens[0]

    def peek(self, n: int = 1) -> Token:
        """The n-th token behind the present one; the last token when the text ends before."""
        return self.tokens[min(self.index + n, len(self.tokens) - 1)]

    def at(self, *keys: str) -> bool:
        return self.tok.key in keys

    def at_words(self, *keys: str) -> bool:
        """Whether the next tokens are these words or operators, in a row."""
        return all(self.peek(n).key == key for n, key in enumerate(keys))

    def take(self) -> Token:
        """The present token; the cursor moves on, but never past the end."""
        token = self.tok
        if token.kind is not END:
            self.index += 1
            self.tok = self.tokens[self.index]
        return token

    def accept(self, *keys: str) -> Token | None:
        """The present token if it is one of `keys`."""
        return self.take() if self.tok.key in keys else None

    def accept_words(self, *keys: str) -> bool:
        """Whether the next tokens are these words; if so, the cursor is behind them."""
        if not self.at_words(*keys):
            return False
        for _ in keys:
            self.take()
        return True

    def expect(self, *keys: str) -> Token:
        if self.tok.key not in keys:
            self.fail(f"expected {' or '.join(keys)}")
        return self.take()

    def name(self, what: str = "a name") -> Token:
        """An identifier: quoted, or a word that is not reserved."""
        if not self.at_name():
            self.fail(f"expected {what}")
        return self.take()

    def at_name(self, n: int = 0) -> bool:
        token = self.peek(n) if n else self.tok
        return token.kind is QUOTED or (token.kind is WORD and token.key not in RESERVED)

    def at_string(self) -> bool:
        return self.tok.kind is STRING

    def expression(self) -> Expression:
        return self.grammar.expression(self)

    def condition(self) -> Condition:
        return self.grammar.condition(self)

    def query(self) -> Query:
        return self.grammar.query(self)

    def fail(self, message: str, token: Token | None = None) -> NoReturn:
        """Raise a ParseError at the token, by default the present one: 'expected X, found Y'."""
        token = token or self.tok
        raise ParseError(f"{message}, found {describe(token)}" if message.startswith("expected") else message, token)

    def enter(self) -> None:
        """One level deeper; `leave` takes it back. An error ends the statement, so nobody has to leave on the way up."""
        self.depth += 1
        if self.depth > MAX_DEPTH:
            raise TooDeep(f"nested deeper than {MAX_DEPTH} levels", self.tok)

    def leave(self) -> None:
        self.depth -= 1

    def listed(self, element: Callable[[Stream], T]) -> list[T]:
        """`element {, element}`."""
        elements = [element(self)]
        while self.accept(","):
            elements.append(element(self))
        return elements

    def in_parentheses(self, element: Callable[[Stream], T]) -> T:
        """`( element )`."""
        self.expect("(")
        result = element(self)
        self.expect(")")
        return result

    def skip_parentheses(self) -> None:
        """A balanced `( ... )` of whatever content."""
        depth = 0
        start = self.tok
        while True:
            token = self.take()
            if token.kind in (END, BROKEN):
                self.fail("this parenthesis is not closed", start)
            depth += {"(": 1, ")": -1}.get(token.key, 0)
            if depth == 0:
                return


def describe(token: Token) -> str:
    if token.kind is END:
        return "the end of the text"
    if token.kind is BROKEN and token.text[0] in "'\"[/":
        return "an unterminated comment" if token.text[0] == "/" else "an unterminated quote"
    text = token.text if len(token.text) <= 40 else token.text[:37] + "..."
    return f"'{text}'"
