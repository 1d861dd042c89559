"""The forms of answers: how a verdict, a column and a query are said, and the patterns by which they are recognised again."""

from __future__ import annotations

import re
from collections.abc import Sequence

_NAME = r"[A-Za-z_][\w#$]*(?:\.[A-Za-z_][\w#$]*)?"
NEAREST = re.compile(rf"\bNearest name: (?P<name>{_NAME})")
ABSENT = re.compile(r"\bNo (?:column of (?P<table>\w+)|object shown) holds the (?P<what>[^.\n]+)\.")


def verdict(name: str, *, real: bool, nearest: str, about: str = "") -> str:
    """The nearest real name first, then whether `name` exists: a real name is its own nearest, so the verdict only compares the two.

    `about` says what the nearest name is, where the prompt does not show it.
    """
    explained = f"{nearest} ({about})" if about else nearest
    return f"Nearest name: {explained}. {name} {'exists' if real else 'does not exist'}."


def holds(column: str, what: str) -> str:
    return f"{column} holds the {what}."


def nothing_holds(table: str, what: str) -> str:
    """The honest answer to a question for data that a table does not hold."""
    return f"No column of {table} holds the {what}."


def nothing_shown(what: str) -> str:
    """The honest answer where the prompt's objects lack something that the question needs."""
    return f"No object shown holds the {what}."


def which(what: str, candidates: Sequence[tuple[str, str]]) -> str:
    """The question back where several (name, meaning) fit: one sentence, so that nothing is claimed of any of them."""
    *first, last = [f"{name} ({meaning})" for name, meaning in candidates]
    return f"Which {what} do you mean: {', '.join(first)} or {last}?"


def fenced(sql: str) -> str:
    return f"```sql\n{sql}\n```"
