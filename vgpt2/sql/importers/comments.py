"""Comments as descriptions: those above CREATE TABLE are about the table, one behind a column is about the column."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

from vgpt2.sql.lexer import Places, line_comments
from vgpt2.sql.parser.statement_nodes import TableDefinition

_RULES = " \t-=*#/"


@dataclass(slots=True)
class Comments:
    """Texts by line."""

    alone: dict[int, str] = field(default_factory=dict)  # on a line of their own
    trailing: dict[int, str] = field(default_factory=dict)


def by_line(text: str) -> Comments:
    """The `--` comments of a text; those that only draw a rule are left out."""
    if "--" not in text:
        return Comments()
    places = Places(text)
    comments = Comments()
    for pos, (content, is_alone) in line_comments(text).items():
        (comments.alone if is_alone else comments.trailing)[places(pos)[0]] = content.strip(_RULES)
    return comments


def above(comments: Comments, line: int) -> str | None:
    """The comment lines directly above a line, joined."""
    first = line
    while first - 1 in comments.alone:
        first -= 1
    return " ".join(filter(None, (comments.alone[n] for n in range(first, line)))) or None


def describe(table: TableDefinition, comments: Comments, line_of: Callable[[int], int]) -> None:
    """Fill in the descriptions that the definition itself does not give; `line_of` finds the line of an offset in it."""
    table.comment = table.comment or above(comments, line_of(table.pos))
    for column in table.columns:
        column.comment = column.comment or comments.trailing.get(line_of(column.pos)) or None
