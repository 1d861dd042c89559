"""T-SQL text to tokens with positions: a private sqlparse Lexer under a T-SQL table. The only importer of sqlparse.

sqlparse's stock table is for other dialects: it tears `[a]]b]`, `@x`, `##g` and `N'..'`, glues `ORDER BY` and `-1`, and ends nested
comments early. So the table is ours, the shared default instance is never touched, and block comments are blanked out beforehand.
"""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Iterator

from sqlparse import tokens as kinds
from sqlparse.lexer import Lexer

WORD, QUOTED, VARIABLE, STRING, NUMBER, OPERATOR, GO, BROKEN, END = (
    "word",  # a keyword or an unquoted name, #temp tables included
    "quoted",  # [name] or "name"
    "variable",  # @x, @@rowcount
    "string",
    "number",  # also money and binary literals
    "operator",
    "go",  # the batch separator of the client tools, alone on its line
    "broken",  # an unterminated literal or comment, or a character that T-SQL does not know
    "end",
)

_TABLE = [
    (r"\s+", kinds.Whitespace),
    (r"N?'[^']*(?:''[^']*)*'", kinds.String),
    (r"[^\W\d][\w@#$]*|##?[\w@#$]+", kinds.Name),
    (r"0x[0-9a-f]*(?!\w)|(?:\d+\.?\d*|\.\d+)(?:e[-+]?\d+|e(?!\w))?", kinds.Number),
    (r"<>|<=|>=|!=|!<|!>|--[^\r\n]*|::|\|\||[-+*/%&|^]=|[-+*/%&|^~=<>!(),.;:{}]", kinds.Operator),
    (r"[$£€¥][-+]?\d*\.?\d*(?!\w)", kinds.Number),
    (r"\[[^\]]*(?:\]\][^\]]*)*\]", kinds.Name.Quoted),
    (r'"[^"]*(?:""[^"]*)*"', kinds.Name.Quoted),
    (r"@@?[\w@#$]+|@", kinds.Name.Placeholder),
    (r"\$(?:identity|rowguid|action|partition)\b", kinds.Name),
]
_KINDS = {
    kinds.String: STRING,
    kinds.Name: WORD,
    kinds.Operator: OPERATOR,
    kinds.Number: NUMBER,
    kinds.Name.Quoted: QUOTED,
    kinds.Name.Placeholder: VARIABLE,
}
_OPENERS = re.compile(r"""'[^']*(?:''[^']*)*'?|"[^"]*(?:""[^"]*)*"?|\[[^\]]*(?:\]\][^\]]*)*\]?|--[^\r\n]*|/\*""")
_COMMENT_EDGE = re.compile(r"/\*|\*/")
_GO_LINE = re.compile(r"^[^\S\r\n]*(GO)(?:[^\S\r\n]+\d+)?[^\S\r\n]*;?[^\S\r\n]*(?:--[^\r\n]*)?(?=[\r\n]|\Z)", re.IGNORECASE | re.MULTILINE)
_EDGES = re.compile(f"(?:{_OPENERS.pattern})|{_GO_LINE.pattern}", re.IGNORECASE | re.MULTILINE)
_LINE_END = re.compile(r"\r\n|\r|\n")


class Token:
    """One token. `key` is what a grammar compares: the upper-case word or the operator, and '' for everything that is never a keyword."""

    __slots__ = ("key", "kind", "pos", "text")

    def __init__(self, kind: str, text: str, pos: int) -> None:
        self.kind = kind
        self.text = text
        self.pos = pos
        self.key = text.upper() if kind is WORD else text if kind is OPERATOR else ""

    def __repr__(self) -> str:
        return f"Token({self.kind}, {self.text!r}, {self.pos})"

    @property
    def name(self) -> str:
        """The identifier meant: without its quotes, doubled quotes undone."""
        if self.kind is not QUOTED:
            return self.text
        return self.text[1:-1].replace("]]", "]") if self.text[0] == "[" else self.text[1:-1].replace('""', '"')


