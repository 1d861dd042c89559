"""Spellings of other databases, as far as the T-SQL lexer needs to be spared them: quotes, and where a routine ends."""

from __future__ import annotations

import re

from vgpt2.sql.lexer import END, GO, STRING
from vgpt2.sql.parser.stream import Stream

_BACKTICKS = re.compile(r"`([^`\r\n\]]*)`")
_HASH_COMMENT = re.compile(r"^([^\S\r\n]*)#[ \t]", re.MULTILINE)
_DOLLAR_QUOTE = re.compile(r"\$(\w*)\$")
_ESCAPED_QUOTE = re.compile(r"\\(['\\])")
_FOREIGN_WORDS = frozenset(("BEFORE", "AFTER", "INSTEAD", "INSERT", "UPDATE", "DELETE", "LANGUAGE"))
_HEAD = 200  # tokens of a routine's head that are looked at


def as_tsql(text: str) -> str:
    """The text with MySQL's backticks, backslashes and # comments and PostgreSQL's dollar quotes respelt, every offset kept."""
    if "`" in text:
        text = _BACKTICKS.sub(r"[\1]", text)
        text = _HASH_COMMENT.sub(r"\1--", text)
        text = _ESCAPED_QUOTE.sub(lambda m: "''" if m[1] == "'" else "  ", text)
    return _without_dollar_quotes(text) if "$" in text else text


def _without_dollar_quotes(text: str) -> str:
    """`$tag$ ... $tag$` turned into one string literal of blanks, its lines kept."""
    pieces, done = [], 0
    while opener := _DOLLAR_QUOTE.search(text, done):
        end = text.find(opener.group(), opener.end())
        if end < 0:
            break
        inside = re.sub(r"[^\r\n]", " ", text[opener.start() + 1 : end + len(opener.group()) - 1])
        pieces += [text[done : opener.start()], "'", inside, "'"]
        done = end + len(opener.group())
    return "".join([*pieces, text[done:]])


def skip_routine(s: Stream) -> None:
    """Move behind a routine: T-SQL's ends with its batch, that of another database at the `;` behind its last END."""
    is_foreign = _is_foreign(s)
    open_blocks = 0
    while s.tok.kind not in (END, GO):
        token = s.take()
        if token.key in ("BEGIN", "CASE"):
            open_blocks += 1
        elif token.key == "END":
            open_blocks -= 1
        elif token.key == ";" and is_foreign and open_blocks <= 0:
            return


def _is_foreign(s: Stream) -> bool:
    """Whether the head reads as SQLite's, PostgreSQL's or MySQL's: an event before ON, LANGUAGE, or a body in quotes."""
    for ahead in range(1, _HEAD):
        token = s.peek(ahead)
        if token.kind is END or token.key in (";", "ON", "BEGIN"):
            return False
        if token.key in _FOREIGN_WORDS:
            return True
        if token.key == "AS":
            return s.peek(ahead + 1).kind is STRING
    return False
