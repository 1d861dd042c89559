"""The end of the text: what is begun there, whether it can become a name that may stand there, and a way to a text that may end."""

from __future__ import annotations

import re
from collections.abc import Iterator

from vgpt2.sql.cursor.names import CLOSING, NameSet, Schema
from vgpt2.sql.cursor.reader import Reader
from vgpt2.sql.lexer import GO, QUOTED, WORD, Token, tokenize

_COMMENT = re.compile(r"--[^\r\n]*[\r\n]?|/\*.*?(?:\*/|\Z)", re.DOTALL)
_COMPLETE = frozenset("(),;.")  # operators that no further character turns into others
# where a name is expected: nothing, the beginning of a comment or a comment, or a name that has begun
_UNFINISHED = re.compile(r"\s*(?:--[^\r\n]*|-|/|/\*.*|(?P<sign>[\[\"]?)(?P<word>.*))", re.DOTALL)
_LINE_END = re.compile(r"[\r\n]")
_GROWING_WORD = re.compile(r"\s*[\w@#$]*")
_WORD_AT_END = re.compile(r"(?<![\w@#$])[\w@#$]*\Z")
_ALIAS = "_w"
# what may lead on behind a source that needs an alias: one that is begun or at once, out of quotes and comments
_TO_AN_ALIAS = ("{}", " {}", "{}]", '{}"', "\n{}", "*/ {}", "-\n{}", "**/ {}")
_MOST_TRIED = 8  # names that are tried on the way out


class Cursor:
    """See the package's docstring; `copy` it to try what may follow."""

    def __init__(self, schema: Schema) -> None:
        self._text = ""
        self._settled = 0  # up to here the text is whole tokens
        self._reader = Reader(schema)

    def copy(self) -> Cursor:
        other = Cursor.__new__(Cursor)
        other._text, other._settled, other._reader = self._text, self._settled, self._reader
        return other

    @property
    def names(self) -> NameSet | None:
        """What the name at the end must be, None where it is free."""
        return self._reader.names

    @property
    def expects_name(self) -> bool:
        """Whether a name of the catalogue is begun or must come, or the sign that its last part asks for."""
        return self._reader.takes_names and not self.is_commenting

    @property
    def is_commenting(self) -> bool:
        """Whether the text ends in a comment, where everything may be said."""
        return self._rest.lstrip().startswith(("--", "/*"))

    @property
    def place(self) -> tuple[object, ...]:
        """What decides which tokens may follow where a name is expected."""
        reader = self._reader
        return reader.expects, reader.names.key if reader.names else "", self._rest, reader.scopes.innermost.unsettled()

    @property
    def pending(self) -> tuple[str, str]:
        """The beginning of the name at the end of the text, '' where none has begun, and the sign that opened it."""
        rest = self._rest.lstrip()
        if rest.startswith(("[", '"')):
            return rest[1:], rest[0]
        found = _WORD_AT_END.search(rest)
        return (found[0] if found else ""), ""

    @property
    def _rest(self) -> str:
        """What lies behind the last whole token, without the comments that are whole."""
        rest = self._text[self._settled :]
        return _COMMENT.sub(_without, rest) if "-" in rest or "/" in rest else rest

    def feed(self, text: str) -> bool:
        """Goes on by `text`; False where that names what does not exist, after which the cursor is of no use."""
        self._text += text
        tail, offset = self._text[self._settled :], self._settled
        whole = [] if _GROWING_WORD.fullmatch(tail) else _whole_tokens(tail)
        if whole:
            self._reader = self._reader.copy()  # copies of the cursor share it
        for token in whole:
            if token.kind is QUOTED and _goes_on_quoted(token, tail):
                return False
            kind = WORD if token.kind is GO and not self._begins_line(offset + token.pos) else token.kind
            if not self._reader.take(Token(kind, token.text, offset + token.pos), self._text):
                return False
            self._settled = offset + token.pos + len(token.text)
        return self._fits(self._rest)

    def may_end(self) -> bool:
        """Whether the text can end here, what is begun counting as whole."""
        reader = self._reader
        frame = reader.scopes.innermost
        if not reader.takes_names and (frame.unnamed is None or (not self._rest.strip() and frame.may_go_unnamed())):
            return True
        ended = self.copy()
        if not ended.feed("\n") or ended._reader.expects in ("dot", "parenthesis"):
            return False
        return ended._reader.scopes.innermost.may_go_unnamed()

    def ways_out(self) -> Iterator[str]:
        """What leads, character by character, to a text that may end; '' where this one may."""
        return (way for way in self._ways() if self._leads_out(way))

    def going_on(self) -> list[str]:
        """What the name at the end of the text can become, as it is spelt."""
        begun, sign = self.pending
        return self.names.beginning(begun, sign) if self.names else []

    def _ways(self) -> Iterator[str]:
        begun, sign = self.pending
        rests = [name[len(begun) :] for name in sorted(self.going_on(), key=len)[:_MOST_TRIED]]
        bases = ["", *(f"{rest}{CLOSING[sign]}" for rest in rests)]
        yield from bases
        yield from (f"{base}." for base in bases)  # behind a schema
        yield from "-*"  # a comment is begun
        free = len(self._reader.scopes.innermost.asked)  # one alias more than that is not asked for anything
        aliases = [f"{_ALIAS}{n or ''}" for n in range(free + 1)]
        yield from (base + way.format(alias) for base in bases for way in _TO_AN_ALIAS for alias in aliases)
        yield from (f"{base}(" for base in bases)  # behind a function

    def _begins_line(self, offset: int) -> bool:
        return not _LINE_END.split(self._text[:offset])[-1].strip()

    def _leads_out(self, way: str) -> bool:
        tried = self.copy()
        return all(map(tried.feed, way)) and tried.may_end()

    def _fits(self, rest: str) -> bool:
        """Whether the unfinished rest can become what is expected."""
        expects, names = self._reader.expects, self._reader.names
        if expects == "dot":
            return not rest.strip()
        if expects == "parenthesis":
            return not rest
        if names is None or (expects == "column" and rest.strip() == "*"):
            return True
        begun = _UNFINISHED.fullmatch(rest)
        assert begun is not None
        word, sign = begun["word"], begun["sign"]
        if not word and not sign:  # blanks, or a comment
            return True
        if sign:
            return names.spells(word[:-1], sign) if word.endswith(CLOSING[sign]) else bool(names.beginning(word, sign))
        return (expects == "table" and word[0] in "#@") or (not word[-1].isspace() and bool(names.beginning(word, "")))


def _whole_tokens(tail: str) -> list[Token]:
    """The tokens of a text but for what may still change at its end."""
    tokens = tokenize(tail)[:-1]
    if (last := tokens[-1] if tokens else None) is None:
        return []
    grows = last.pos + len(last.text) == len(tail) and last.key not in _COMPLETE
    is_word_yet = last.kind is GO and not _LINE_END.search(tail, last.pos)  # a separator only when nothing else stands on its line
    return tokens[:-1] if grows or is_word_yet else tokens


def _goes_on_quoted(token: Token, tail: str) -> bool:
    """Whether a quoted name has its closing sign doubled: what is read piece by piece would read it as two names."""
    behind = token.pos + len(token.text)
    return token.text[-1] in (*token.text[1:-1], *tail[behind : behind + 1])


def _without(comment: re.Match[str]) -> str:
    """A line's end in the place of a finished comment; one that the text ends in stays."""
    text = comment[0]
    is_finished = text[-1] in "\r\n" if text.startswith("--") else len(text) > 3 and text.endswith("*/")
    return "\n" if is_finished else text
