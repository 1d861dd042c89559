"""Fenced and tagged blocks of an answer, and the prose around them. Line by line, so that no text takes long."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

_MARK = re.compile(r"`{3,}|~{3,}")
_LANGUAGE = re.compile(r"[ \t]*([\w+#.-]*)")
_LINE = re.compile(r"[^\n]*\n|[^\n]+")
_TAG = re.compile(r"<(sql|query|tsql)>", re.IGNORECASE)
_QUOTE_SIGN = re.compile(r"^[ \t]*> ?", re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A block of an answer with its fences or tags; the last one may have lost its end."""

    start: int  # offsets of the whole block, fences included
    end: int
    language: str  # lower case, '' where the fence names none
    body: str


def blocks(answer: str) -> list[Block]:
    """Fenced blocks, and the tagged ones outside of them, in the order of the text."""
    fenced = list(_fenced(answer)) if "```" in answer or "~~~" in answer else []
    return sorted([*fenced, *_tagged(outside(answer, fenced))], key=lambda block: block.start)


def outside(answer: str, found: Sequence[Block]) -> str:
    """The answer with blanks and line breaks in place of the blocks: offsets stay, and nothing before one runs into what follows."""
    pieces, done = [], 0
    for block in found:
        pieces += [answer[done : block.start], re.sub(r"[^\n]", " ", answer[block.start : block.end])]
        done = block.end
    return "".join([*pieces, answer[done:]])


def prose(answer: str) -> str:
    """The answer without its fenced and tagged blocks."""
    return outside(answer, blocks(answer))


def _fenced(answer: str) -> Iterator[Block]:
    """Blocks between two fence lines; a fence without a second one goes on to the end of the text."""
    opened: tuple[int, int, str, str, bool] | None = None  # start, start of the body, mark, language, in a block quote
    for line in _LINE.finditer(answer):
        text = line.group().strip(" \t\r\n>")
        mark = _MARK.match(text)
        if mark is None:
            continue
        rest = text[mark.end() :]
        if opened is None:
            language = _LANGUAGE.match(rest)
            assert language is not None
            if mark.group() in rest:  # opened and closed on one line
                yield Block(line.start(), line.end(), language[1].lower(), rest[language.end() :].strip("`~ \t"))
            else:
                opened = line.start(), line.end(), mark.group(), language[1].lower(), ">" in line.group()[: line.group().index(text)]
        elif not rest and mark.group().startswith(opened[2]):
            yield _closed(answer, opened, line.start(), line.end())
            opened = None
    if opened is not None:
        yield _closed(answer, opened, len(answer), len(answer))


def _closed(answer: str, opened: tuple[int, int, str, str, bool], body_end: int, end: int) -> Block:
    start, body_start, _, language, quoted = opened
    body = answer[body_start:body_end]
    return Block(start, end, language, _QUOTE_SIGN.sub("", body) if quoted else body)


def _tagged(text: str) -> Iterator[Block]:
    """Blocks such as <sql> ... </sql>; one without an end goes on to the end of the text."""
    lower = text.lower()
    pos = 0
    while tag := _TAG.search(text, pos):
        closing = f"</{tag[1].lower()}>"
        end = lower.find(closing, tag.end())
        body_end, pos = (len(text), len(text)) if end < 0 else (end, end + len(closing))
        yield Block(tag.start(), pos, "sql", text[tag.end() : body_end])