def tokenize(sql: str) -> list[Token]:
    """All tokens but whitespace and comments, the last one END. Any text has tokens; what T-SQL cannot read is BROKEN."""
    tokens: list[Token] = []
    text, unclosed = _blanked(sql)
    separators = {m.start(1): m.end() for m in _GO_LINE.finditer(text)} if "go" in text.lower() else {}
    skip_to = 0
    for kind, value, pos in _lexed(text):
        if kind is BROKEN and value in "'\"[":
            unclosed = pos
            break
        if pos in separators:
            kind, skip_to = GO, separators[pos]
        elif pos < skip_to:  # the count behind GO
            continue
        tokens.append(Token(kind, value, pos))
    if unclosed is not None:  # nothing behind an open quote or comment can be trusted
        tokens.append(Token(BROKEN, sql[unclosed:], unclosed))
    tokens.append(Token(END, "", len(sql)))
    return tokens


def batches(sql: str) -> Iterator[tuple[int, str]]:
    """(offset, text) of what stands between GO lines, comments blanked out so that offsets stay; quotes may hold a GO line."""
    text, unclosed = _blanked(sql)
    start = 0
    if "go" in text.lower():
        for edge in _EDGES.finditer(text):
            if edge.group(1):
                yield start, text[start : edge.start(1)]
                start = edge.end()
    yield start, text[start:] + ("" if unclosed is None else sql[unclosed:])


def line_comments(sql: str) -> dict[int, tuple[str, bool]]:
    """Offset of every `--` comment with its text, and whether it stands alone on its line."""
    found = {}
    text, _ = _without_block_comments(sql)
    for opener in _OPENERS.finditer(text):
        if opener.group().startswith("--"):
            before = text[text.rfind("\n", 0, opener.start()) + 1 : opener.start()]
            found[opener.start()] = (opener.group()[2:].strip(), not before.strip())
    return found


def _blanked(sql: str) -> tuple[str, int | None]:
    """The text without block comments and the marks that editors leave; see _without_block_comments."""
    return _without_block_comments(sql.replace("\ufeff", " ").replace("\0", "\ufffd"))


def _lexed(text: str) -> Iterator[tuple[str, str, int]]:
    """(kind, text, offset) of every token of the text but whitespace and line comments."""
    pos = 0
    for kind, value in _LEXER.get_tokens(text):
        if kind is not kinds.Whitespace and not value.startswith("--"):
            yield _KINDS.get(kind, BROKEN), value, pos
        pos += len(value)


def _without_block_comments(text: str) -> tuple[str, int | None]:
    """The text with block comments, which nest, turned into blanks of the same length; cut at one that never ends, and its offset."""
    pieces: list[str] = []
    done = pos = 0
    while "/*" in text and (opener := _OPENERS.search(text, pos)):
        pos = opener.end()
        if opener.group() != "/*":
            continue
        end = _comment_end(text, pos)
        if end is None:
            return "".join([*pieces, text[done : opener.start()]]), opener.start()
        pieces += [text[done : opener.start()], re.sub(r"[^\r\n]", " ", text[opener.start() : end])]
        done = pos = end
    return "".join([*pieces, text[done:]]), None


def _comment_end(text: str, pos: int) -> int | None:
    """The offset behind the comment that was opened just before `pos`; None where it never ends."""
    depth = 1
    for edge in _COMMENT_EDGE.finditer(text, pos):
        depth += 1 if edge.group() == "/*" else -1
        if depth == 0:
            return edge.end()
    return None


class Places:
    """Offsets of a text as line and column, both counted from 1."""

    def __init__(self, text: str) -> None:
        self._starts = [0, *(m.end() for m in _LINE_END.finditer(text))]

    def __call__(self, pos: int) -> tuple[int, int]:
        line = bisect_right(self._starts, pos)
        return line, pos - self._starts[line - 1] + 1


def _private_lexer() -> Lexer:
    lexer = Lexer()
    lexer.clear()
    lexer.set_SQL_REGEX(_TABLE)
    return lexer


_LEXER = _private_lexer()
